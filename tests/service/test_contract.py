"""The product's own test list, one test under each of its names, against the real program."""

import os
import signal
import threading

import numpy as np
import pytest

from polysome_service import until


def alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


@pytest.mark.smoke
def test_start_cluster(service):
    before = service.get("cluster/status")
    assert before["status"] == "stopped" and before["workers"] == []

    started = service.post("cluster/start?wait=60")
    assert started["status"] in ("starting", "running")
    cluster = until(lambda: service.cluster_with(4), "the default cluster of 4 workers")
    assert cluster["backend"] == "local"
    assert cluster["n_workers"] == cluster["target_workers"] == 4
    assert cluster["total_cores"] == 8 and cluster["used_cores"] == 0
    assert cluster["total_memory_bytes"] == 8_000_000_000
    pids = [w["pid"] for w in cluster["workers"]]
    assert len(set(pids)) == 4 and all(alive(pid) for pid in pids)
    for worker in cluster["workers"]:
        assert worker["threads"] == 2 and worker["memory_limit_bytes"] == 2_000_000_000
        assert len(service.slots(worker["pid"])) >= 2

    again = service.post("cluster/start")
    assert [w["pid"] for w in again["workers"]] == pids
    problem = service.refused("POST", "cluster/start", 409, {"n_workers": 2})
    assert "scale" in problem["detail"] + problem.get("hint", "")


def test_stop_cluster(service):
    service.start_cluster(2, 2)
    job = service.submit("noop", parameters={"tasks": 40, "sleep_ms": 100})
    until(lambda: service.tasks_done(job) >= 4, "some tasks to finish")
    pids = [w["pid"] for w in service.get("cluster/status")["workers"]]
    done = service.tasks_done(job)

    service.post("cluster/stop?wait=60", {"mode": "graceful"})
    until(lambda: service.get("cluster/status")["status"] == "stopped", "the cluster to stop")
    assert service.get("cluster/status")["workers"] == []
    until(lambda: not any(alive(pid) for pid in pids), "the worker processes to end")
    status = service.status(job)
    assert status["status"] == "pending"
    assert status["waiting"]["code"] == "cluster_stopped" and "start" in status["waiting_reason"].lower()
    kept = service.tasks_done(job)
    assert kept >= done

    service.start_cluster(2, 2)
    finished = service.complete(job)
    assert finished["attempts"] == [], "a stop of the cluster is nobody's fault"
    run_again = sum(w["completed_tasks"] for w in service.get("cluster/status")["workers"])
    assert run_again <= sum(s["tasks_total"] for s in finished["stages"]) - kept


def test_scale_cluster(service):
    first = {w["pid"] for w in service.start_cluster(2, 2)["workers"]}
    service.post("cluster/scale?wait=60", {"n_workers": 5})
    grown = until(lambda: service.cluster_with(5), "5 workers")
    assert grown["total_cores"] == 10 and first <= {w["pid"] for w in grown["workers"]}

    job = service.submit("noop", parameters={"tasks": 60, "sleep_ms": 100})
    until(lambda: service.get("cluster/status")["used_cores"] == 10, "all 10 threads to work")
    service.post("cluster/scale", {"n_workers": 1})
    shrunk = until(lambda: service.cluster_with(1), "1 worker")
    assert shrunk["total_cores"] == 2 and shrunk["target_workers"] == 1
    finished = service.complete(job)
    assert finished["attempts"] == [], "scaling down drains, it kills no running task"

    for bad in (0, 33, "two"):
        service.refused("POST", "cluster/scale", 422, {"n_workers": bad})


@pytest.mark.smoke
def test_job_submission(service):
    body = {
        "operation": "aggregate",
        "dataset_id": "my_dataset",
        "parameters": {"column": "expression", "operation": "mean"},
        "priority": "HIGH",
        "max_memory_gb": 4.0,
        "max_cores": 4,
    }
    answer = service.request("POST", "jobs/submit", json=body)
    assert answer.status_code == 200, answer.text
    submitted = answer.json()
    job = submitted["job_id"]
    assert submitted["status"] == "pending" and submitted["queue_position"] == 1
    assert answer.headers["location"].endswith(f"/api/processing/jobs/{job}")
    assert submitted["links"]["status"].endswith(f"{job}/status")
    status = service.status(job)
    assert (status["priority"], status["priority_name"]) == (3, "HIGH")
    assert status["operation"] == "aggregate" and status["dataset_id"] == "my_dataset"
    assert status["progress"] == 0 and status["waiting"]["code"] == "cluster_stopped"

    unknown = service.refused("POST", "jobs/submit", 422, {**body, "max_memry_gb": 4.0})
    assert "max_memory_gb" in str(unknown)
    column = service.refused("POST", "jobs/submit", 422, {**body, "dataset_id": "my_datset"})
    assert '"my_dataset"' in column["detail"] and column["errors"][0]["pointer"] == "/dataset_id"
    operation = service.refused("POST", "jobs/submit", 422, {**body, "operation": "agregate"})
    assert "aggregate" in operation["detail"]
    average = service.request(
        "POST", "jobs/submit", json={**body, "parameters": {"column": "expression", "operation": "average"}}
    )
    assert average.status_code == 200, "average is another tool's name for mean"
    service.refused("POST", "jobs/submit", 422, {**body, "priority": 5})

    keyed = [
        service.request("POST", "jobs/submit", json=body, headers={"Idempotency-Key": "one"})
        for _ in range(2)
    ]
    assert keyed[0].json()["job_id"] == keyed[1].json()["job_id"] != job
    assert keyed[1].headers["idempotency-replayed"] == "true"
    service.refused(
        "POST", "jobs/submit", 422, {**body, "priority": "LOW"}, headers={"Idempotency-Key": "one"}
    )


def test_priority_scheduling(service):
    service.start_cluster(1, 1)
    blocker = service.submit("noop", parameters={"tasks": 1, "sleep_ms": 1500}, priority="CRITICAL")
    until(lambda: service.status(blocker)["phase"] == "running", "the blocking job to run")
    order = ["LOW", "NORMAL", "CRITICAL", "HIGH", "NORMAL", "LOW", "CRITICAL"]
    jobs = [(service.submit("noop", parameters={"tasks": 1, "sleep_ms": 20}, priority=p), p) for p in order]
    rank = {"CRITICAL": 0, "HIGH": 1, "NORMAL": 2, "LOW": 3}
    expected = [job for job, _ in sorted(jobs, key=lambda pair: rank[pair[1]])]  # stable: FIFO within a level

    queue = service.get("queue/status")
    assert [j["job_id"] for j in queue["jobs"]] == expected
    assert [j["position"] for j in queue["jobs"]] == list(range(1, 8))
    assert queue["pending"] == 7 and all(j["waiting_reason"] for j in queue["jobs"])
    ended = {job: service.complete(job) for job, _ in jobs}
    by_start = sorted(ended, key=lambda job: (ended[job]["started_at"], ended[job]["completed_at"]))
    assert by_start == expected


@pytest.mark.smoke
def test_job_cancellation(service):
    service.start_cluster(1, 2)
    job = service.submit("noop", parameters={"tasks": 8, "sleep_ms": 60_000})
    until(lambda: service.get("cluster/status")["used_cores"] == 2, "the tasks to run")
    answer = service.post(f"jobs/{job}/cancel", {"reason": "not needed"})
    assert answer["status"] == "cancelled" or answer["phase"] == "cancelling"
    status = service.wait(job)
    assert status["status"] == "cancelled" and status["completed_at"]
    until(lambda: service.get("cluster/status")["used_cores"] == 0, "the tasks to stop")
    assert service.post(f"jobs/{job}/cancel")["status"] == "cancelled", "cancel is idempotent"

    waiting = service.submit(
        "noop",
        parameters={"tasks": 1},
        depends_on=[service.submit("noop", parameters={"tasks": 1, "sleep_ms": 30_000})],
    )
    assert service.post(f"jobs/{waiting}/cancel")["status"] == "cancelled"
    done = service.run("noop", parameters={"tasks": 1})["job_id"]
    service.refused("POST", f"jobs/{done}/cancel", 409, {})


def test_task_retry(service):
    service.start_cluster(2, 2)
    flaky = service.submit("noop", parameters={"tasks": 40, "fail_rate": 0.3}, max_attempts=10)
    finished = service.complete(flaky)
    assert finished["attempts"], "with a fail rate of 0.3, one of 40 tasks must have failed at first"
    assert all(a["attempt"] < 10 and a["class"] == "internal" and a["message"] for a in finished["attempts"])

    hopeless = service.wait(service.submit("noop", parameters={"tasks": 1, "fail_rate": 1}))
    assert hopeless["status"] == "failed" and len(hopeless["attempts"]) == 3
    assert [a["attempt"] for a in hopeless["attempts"]] == [1, 2, 3]
    assert hopeless["error"]["class"] == "internal" and hopeless["error_message"]
    gaps = [a["at"] for a in hopeless["attempts"]]
    assert gaps == sorted(gaps)

    # What the caller got wrong is not tried again.
    wrong = service.wait(
        service.submit("aggregate", "my_dataset", {"column": "expresion", "operation": "mean"})
    )
    assert wrong["status"] == "failed" and wrong["error"]["class"] == "user" and len(wrong["attempts"]) <= 1
    assert '"expression"' in wrong["error_message"]


def test_worker_failure(service):
    cluster = service.start_cluster(2, 2)
    job = service.submit("noop", parameters={"tasks": 40, "sleep_ms": 150})
    until(lambda: service.tasks_done(job) >= 2, "tasks to finish")
    victim = cluster["workers"][0]
    slots = service.slots(victim["pid"])
    os.kill(victim["pid"], signal.SIGKILL)

    def replaced():
        now = service.cluster_with(2)
        return now if now and victim["pid"] not in [w["pid"] for w in now["workers"]] else None

    until(replaced, "the lost worker to be replaced")
    until(lambda: not any(alive(pid) for pid in slots), "its slots to end with it")
    finished = service.complete(job)
    assert all(s["tasks_done"] == s["tasks_total"] for s in finished["stages"])
    assert finished["result"] is not None


def test_checkpointing(service):
    service.start_cluster(1, 2)
    job = service.submit("noop", parameters={"tasks": 60, "sleep_ms": 100})
    until(lambda: service.tasks_done(job) >= 10, "ten tasks to finish")
    # What a client was told is committed: an event of the journal is proof.
    kept = service.tasks_done(job)
    until(lambda: service.tasks_done(job) > kept + 2, "two more")
    service.kill()
    service.check_nothing_left()

    service.start()
    assert service.tasks_done(job) >= kept
    finished = service.complete(job)
    total = sum(s["tasks_total"] for s in finished["stages"])
    assert all(s["tasks_done"] == s["tasks_total"] for s in finished["stages"])
    run_now = sum(w["completed_tasks"] for w in service.get("cluster/status")["workers"])
    assert 0 < run_now <= total - kept, "finished tasks must not be run again"


@pytest.mark.smoke
def test_submit_and_complete_job(service):
    service.start_cluster(2, 1)
    finished = service.run(
        "aggregate", "my_dataset", {"column": "expression", "operation": "mean"}, partition_size="20kB"
    )
    assert finished["progress"] == 100 and finished["error"] is None
    assert finished["created_at"] <= finished["started_at"] <= finished["completed_at"]
    expected = np.nanmean(service.table["expression"])
    np.testing.assert_allclose(finished["result"]["value"], expected, rtol=1e-10)
    assert max(s["tasks_total"] for s in finished["stages"]) >= 7, "the file was to be cut into partitions"
    rows = service.rows(finished["job_id"])
    assert rows == [{"column": "expression", "mean": finished["result"]["value"]}]


def test_concurrent_jobs(service):
    service.start_cluster(2, 2)
    slow = [service.submit("noop", parameters={"tasks": 2, "sleep_ms": 1500}, max_cores=1) for _ in range(4)]
    until(lambda: service.get("queue/status")["running"] >= 4, "four jobs to run side by side")
    jobs = {
        name: service.submit(
            "aggregate", "my_dataset", {"column": name, "operation": "sum"}, partition_size="30kB"
        )
        for name in ("count", "batch", "expression")
    }
    for name, job in jobs.items():
        np.testing.assert_allclose(
            service.complete(job)["result"]["value"], np.nansum(service.table[name]), rtol=1e-10
        )
    for job in slow:
        service.complete(job)


def test_worker_crash_recovery(service):
    cluster = service.start_cluster(2, 2)
    expected = service.run("aggregate", "my_dataset", {"column": "expression", "operation": "sum"})["result"][
        "value"
    ]
    job = service.submit(
        "aggregate", "my_dataset", {"column": "expression", "operation": "sum"}, partition_size="1kB"
    )
    victims = [w["pid"] for w in cluster["workers"]]
    killed = threading.Event()

    def kill_both():
        until(lambda: service.tasks_done(job) >= 5, "tasks to finish")
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        killed.set()

    thread = threading.Thread(target=kill_both)
    thread.start()
    finished = service.complete(job)
    thread.join()
    assert killed.is_set()
    assert finished["result"]["value"] == expected, "the same bits, whatever was killed"
    now = until(lambda: service.cluster_with(2), "both workers to be replaced")
    assert not set(victims) & {w["pid"] for w in now["workers"]}
