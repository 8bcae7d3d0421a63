"""Every code of /docs/problems is an answer that somebody gets: each is brought about here, by a request
or by a job."""

import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest
import requests

import tables
from polysome_service import API, PATIENCE, PROGRAM, until


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    from polysome_service import Service

    one = Service(tmp_path_factory.mktemp("problems"), arguments=["--retry-delay", "50ms", "--max-upload", "1000TB"])
    tables.write(tables.expression_table(), one.data / "my_dataset.csv")
    token = one.folder / "tokens"
    subprocess.run([PROGRAM, "token", "new", "ada", "--token-file", token], check=True, stdout=subprocess.DEVNULL)
    one.arguments += ["--token-file", str(token)]
    one.start()
    one.start_cluster(2, 1)
    yield one
    one.stop()


def refused(answer, status):
    assert answer.status_code == status, answer.text
    return answer.json()


def failed(service, *arguments, **more):
    return service.wait(service.submit(*arguments, **more))["error"]


def raw(service, text):
    """The answer to bytes on a connection of its own."""
    with socket.create_connection(("localhost", service.port), timeout=60 * PATIENCE) as connection:
        connection.sendall(text)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def malformed(service):
    return refused(service.request("POST", "jobs/submit", data="{", headers={"Content-Type": "application/json"}), 400)


def unauthorized(service):
    return refused(service.request("GET", "jobs/list", headers={"Authorization": "Bearer nobody"}), 401)


def forbidden(service):
    return refused(service.request("GET", "jobs/list", headers={"Origin": "http://evil.example"}), 403)


def not_found(service):
    return refused(service.request("GET", "jobs/x"), 404)


def method_not_allowed(service):
    return refused(service.request("PUT", "jobs/list"), 405)


def not_acceptable(service):
    job = service.run("aggregate", "my_dataset", {"column": "expression", "operation": "mean"})["job_id"]
    return refused(service.request("GET", f"jobs/{job}/events", headers={"Accept": "application/json"}), 406)


def conflict(service):
    return refused(service.request("POST", f"jobs/{service.run('noop')['job_id']}/cancel"), 409)


def gone(service):
    done = service.run("aggregate", "my_dataset", {"column": "expression", "operation": "max"})
    for file in done["result"]["tables"][0]["files"]:
        os.unlink(file["path"])
    return refused(service.request("GET", f"jobs/{done['job_id']}/result"), 410)


def too_large(service):
    return refused(service.request("POST", "jobs/submit", json={"operation": "noop", "name": "x" * 1_100_000}), 413)


def unsupported_media_type(service):
    return refused(service.request("POST", "jobs/submit", data="x", headers={"Content-Type": "text/plain"}), 415)


def headers_too_large(service):
    return refused(service.request("GET", "health", headers={"X-Long": "x" * 9000}), 431)


def invalid(service):
    return refused(service.request("POST", "jobs/submit", json={"operation": "agregate"}), 422)


def too_many(service):
    service.request("PUT", "resources/limits", json={"max_pending_jobs": 0})
    try:
        answer = service.request("POST", "jobs/submit", json={"operation": "noop"})
        assert int(answer.headers["Retry-After"]) > 0
        return refused(answer, 429)
    finally:
        service.request("PUT", "resources/limits", json={})


def timeout(service):
    return failed(service, "noop", parameters={"sleep_ms": 60_000}, timeout_seconds=0.2)


def unavailable(service):
    """More is asked of the data service at once than it keeps in mind."""
    # Its process is stopped for that time: nothing is answered before all were asked.
    reader = until(lambda: data_service(service), "the data service")
    os.kill(reader, signal.SIGSTOP)
    found = []

    def ask():
        answer = requests.get(service.address(f"{API}/data/datasets/my_dataset"), timeout=60 * PATIENCE)
        if answer.status_code != 200:
            found.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(300)]
    for t in threads:
        t.start()
    try:
        until(lambda: found, "one too many")
    finally:
        os.kill(reader, signal.SIGCONT)
    for t in threads:
        t.join()
    return refused(found[0], 503)


def data_service(service):
    from polysome_service import processes

    service.get("data/datasets/my_dataset")
    workers = {w["pid"] for w in service.get("cluster/status")["workers"]}
    children = [pid for pid, (parent, _, _) in processes().items() if parent == service.process.pid]
    return next((pid for pid in children if pid not in workers), None)


def disk_full(service):
    head = f"PUT {API}/data/datasets/huge/content?format=tsv HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    more = "Content-Type: application/octet-stream\r\nExpect: 100-continue\r\nContent-Length: 900000000000000\r\n\r\n"
    return raw(service, (head + more).encode())


def cancelled(service):
    job = service.submit("noop", held=True)
    service.post(f"jobs/{job}/cancel")
    return service.status(job)["error"]


def user_data(service):
    return failed(service, "aggregate", "my_dataset", {"column": "expresion", "operation": "mean"})


def out_of_memory(service):
    return failed(service, "noop", parameters={"memory_mb": 5000})


def worker_lost(service):
    job = service.submit("noop", parameters={"sleep_ms": 60_000}, max_attempts=1)

    def struck():
        running = [t for t in service.get(f"jobs/{job}/tasks")["tasks"] if t["state"] == "running" and t["stage"] == "noop"]
        if not running:
            return None
        worker = service.get(f"cluster/workers/{running[0]['worker']}")
        os.kill(service.slots(worker["pid"])[0], signal.SIGABRT)
        return True

    until(struck, "the task to run")
    return service.wait(job)["error"]


def dependency_failed(service):
    first = service.submit("noop", held=True)
    second = service.submit("noop", depends_on=[first])
    service.post(f"jobs/{first}/cancel")
    return service.wait(second)["error"]


def io(service):
    file = service.data / "going.csv"
    file.write_text("a,b\n1,2\n")
    job = service.submit("aggregate", "going", {"column": "a", "operation": "sum"}, held=True, max_attempts=1)
    file.unlink()
    service.request("PATCH", f"jobs/{job}", json={"held": False})
    return service.wait(job)["error"]


def internal(service):
    return failed(service, "noop", parameters={"fail_rate": 1}, max_attempts=1)


MADE = [
    malformed, unauthorized, forbidden, not_found, method_not_allowed, not_acceptable, conflict, gone, too_large,
    unsupported_media_type, headers_too_large, invalid, too_many, timeout, unavailable, disk_full, cancelled, user_data,
    out_of_memory, worker_lost, dependency_failed, io, internal,
]  # fmt: skip


@pytest.mark.parametrize("make", MADE, ids=lambda f: f.__name__)
def test_each_documented_error_is_one_that_happens(service, make):
    problem = make(service)
    assert problem["code"] == make.__name__, problem
    assert problem["type"] == f"/docs/problems#{make.__name__}" and problem["title"] and problem["detail"], problem
    assert isinstance(problem["status"], int) and isinstance(problem["retryable"], bool)
    print(f"\n{problem['status']} {problem['detail']} | {problem.get('hint')}")


def test_no_other_is_documented(service):
    page = service.request("GET", "/docs/problems").text
    assert sorted(set(re.findall(r'id="([a-z_]+)"', page))) == sorted(f.__name__ for f in MADE)
