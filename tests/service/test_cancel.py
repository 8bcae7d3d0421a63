"""Cancel really stops the work, within a second, and harms nobody else."""

import time

import numpy as np
import pandas as pd

from polysome_service import PATIENCE, until


def used_cores(service):
    return service.get("cluster/status")["used_cores"]


def cancel_seconds(service, job):
    began = time.monotonic()
    service.post(f"jobs/{job}/cancel")
    until(lambda: service.status(job)["status"] == "cancelled", "the job to be cancelled")
    return time.monotonic() - began


def test_sleeping_tasks_stop_within_a_second(service):
    service.start_cluster(2, 2)
    other = service.submit("noop", parameters={"tasks": 1, "sleep_ms": 3000})
    job = service.submit("noop", parameters={"tasks": 50, "sleep_ms": 60_000})
    until(lambda: used_cores(service) == 4, "all threads to work")
    assert cancel_seconds(service, job) < 1.0 * PATIENCE
    until(lambda: used_cores(service) <= 1, "the tasks to be gone", 1.5)
    finished = service.complete(other)
    assert finished["attempts"] == [], "a neighbour is not harmed"


def test_a_running_query_stops_within_a_second(service):
    rng = np.random.default_rng(1)
    pd.DataFrame({"a": rng.integers(0, 3000, 3000), "b": rng.normal(size=3000)}).to_csv(
        service.data / "cross.csv", index=False
    )
    service.start_cluster(1, 1)
    # A product of 3,000^3 rows: hours of work for one thread.
    query = "SELECT count(*) AS n FROM {table} x, {table} y, {table} z WHERE x.b * y.b > z.b + 100"
    job = service.submit("sql", "cross", {"query": query})
    until(lambda: service.status(job)["phase"] == "running", "the query to run")
    assert cancel_seconds(service, job) < 1.0 * PATIENCE
    until(lambda: used_cores(service) == 0, "its task to be gone", 2)
    assert service.run("noop", parameters={"tasks": 3})["attempts"] == []


def test_a_cancelled_job_never_starts_again(service):
    job = service.submit("noop", parameters={"tasks": 5})
    assert service.post(f"jobs/{job}/cancel", {"reason": "wrong data"})["status"] == "cancelled"
    service.kill()
    service.start()
    service.start_cluster(1, 1)
    service.run("noop", parameters={"tasks": 1})
    status = service.status(job)
    assert status["status"] == "cancelled" and "wrong data" in str(status)
