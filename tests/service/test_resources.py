"""What was used, what went wrong and what was learned, also after the service was killed."""

import datetime
import os
import signal
import time

from polysome_service import until


def kill_and_start(service):
    service.kill()
    service.check_nothing_left()
    service.start()


def test_usage_by_user_and_operation(service):
    service.start_cluster(2, 2)
    for user, n in (("ada", 3), ("bob", 1)):
        for _ in range(n):
            service.run("noop", parameters={"tasks": 4, "sleep_ms": 20}, user=user)
    service.run("aggregate", "my_dataset", {"column": "expression", "operation": "mean"}, user="bob")
    kill_and_start(service)
    rows = {r["user"]: r for r in service.get("resources/usage?by=user")}
    assert rows["ada"]["jobs"] == 3 and rows["bob"]["jobs"] == 2
    for row in rows.values():
        assert set(row) == {
            "user", "jobs", "cpu_seconds", "memory_gb_seconds", "bytes_read", "wait_seconds_p50",
        }
        assert row["cpu_seconds"] > 0 and row["memory_gb_seconds"] > 0 and row["wait_seconds_p50"] >= 0
    # All of the file but its header.
    assert rows["bob"]["bytes_read"] >= 0.99 * (service.data / "my_dataset.csv").stat().st_size
    by_operation = {r["operation"]: r["jobs"] for r in service.get("resources/usage?by=operation")}
    assert by_operation == {"noop": 4, "aggregate": 1}
    later = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).isoformat()
    assert service.get("resources/usage", params={"since": later.replace("+00:00", "Z")}) == []
    service.refused("GET", "resources/usage?by=colour", 422)


def test_recommendations_rest_on_runs(service):
    service.start_cluster(1, 2)
    assert service.get("resources/recommendations")["operations"] == []
    peaks = []
    for _ in range(3):
        done = service.run("aggregate", "my_dataset", {"column": "expression", "operation": "mean"})
        peaks.append(done["resources"]["peak_memory_bytes"])
    learned = service.get("resources/recommendations?operation=aggregate")["operations"]
    assert len(learned) == 1 and learned[0]["runs"] == 3
    row = learned[0]
    size = (service.data / "my_dataset.csv").stat().st_size
    assert row["input"]["from_bytes"] <= size < row["input"]["to_bytes"]
    assert row["peak_memory_p95_bytes"] == max(peaks)
    assert row["memory_per_worker_bytes"] >= max(peaks) and row["seconds_p95"] >= row["seconds_p50"] > 0
    service.refused("GET", "resources/recommendations?operation=aggregat", 422)


def test_scaling_advice_follows_queue_and_utilisation(service):
    service.submit("noop")
    cluster = service.get("resources/recommendations")["cluster"]
    assert "cluster/start" in cluster["advice"] and cluster["n_workers"] == 0
    service.start_cluster(1, 1)
    service.submit("noop", parameters={"tasks": 50, "sleep_ms": 10_000})
    until(lambda: service.get("cluster/status")["queued_tasks"] > 10, "tasks to wait")
    cluster = service.get("resources/recommendations")["cluster"]
    assert cluster["suggested_n_workers"] > cluster["n_workers"] == 1 and "wait" in cluster["advice"]


def test_faults_are_counted_by_class_operation_and_worker_and_kept(service):
    service.start_cluster(2, 2)
    job = service.submit("noop", parameters={"tasks": 8, "sleep_ms": 2000})
    until(lambda: service.get("cluster/status")["used_cores"] == 4, "all to work")
    victim = service.get("cluster/status")["workers"][0]
    os.kill(victim["pid"], signal.SIGKILL)
    service.complete(job)
    service.run("noop", parameters={"tasks": 20, "fail_rate": 0.2}, max_attempts=10)
    faults = service.get("faults/statistics")
    assert faults["by_class"]["worker_lost"] == 2, "the two tasks that ran there"
    assert faults["failed"] == sum(faults["by_class"].values()) > 2
    assert faults["attempts"] >= 28 + faults["failed"]
    workers = {w["worker"]: w for w in faults["by_worker"]}
    assert workers[victim["id"]]["by_class"]["worker_lost"] == 2
    assert [o["operation"] for o in faults["by_operation"]] == ["noop"]
    service.stop()
    service.start()
    kept = service.get("faults/statistics")
    for key in ("attempts", "failed", "by_class", "by_operation", "by_worker", "since"):
        assert kept[key] == faults[key], key
    until(lambda: service.cluster_with(2), "the cluster to be back")
    service.run("noop")
    assert service.get("faults/statistics")["attempts"] > faults["attempts"]


def test_measured_usage_goes_on_over_a_restart(service):
    service.start_cluster(1, 1)
    job = service.submit("noop", parameters={"tasks": 30, "sleep_ms": 100})
    until(lambda: service.tasks_done(job) >= 10, "some tasks to be done")
    time.sleep(2.1)  # progress is stored every two seconds: a lower bound for what must be kept
    until(lambda: service.tasks_done(job) >= 12, "more tasks")
    before = service.status(job)["resources"]["cpu_seconds"]
    kill_and_start(service)
    service.complete(job)
    assert service.status(job)["resources"]["cpu_seconds"] >= before * 0.5 > 0


def test_the_peak_of_each_stage_is_shown_and_kept_over_a_restart(service):
    service.start_cluster(1, 1)
    job = service.submit("noop", parameters={"tasks": 40, "sleep_ms": 100, "memory_mb": 50})
    until(lambda: service.tasks_done(job) >= 10, "some tasks to be done")
    time.sleep(2.1)  # stored every two seconds
    until(lambda: service.tasks_done(job) >= 12, "more tasks")
    kill_and_start(service)
    done = service.complete(job)
    peaks = {s["name"]: s["peak_memory_bytes"] for s in done["stages"]}
    assert peaks["noop"] == done["resources"]["peak_memory_bytes"] >= 50_000_000
    assert 0 < peaks["plan"] < 50_000_000 and 0 < peaks["result"] < peaks["noop"]
    shown = {s["name"]: s["peak_memory_bytes"] for s in service.get(f"jobs/{job}/explain")["plan"]["stages"]}
    assert shown == peaks
