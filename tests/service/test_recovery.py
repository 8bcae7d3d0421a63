"""kill -9 of anything, at any moment: no accepted job lost, no result wrong, nothing finished run again."""

import json
import os
import signal

import pytest

import tables
from polysome_service import until

PARAMETERS = {
    "columns": ["expression", "count"],
    "operation": ["sum", "mean", "std", "median"],
    "group_by": "gene",
}
# About 300 partitions: long enough to be met in the middle, on any machine.
ROWS, CUTS = 60_000, 300


@pytest.fixture
def service(make_service):
    one = make_service(arguments=["--retry-delay", "100ms"])
    # Without quotes: a partition that turns out to begin inside them is rightly run again.
    table = tables.expression_table(ROWS).drop(columns="condition")
    path = tables.write(table, one.data / "big.csv")
    one.cut = str(path.stat().st_size // CUTS)
    one.start()
    one.start_cluster(2, 2)
    return one


def submit(service):
    return service.submit("aggregate", "big", PARAMETERS, partition_size=service.cut)


@pytest.fixture
def expected(service):
    return service.rows(service.run("aggregate", "big", PARAMETERS)["job_id"])


def scan(status):
    return max(status["stages"], key=lambda s: s["tasks_total"], default={"tasks_done": 0, "tasks_total": 0})


def in_the_middle(service, job, share=0.2):
    def reached():
        status = service.status(job)
        stage = scan(status)
        assert status["status"] in (
            "pending",
            "running",
        ), f"the job ended too early to be met in the middle: {status['status']}"
        return stage["tasks_total"] > 1 and stage["tasks_done"] >= share * stage["tasks_total"]

    until(reached, "the job to be in the middle")


def completed_tasks(service):
    return sum(w["completed_tasks"] for w in service.get("cluster/status")["workers"])


def check_goes_on(service, job, kept, manifests, expected):
    """After a restart: the same answer, and what was finished was not touched."""
    until(lambda: scan(service.status(job))["tasks_total"], "the plan to be back")
    assert scan(service.status(job))["tasks_done"] >= kept["done"]
    for path, identity in manifests.items():
        if path.exists():
            stat = path.stat()
            assert (stat.st_ino, stat.st_mtime_ns) == identity, f"{path} was written again"
    finished = service.complete(job)
    assert service.rows(job) == expected
    total = sum(s["tasks_total"] for s in finished["stages"])
    assert completed_tasks(service) <= total - kept["all"], "finished tasks must not be run again"


def remember(service, job):
    stages = service.status(job)["stages"]
    return {"done": scan({"stages": stages})["tasks_done"], "all": sum(s["tasks_done"] for s in stages)}


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_restart_of_the_service_in_mid_job(service, expected, how):
    job = submit(service)
    in_the_middle(service, job)
    kept = remember(service, job)
    manifests = service.manifests(job)
    assert manifests, "finished tasks have their manifests"
    # Told is committed: one more answer after the count makes sure the count was.
    until(lambda: service.tasks_done(job) > kept["all"] + 1, "two more tasks")
    if how == "SIGTERM":
        service.stop()
    else:
        service.kill()
        service.check_nothing_left()
    service.start()
    check_goes_on(service, job, kept, manifests, expected)


def test_ten_kills_in_a_row_still_end_in_the_right_answer(service, expected):
    job = submit(service)
    for i in range(10):
        done = service.tasks_done(job)
        until(
            lambda: service.status(job)["status"] == "completed" or service.tasks_done(job) > done,
            "one more task",
        )
        service.kill()
        service.start()
    service.complete(job)
    assert service.rows(job) == expected


def test_kill_of_a_worker_in_mid_job(service, expected):
    job = submit(service)
    in_the_middle(service, job)
    victim = service.get("cluster/status")["workers"][0]["pid"]
    os.kill(victim, signal.SIGKILL)
    finished = service.complete(job)
    assert service.rows(job) == expected
    assert finished["status"] == "completed"
    back = until(lambda: service.cluster_with(2), "the worker to be replaced")
    assert victim not in [w["pid"] for w in back["workers"]]


def test_kill_of_a_slot_in_mid_job_blames_nobody_else(service, expected):
    neighbour = service.submit("noop", parameters={"tasks": 2, "sleep_ms": 4000}, priority="CRITICAL")
    until(lambda: service.get("cluster/status")["used_cores"] >= 2, "the neighbour's tasks to run")
    job = submit(service)
    in_the_middle(service, job, 0.1)
    pids = {w["pid"] for w in service.get("cluster/status")["workers"]}
    busy = [slot for pid in sorted(pids) for slot in service.slots(pid)]
    running = {w["id"]: w for w in service.get("cluster/status")["workers"]}
    assert busy and running
    os.kill(busy[0], signal.SIGKILL)
    finished = service.complete(job)
    assert service.rows(job) == expected
    assert len(finished["attempts"]) <= 1
    assert len(service.complete(neighbour)["attempts"]) <= 1
    assert {
        w["pid"] for w in service.get("cluster/status")["workers"]
    } == pids, "the supervisor lives on and starts a new slot"


def test_the_wanted_cluster_comes_back_after_a_restart(service):
    service.post("cluster/scale?wait=60", {"n_workers": 3})
    service.kill()
    service.start()
    cluster = until(lambda: service.cluster_with(3), "3 workers after the restart")
    assert (
        cluster["workers"][0]["threads"] == 2 and cluster["workers"][0]["memory_limit_bytes"] == 1_000_000_000
    )
    service.post("cluster/stop?wait=60")
    service.stop()
    service.start()
    assert service.get("cluster/status")["status"] == "stopped"


def test_records_and_loaded_datasets_survive(service, expected):
    done = service.run("aggregate", "big", {"column": "count", "operation": "max"})
    service.post("data/load", {"dataset_id": "named", "source": "big.csv"})
    before = service.status(done["job_id"])
    listed = service.get("jobs/list?view=full")
    service.stop()
    service.start()
    assert service.status(done["job_id"]) == before
    assert service.get("jobs/list?view=full") == listed
    assert service.rows(done["job_id"]) == [{"column": "count", "max": done["result"]["value"]}]
    assert "named" in [d["dataset_id"] for d in service.get("data/datasets")["datasets"]]


def test_one_service_for_a_state_folder(service, make_service):
    second = make_service("second")
    second.state = service.state
    with pytest.raises(AssertionError, match="the service ended with"):
        second.start()
    assert f"pid {service.process.pid}" in second.log()
    second.process = None
    assert service.get("health")["status"] == "healthy"


def test_a_lost_intermediate_file_is_made_again(service, expected):
    job = submit(service)
    in_the_middle(service, job, 0.3)
    service.post("cluster/stop?wait=60")
    until(lambda: service.get("cluster/status")["status"] == "stopped", "the cluster to stop")
    manifest = sorted(service.manifests(job))[-1]
    for name in [f["name"] if isinstance(f, dict) else f for f in json.loads(manifest.read_text())["files"]]:
        (manifest.parent / name).unlink()
    service.start_cluster(2, 2)
    service.complete(job)
    assert service.rows(job) == expected
