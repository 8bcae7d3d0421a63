"""The real program as tests use it: started in folders of its own on a free port, talked to over HTTP,
stopped by its own pid. Waiting is always for a condition, with a generous limit."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time
import uuid

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("POLYSOME_BUILD", ROOT / "build" / "release"))
PROGRAM = BUILD / "polysome"
# Sanitizer builds are several times slower; limits grow with them.
PATIENCE = float(os.environ.get("POLYSOME_TEST_PATIENCE", "1"))
LONG = os.environ.get("POLYSOME_LONG", "0") == "1"
API = "/api/processing"
FINAL = {"completed", "failed", "cancelled"}
SANITIZER_WORDS = ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:")


def until(condition, what, seconds=60.0):
    """Calls `condition` until it gives something true, and answers that."""
    end = time.monotonic() + seconds * PATIENCE
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds * PATIENCE:.0f} s in vain for {what}; last: {value!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def clean_environment():
    """The caller's environment without settings that would change what a test sees."""
    return {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("POLYSOME_", "DASK_")) and k not in ("STATE_DIRECTORY", "NO_COLOR")
    }


def processes():
    """pid → (ppid, command line, state) of everything that runs and may be looked at."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = pathlib.Path("/proc", entry, "stat").read_text()
            command = pathlib.Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        state, ppid = stat.rsplit(")", 1)[1].split()[:2]
        found[int(entry)] = (int(ppid), command, state)
    return found


def marked(mark):
    """pids of living processes that were started with this mark in their environment."""
    found = []
    for pid, (_, _, state) in processes().items():
        try:
            environment = pathlib.Path("/proc", str(pid), "environ").read_bytes()
        except OSError:
            continue
        if state != "Z" and mark.encode() in environment:
            found.append(pid)
    return found


class Service:
    def __init__(self, folder, *, data_dirs=None, arguments=(), environment=None):
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        self.state = self.folder / "state"
        self.data.mkdir(parents=True, exist_ok=True)
        self.data_dirs = [self.data, *(data_dirs or [])]
        self.arguments = [str(a) for a in arguments]
        self.mark = f"SERVICE_OF_TEST={uuid.uuid4()}"
        self.environment = {**clean_environment(), **(environment or {})}
        name, value = self.mark.split("=")
        self.environment[name] = value
        self.port = free_port()
        self.log_path = self.folder / "service.log"
        self.process = None
        self.http = requests.Session()
        self.http.trust_env = False

    # ---- life ----
    def start(self, *more):
        command = [PROGRAM, "serve", "--port", self.port, "--dashboard-port", 0, "--state-dir", self.state]
        for folder in self.data_dirs:
            command += ["--data-dir", folder]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(c) for c in (*command, *self.arguments, *more)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        until(self.ready, "the service to be ready")
        return self

    def ready(self):
        code = self.process.poll()
        assert code is None, f"the service ended with {code}:\n{self.log()}"
        try:
            return self.http.get(self.address("/readyz"), timeout=5 * PATIENCE).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def stop(self):
        """Ends the service as an administrator would; nothing of it may be left."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30 * PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"the service did not end on SIGTERM:\n{self.log()[-4000:]}") from None
        code, self.process = self.process.returncode, None
        self.http.close()
        self.check_nothing_left()
        log = self.log()
        for word in SANITIZER_WORDS:
            assert word not in log, f"{word} in the service's log:\n{log[-20000:]}"
        assert code in (0, -signal.SIGKILL), f"the service ended with {code}:\n{log[-4000:]}"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None
        self.http.close()

    def check_nothing_left(self):
        try:
            until(lambda: not marked(self.mark), "worker processes to end with their service", 20)
        except AssertionError:
            left = {pid: processes().get(pid) for pid in marked(self.mark)}
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            raise AssertionError(f"processes left behind by the service: {left}") from None

    # ---- HTTP ----
    def address(self, path):
        return f"http://localhost:{self.port}{path}"

    def request(self, method, path, *, timeout=60, **arguments):
        full = path if path.startswith("/") else f"{API}/{path}"
        return self.http.request(method, self.address(full), timeout=timeout * PATIENCE, **arguments)

    def get(self, path, **arguments):
        answer = self.request("GET", path, **arguments)
        assert answer.status_code == 200, f"GET {path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json()

    def post(self, path, body=None, **arguments):
        answer = self.request("POST", path, json={} if body is None else body, **arguments)
        assert answer.status_code == 200, f"POST {path} {body}: {answer.status_code} {answer.text[:2000]}"
        return answer.json()

    def refused(self, method, path, status, body=None, **arguments):
        """The problem object of a request that must be refused with this status."""
        if body is not None:
            arguments["json"] = body
        answer = self.request(method, path, **arguments)
        assert (
            answer.status_code == status
        ), f"{method} {path} {body}: {answer.status_code} {answer.text[:2000]}"
        assert answer.headers["content-type"].startswith("application/problem+json"), answer.headers
        problem = answer.json()
        for field in ("type", "title", "status", "detail"):
            assert field in problem, problem
        assert problem["status"] == status and problem["detail"], problem
        return problem

    # ---- cluster ----
    def start_cluster(self, n_workers=2, threads=2, memory="1GB"):
        self.post(
            "cluster/start?wait=60",
            {"n_workers": n_workers, "threads_per_worker": threads, "memory_limit": memory},
        )
        return until(lambda: self.cluster_with(n_workers), f"a cluster of {n_workers} workers")

    def cluster_with(self, n_workers):
        cluster = self.get("cluster/status")
        up = [w for w in cluster["workers"] if w["status"] in ("idle", "busy") and w["pid"]]
        return (
            cluster
            if cluster["status"] == "running" and len(up) == len(cluster["workers"]) == n_workers
            else None
        )

    def slots(self, worker_pid):
        """pids of the slot processes of a worker."""
        return sorted(
            pid for pid, (ppid, _, state) in processes().items() if ppid == worker_pid and state != "Z"
        )

    # ---- jobs ----
    def submit(self, operation, dataset=None, parameters=None, **more):
        body = {"operation": operation, "parameters": parameters or {}, **more}
        if dataset is not None:
            body["dataset_id"] = dataset
        return self.post("jobs/submit", body)["job_id"]

    def status(self, job_id):
        return self.get(f"jobs/{job_id}/status")

    def wait(self, job_id, seconds=180):
        end = time.monotonic() + seconds * PATIENCE
        while True:
            status = self.get(f"jobs/{job_id}/status?wait=10")
            if status["status"] in FINAL:
                return status
            assert (
                time.monotonic() < end
            ), f"job {job_id} still {status['status']} after {seconds * PATIENCE:.0f} s: {status}"

    def complete(self, job_id, seconds=180):
        status = self.wait(job_id, seconds)
        assert (
            status["status"] == "completed"
        ), f"{status['error']}\n{status['attempts']}\n{self.log()[-3000:]}"
        return status

    def run(self, operation, dataset=None, parameters=None, **more):
        return self.complete(self.submit(operation, dataset, parameters, **more))

    def rows(self, job_id, **query):
        """All rows of the job's result table, page by page."""
        found, token = [], None
        while True:
            page = self.get(
                f"jobs/{job_id}/result",
                params={**query, "limit": 1000, **({"page_token": token} if token else {})},
            )
            found += page["rows"]
            token = page["next_page_token"]
            if not token:
                assert len(found) == page["n_rows"], (len(found), page["n_rows"])
                return found

    def tasks_done(self, job_id):
        return sum(s["tasks_done"] for s in self.status(job_id)["stages"])

    def manifests(self, job_id):
        """Commit points of a job's finished tasks: path → identity of the file, for stages that write."""
        found = {}
        folder = self.state / "work" / job_id
        for path in folder.glob("*/*.json"):
            if path.stem.isdigit():
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    continue
                found[path] = (stat.st_ino, stat.st_mtime_ns)
        return found


@contextlib.contextmanager
def running(folder, workers, threads, **options):
    """A service with a running cluster of so many workers and threads, ended afterwards."""
    service = Service(folder, **options)
    service.start()
    try:
        service.start_cluster(workers, threads)
        yield service
    finally:
        service.stop()
