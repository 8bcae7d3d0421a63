"""A service of its own for a benchmark: temporary folders, free port, ended by its own pid; and how
figures are printed: a table for people, JSON for programs."""

import contextlib
import json
import os
import pathlib
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time

import requests

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("POLYSOME_BUILD", ROOT / "build" / "release")) / "polysome"
API = "/api/processing"


class Service:
    def __init__(self, folder, arguments):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        data = pathlib.Path(folder, "data")
        data.mkdir()
        self.log = open(pathlib.Path(folder, "service.log"), "wb")
        self.process = subprocess.Popen(
            [
                str(PROGRAM),
                "serve",
                "--port",
                str(self.port),
                "--dashboard-port",
                "0",
                "--data-dir",
                str(data),
                "--state-dir",
                str(pathlib.Path(folder, "state")),
                *arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        self.http = requests.Session()
        self.http.trust_env = False
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(requests.ConnectionError):
                if self.http.get(f"http://127.0.0.1:{self.port}/readyz", timeout=10).status_code == 200:
                    return
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the service did not start: {pathlib.Path(self.log.name).read_text()}")
            time.sleep(0.02)

    def call(self, method, path, body=None):
        answer = self.http.request(
            method, f"http://127.0.0.1:{self.port}{API}/{path}", json=body, timeout=300
        )
        if answer.status_code != 200:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def start_cluster(self, n_workers, threads):
        self.call(
            "POST",
            "cluster/start?wait=60",
            {"n_workers": n_workers, "threads_per_worker": threads, "memory_limit": "1GB"},
        )
        while (
            len([w for w in self.call("GET", "cluster/status")["workers"] if w["status"] == "idle"])
            < n_workers
        ):
            time.sleep(0.05)

    def submit(self, operation, parameters, **more):
        return self.call("POST", "jobs/submit", {"operation": operation, "parameters": parameters, **more})[
            "job_id"
        ]

    def wait(self, job):
        while True:
            status = self.call("GET", f"jobs/{job}/status?wait=30")
            if status["status"] in ("completed", "failed", "cancelled"):
                if status["status"] != "completed":
                    raise SystemExit(f"job {job}: {status['error']}")
                return status

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.log.close()


@contextlib.contextmanager
def service(*arguments):
    with tempfile.TemporaryDirectory(prefix="polysome-bench-") as folder:
        one = Service(folder, arguments)
        try:
            yield one
        finally:
            one.stop()


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def latencies(values):
    """Milliseconds of a list of seconds."""
    return {
        "n": len(values),
        "p50_ms": round(quantile(values, 0.5) * 1e3, 3),
        "p99_ms": round(quantile(values, 0.99) * 1e3, 3),
        "max_ms": round(max(values) * 1e3, 3),
    }


def report(name, rows):
    """`rows`: list of dicts with the same keys."""
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "kernel": platform.release()}
    columns = list(rows[0])
    cells = [columns] + [
        [f"{r[c]:,.3f}".rstrip("0").rstrip(".") if isinstance(r[c], float) else str(r[c]) for c in columns]
        for r in rows
    ]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        print(
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths))
            ),
            file=sys.stderr,
        )
    print(json.dumps({"benchmark": name, "machine": machine, "results": rows}))
