"""A shared queue as its users steer it: batches, hold and release, limits, pause, workers set aside,
autoscale; and all of it back after kill -9."""

import json
import os
import pathlib
import random
import re
import signal
import sqlite3
import time

import pytest

from polysome_service import PATIENCE, until

UUID7 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


def restart(service):
    service.kill()
    service.check_nothing_left()
    service.start()


def noop(tasks=1, sleep_ms=0):
    return {"operation": "noop", "parameters": {"tasks": tasks, "sleep_ms": sleep_ms}}


def batch_of(n, **defaults):
    return {"defaults": {**noop(), **defaults}, "jobs": [{"name": f"n{i}"} for i in range(n)]}


def listed(service, **query):
    found, token = [], None
    while True:
        page = service.get("jobs/list", params={**query, "limit": 1000, "page_token": token})
        found += page["jobs"]
        token = page["next_page_token"]
        if not token:
            assert page["total"] == len(found), (page["total"], len(found))
            return found


def cpu_seconds(pid):
    """What a process has worked so far, all its threads together."""
    fields = pathlib.Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- batches ----


def test_a_batch_is_listed_at_once_runs_and_is_found_by_its_id(service):
    other = service.submit("noop")
    answer = service.post("jobs/batch", batch_of(250, tags=["night"]))
    assert UUID7.match(answer["batch_id"]) and answer["n_jobs"] == 250
    jobs = listed(service, batch_id=answer["batch_id"])
    assert len(jobs) == 250 and len(listed(service, tag="night")) == 250 and len(listed(service)) == 251
    ids = [j["job_id"] for j in reversed(jobs)]
    assert ids == sorted(ids), "ids sort by submission"
    assert (ids[0], ids[-1]) == (answer["first_job_id"], answer["last_job_id"])
    assert [j["name"] for j in reversed(jobs)] == [f"n{i}" for i in range(250)]
    assert other < ids[0] < ids[-1] < service.submit("noop"), "also beside single jobs"
    one = service.status(ids[17])
    assert one["batch_id"] == answer["batch_id"] and one["status"] == "pending" and one["name"] == "n17"
    service.start_cluster(2, 2)
    until(
        lambda: all(j["status"] == "completed" for j in listed(service, batch_id=answer["batch_id"])),
        "all jobs of the batch to complete",
    )


def test_a_batch_is_all_or_nothing_and_errors_name_the_job(service):
    body = batch_of(20)
    body["jobs"][17] = {"parameters": {"taskss": 1}}
    problem = service.refused("POST", "jobs/batch", 422, body)
    assert [e["pointer"] for e in problem["errors"]] == ["/jobs/17/parameters/taskss"]
    assert "tasks" in problem["detail"] and "job 17" in problem["detail"]
    body["jobs"][17] = {"dataset_id": "my_datset", "operation": "describe", "parameters": {}}
    body["defaults"].pop("parameters")
    problem = service.refused("POST", "jobs/batch", 422, body)
    assert problem["errors"][0]["pointer"].startswith("/jobs/17/dataset_id")
    for bad in ({}, {"jobs": []}, {"jobs": [{}], "job": 1}):
        service.refused("POST", "jobs/batch", 422, bad)
    assert listed(service) == []


def test_the_same_key_answers_the_same_batch_also_after_a_restart(service):
    headers = {"Idempotency-Key": "night-1"}
    first = service.post("jobs/batch", batch_of(3), headers=headers)
    again = service.request("POST", "jobs/batch", json=batch_of(3), headers=headers)
    assert again.json()["batch_id"] == first["batch_id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    restart(service)
    assert service.post("jobs/batch", batch_of(3), headers=headers)["batch_id"] == first["batch_id"]
    assert service.request("POST", "jobs/batch", json=batch_of(4), headers=headers).status_code == 422
    assert len(listed(service)) == 3


def test_a_body_over_the_limit_is_refused_here_and_elsewhere(service):
    big = {"defaults": noop(), "jobs": [{"name": "x" * 250} for _ in range(8_000)]}
    assert len(json.dumps(big)) > 1_000_000
    assert service.post("jobs/batch", big)["n_jobs"] == 8_000
    service.refused("POST", "jobs/submit", 413, big)
    too_big = {"defaults": noop(), "jobs": [{"tags": ["x" * 200] * 10} for _ in range(9_000)]}
    problem = service.refused("POST", "jobs/batch", 413, too_big)
    assert "16MB" in problem["detail"]


def slowness(body):
    """How much slower than the machine of the claim (0.1 s to parse the request in Python) this one is now; 1 at least."""
    took = []
    for _ in range(3):
        began = time.process_time()
        json.loads(body)
        took.append(time.process_time() - began)
    return max(1.0, min(took) / 0.1)


def test_100_000_jobs_in_one_request_take_under_a_second_and_survive_kill_9(service):
    rows = [{"parameters": {"tasks": 1 + i % 3}} for i in range(100_000)]
    body = json.dumps({"defaults": noop(), "jobs": rows})
    headers = {"Content-Type": "application/json"}
    times, works = [], []
    # Others may use the machine: the best of three counts, or what the service itself worked for it.
    while len(times) < 3 and min(times + works, default=9) > 1.0:
        if times:
            service.post("jobs/cancel", {"batch_id": answer["batch_id"]}, timeout=300)
        began, worked = time.monotonic(), cpu_seconds(service.process.pid)
        sent = service.request("POST", "jobs/batch", data=body, headers=headers)
        times.append(time.monotonic() - began)
        works.append(cpu_seconds(service.process.pid) - worked)
        assert sent.status_code == 200, sent.text
        answer = sent.json()
    print(
        f"\n100,000 jobs in one request of {len(body) / 1e6:.1f} MB: answered after {min(times):.2f} s, "
        f"{min(works):.2f} s of them work of the service"
    )
    batch = {"batch_id": answer["batch_id"], "limit": 1}
    service.kill()
    service.start()
    assert service.get("jobs/list", params=batch)["total"] == 100_000
    assert service.get("queue/status")["pending"] == 100_000
    assert service.status(answer["last_job_id"])["parameters"]["tasks"] == 1 + 99_999 % 3
    service.start_cluster(2, 2)
    done = {**batch, "status": "completed"}
    until(lambda: service.get("jobs/list", params=done)["total"] > 20, "jobs to run")
    service.kill()
    service.start()
    assert service.get("jobs/list", params=batch)["total"] == 100_000
    cancelled = service.post("jobs/cancel", {"batch_id": answer["batch_id"], "reason": "enough"}, timeout=300)
    assert cancelled["matched"] > 90_000
    until(lambda: service.get("queue/status")["pending"] == 0, "the queue to be empty")
    until(lambda: service.get("cluster/status")["active_tasks"] == 0, "the last tasks to end")
    ended = [service.get("jobs/list", params={**batch, "status": s})["total"] for s in ("completed", "cancelled")]
    assert sum(ended) == 100_000 and ended[0] > 20
    assert min(times + works) < 1.0 * PATIENCE * slowness(body)


def test_thousands_of_pending_jobs_are_cancelled_at_once_and_stay_so_after_kill_9(service):
    """The answer comes before each has its row: what it said holds, whenever the service is killed."""
    batch = service.post("jobs/batch", batch_of(30_000))
    kept = service.submit("noop", held=True)
    began = time.monotonic()
    answer = service.post("jobs/cancel", {"batch_id": batch["batch_id"], "reason": "a typo"})
    print(f"\n30,000 pending jobs cancelled in {time.monotonic() - began:.2f} s")
    assert (answer["matched"], answer["cancelled"], answer["cancelling"]) == (30_000, 30_000, 0)

    def check():
        cancelled = {"batch_id": batch["batch_id"], "status": "cancelled", "limit": 1}
        assert service.get("jobs/list", params=cancelled)["total"] == 30_000
        assert service.get("queue/status")["pending"] == 1
        last = service.status(batch["last_job_id"])
        assert last["status"] == "cancelled" and "a typo" in last["error"]["detail"], last
        return last

    before = check()
    late = service.submit("noop", depends_on=[batch["first_job_id"]])
    status = service.wait(late)
    assert (status["status"], status["error"]["code"]) == ("cancelled", "dependency_failed")
    restart(service)
    after = check()
    assert after["created_at"] == before["created_at"]
    service.start_cluster(1, 1)
    service.complete(service.submit("noop"))
    until(lambda: not unwritten(service), "all ends to be written", 120)
    restart(service)
    check()
    assert service.status(kept)["status"] == "pending"
    again = service.post(f"jobs/{batch['first_job_id']}/retry")["job_id"]
    until(lambda: service.cluster_with(1), "the cluster to be back")
    service.complete(again)


def unwritten(service):
    """What the store still has to be told of jobs that were cancelled in one go."""
    with sqlite3.connect(f"file:{service.state}/store.db?mode=ro", uri=True) as db:
        row = db.execute("SELECT value FROM settings WHERE key = 'cancelling'").fetchone()
    return json.loads(row[0]) if row else []


# ---- one job, changed ----


def test_a_held_job_waits_for_its_release_also_over_a_restart(service):
    service.start_cluster(1, 1)
    job = service.submit("noop", held=True)
    status = service.status(job)
    assert (status["status"], status["phase"], status["held"]) == ("pending", "held", True)
    assert status["waiting"]["code"] == "held"
    service.run("noop")
    assert service.status(job)["phase"] == "held"
    restart(service)
    until(lambda: service.cluster_with(1), "the cluster to be back")
    service.run("noop")
    assert service.status(job)["phase"] == "held"
    after = service.request("PATCH", f"jobs/{job}", json={"held": False}).json()
    assert after["held"] is False
    service.complete(job)


def test_patch_changes_what_it_names_and_it_lasts(service):
    job = service.submit("noop", name="before", tags=["a"])
    changes = {"priority": "CRITICAL", "name": "after", "tags": ["b", "c"], "keep": True}
    answer = service.request("PATCH", f"jobs/{job}", json=changes)
    assert answer.status_code == 200, answer.text
    first = service.submit("noop", priority="HIGH")
    assert [q["job_id"] for q in service.get("queue/status")["jobs"]] == [job, first]
    restart(service)
    status = service.status(job)
    assert (status["priority_name"], status["name"], status["tags"], status["keep"]) == (
        "CRITICAL",
        "after",
        ["b", "c"],
        True,
    )
    assert [q["job_id"] for q in service.get("queue/status")["jobs"]] == [job, first]
    assert [j["job_id"] for j in listed(service, tag="b")] == [job] and listed(service, tag="a") == []
    service.start_cluster(1, 1)
    service.complete(job)
    problem = service.refused("PATCH", f"jobs/{job}", 409, {"priority": "LOW"})
    assert "completed" in problem["detail"]
    assert service.request("PATCH", f"jobs/{job}", json={"name": "later"}).json()["name"] == "later"


@pytest.mark.parametrize(
    "body,status",
    [({}, 422), ({"priority": 9}, 422), ({"held": "yes"}, 422), ({"hold": True}, 422), ({"user": "x"}, 422)],
)
def test_patch_refuses(service, body, status):
    job = service.submit("noop")
    service.refused("PATCH", f"jobs/{job}", status, body)
    service.refused("PATCH", f"jobs/{job[:-1]}{'0' if job[-1] != '0' else '1'}", 404, {"held": True})


# ---- many jobs cancelled ----


def test_cancel_by_filter(service):
    service.start_cluster(1, 1)
    running = service.submit("noop", parameters={"tasks": 1, "sleep_ms": 60_000}, user="ada")
    until(lambda: service.status(running)["status"] == "running", "the job to run")
    waiting = [service.submit("noop", user=u, tags=[t], held=True) for u in ("ada", "bob") for t in ("x", "y")]
    answer = service.post("jobs/cancel", {"user": "ada", "status": "pending", "reason": "wrong data"})
    assert answer["matched"] == 2 and set(answer["job_ids"]) == set(waiting[:2])
    assert "wrong data" in service.status(waiting[0])["error"]["detail"]
    assert service.status(waiting[2])["status"] == "pending"
    assert service.post("jobs/cancel", {"tag": "y"})["matched"] == 1
    assert service.status(waiting[3])["status"] == "cancelled"
    answer = service.post("jobs/cancel", {"job_ids": [running, waiting[0], waiting[2]]})
    assert answer["matched"] == 2 and answer["ended_before"] == [waiting[0]]
    until(lambda: service.status(running)["status"] == "cancelled", "the running one to stop")
    for body in ({}, {"reason": "all"}, {"status": "completed"}, {"job_ids": ["x"]}, {"usr": "ada"}):
        service.refused("POST", "jobs/cancel", 422, body)


# ---- queue ----


def test_a_paused_queue_starts_nothing_until_it_is_resumed_also_over_a_restart(service):
    service.start_cluster(1, 1)
    answer = service.post("queue/pause", {"reason": "disk is being moved"})
    assert answer["paused"] is True and answer["paused_reason"] == "disk is being moved"
    job = service.submit("noop")
    waiting = service.status(job)["waiting"]
    assert waiting["code"] == "queue_paused" and "disk is being moved" in waiting["message"]
    restart(service)
    until(lambda: service.cluster_with(1), "the cluster to be back")
    assert service.status(job)["waiting"]["code"] == "queue_paused"
    assert service.get("queue/status")["paused_reason"] == "disk is being moved"
    assert service.post("queue/resume")["paused"] is False
    service.complete(job)


def test_limits_name_themselves_when_they_refuse_and_last(service):
    limits = {
        "max_pending_jobs": 5,
        "per_user": {"max_pending_jobs": 3, "max_priority": 3},
        "users": {"ada": {"weight": 2, "max_pending_jobs": 4}},
    }
    answer = service.request("PUT", "resources/limits", json=limits)
    assert answer.status_code == 200, answer.text
    restart(service)
    stored = service.get("resources/limits")
    assert stored["max_pending_jobs"] == 5 and stored["users"]["ada"] == {"weight": 2.0, "max_pending_jobs": 4}
    for _ in range(3):
        service.submit("noop", user="bob")
    refused = service.request("POST", "jobs/submit", json={"operation": "noop", "user": "bob"})
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) > 0
    assert "per_user.max_pending_jobs" in refused.json()["detail"] and "bob" in refused.json()["detail"]
    ada = service.submit("noop", user="ada")
    problem = service.refused("POST", "jobs/batch", 429, {"defaults": {"operation": "noop", "user": "ada"}, "jobs": [{}] * 2})
    assert "limit max_pending_jobs" in problem["detail"]
    problem = service.refused("POST", "jobs/submit", 429, {"operation": "noop", "user": "ada", "priority": "CRITICAL"})
    assert "max_priority" in problem["detail"] and "HIGH" in problem["detail"]
    service.refused("PATCH", f"jobs/{ada}", 429, {"priority": "CRITICAL"})
    service.submit("noop", user="ada")
    service.post("jobs/cancel", {"user": "bob"})
    service.submit("noop", user="bob")
    for bad in ({"max_pending_job": 1}, {"per_user": {"max_cores": 0}}, {"users": {"ada": {"weight": 0}}}):
        service.refused("PUT", "resources/limits", 422, bad)


def test_impossible_requests_are_refused_with_the_largest_possible(service):
    problem = service.refused("POST", "jobs/submit", 422, {"operation": "noop", "memory_per_worker": "900GB"})
    assert problem["errors"][0]["pointer"] == "/memory_per_worker"
    assert "2GB" in problem["detail"], "the largest possible is named"
    job = service.submit("noop", max_cores=1000)
    assert "max_cores is 1000" in service.status(job)["warnings"][0]["message"]
    missing = "019b76da-8c00-7000-8000-00000000000a"
    problem = service.refused("POST", "jobs/submit", 422, {"operation": "noop", "depends_on": [missing]})
    assert problem["errors"][0]["pointer"] == "/depends_on/0"


def test_queue_status_tells_each_users_part(service):
    service.request("PUT", "resources/limits", json={"users": {"ada": {"weight": 3}}})
    service.start_cluster(1, 2)
    running = service.submit("noop", parameters={"tasks": 8, "sleep_ms": 20_000}, user="ada")
    until(lambda: service.status(running)["status"] == "running", "the job to run")
    service.submit("noop", user="bob", held=True)
    until(lambda: service.get("cluster/status")["used_cores"] == 2, "both threads to work")
    queue = service.get("queue/status")
    users = {u["user"]: u for u in queue["users"]}
    assert users["ada"]["weight"] == 3 and users["bob"]["weight"] == 1
    assert users["ada"]["running_jobs"] == 1 and users["ada"]["cores"] == 2
    assert users["bob"]["pending_jobs"] == 1 and queue["by_user"] == {"bob": 1}
    assert queue["jobs"][0]["waiting_code"] == "held" and "expected_start" in queue["jobs"][0]


def test_a_restart_forgives_nobody_what_they_used(service):
    service.start_cluster(1, 1)
    service.submit("noop", user="ada", held=True)
    service.run("noop", parameters={"tasks": 4, "sleep_ms": 500}, user="ada")

    def usage():
        return {u["user"]: u["recent_usage"] for u in service.get("queue/status")["users"]}.get("ada", 0)

    before = usage()
    assert before > 1, "two seconds of all there is"
    service.stop()
    service.start()
    assert 0.9 * before < usage() <= before


# ---- workers and the cluster's size ----


def worker(service, which=0):
    return service.get("cluster/status")["workers"][which]["id"]


def test_a_drained_worker_ends_its_tasks_and_takes_no_more(service):
    service.start_cluster(2, 1)
    job = service.submit("noop", parameters={"tasks": 40, "sleep_ms": 50})
    until(lambda: service.get("cluster/status")["used_cores"] == 2, "both to work")
    name = worker(service)
    answer = service.post(f"cluster/workers/{name}/drain", {"reason": "fan is loud"})
    assert answer["status"] in ("draining", "drained") and answer["reason"] == "fan is loud"
    until(lambda: service.get(f"cluster/workers/{name}")["status"] == "drained", "it to be idle")
    done = service.get(f"cluster/workers/{name}")["completed_tasks"]
    assert service.complete(job)["attempts"] == []
    assert service.get(f"cluster/workers/{name}")["completed_tasks"] == done
    assert service.post(f"cluster/workers/{name}/readmit")["status"] in ("idle", "busy")


def test_an_excluded_worker_loses_its_tasks_and_comes_back_by_itself(service):
    service.start_cluster(2, 1)
    job = service.submit("noop", parameters={"tasks": 2, "sleep_ms": 1500})
    until(lambda: service.get("cluster/status")["used_cores"] == 2, "both to work")
    name = worker(service)
    answer = service.post(f"cluster/workers/{name}/exclude", {"reason": "slow", "for_seconds": 3})
    assert answer["status"] == "excluded" and answer["excluded_until"] and answer["reason"] == "slow"
    until(lambda: service.get(f"cluster/workers/{name}")["status"] != "excluded", "it to be readmitted")
    assert service.complete(job)["attempts"] == [], "nobody is blamed"
    assert service.get("faults/statistics")["exclusions"] >= 1


def test_worker_routes_refuse(service):
    service.start_cluster(1, 1)
    problem = service.refused("POST", "cluster/workers/w99/drain", 404)
    assert "w1" in problem["detail"] or "cluster/status" in problem["hint"]
    service.refused("POST", f"cluster/workers/{worker(service)}/exclude", 422, {"for_seconds": -1})
    service.refused("POST", f"cluster/workers/{worker(service)}/drain", 422, {"because": "x"})


def test_autoscale_is_kept_and_its_decisions_page(service):
    assert service.get("cluster/autoscale")["enabled"] is False
    answer = service.request("PUT", "cluster/autoscale", json={"min": 2, "max": 4}).json()
    assert (answer["enabled"], answer["min"], answer["max"]) == (True, 2, 4)
    restart(service)
    assert service.get("cluster/autoscale")["max"] == 4
    for bad in ({"min": 5, "max": 4}, {"min": 0}, {"maximum": 3}):
        service.refused("PUT", "cluster/autoscale", 422, bad)
    page = service.get("cluster/autoscale/decisions?limit=5")
    assert isinstance(page["decisions"], list) and "next_page_token" in page
    service.request("PUT", "cluster/autoscale", json={"enabled": False})
    problem = service.refused("POST", "cluster/start", 422, {"autoscale": {"min": 9, "max": 2}})
    assert problem["errors"][0]["pointer"] == "/autoscale/min"
    started = service.post("cluster/start?wait=60", {"n_workers": 2, "autoscale": {"min": 1, "max": 3}})
    assert started["autoscale"] == {"enabled": True, "min": 1, "max": 3}


def test_the_cluster_grows_under_load_and_says_why_also_after_kill_9(service):
    service.start_cluster(1, 1)
    service.request("PUT", "cluster/autoscale", json={"min": 1, "max": 3})
    job = service.submit("noop", parameters={"tasks": 400, "sleep_ms": 400})
    until(lambda: service.get("cluster/status")["target_workers"] == 3, "the cluster to grow", 120)
    decisions = service.get("cluster/autoscale/decisions")["decisions"]
    assert decisions[0]["to"] == 3 and decisions[-1]["from"] == 1
    for d in decisions:
        assert d["to"] >= d["from"] and d["reason"] and d["numbers"], d
    assert service.get("cluster/autoscale")["last_decision"] == decisions[0]
    restart(service)
    until(lambda: service.cluster_with(3), "the grown cluster to be back")
    assert service.get("cluster/autoscale/decisions")["decisions"][-1] == decisions[-1]
    page = service.get("cluster/autoscale/decisions?limit=1")
    assert page["decisions"] == service.get("cluster/autoscale/decisions")["decisions"][:1]
    service.post(f"jobs/{job}/cancel")


# ---- explain ----


def test_explain_shows_the_plan_and_why_it_waits(service):
    job = service.submit(
        "aggregate", "my_dataset", {"column": "expression", "operation": "mean"}, partition_size="40kB"
    )
    waits = service.get(f"jobs/{job}/explain")
    assert waits["waiting"]["code"] == "cluster_stopped" and "cluster/start" in waits["waiting"]["message"]
    assert waits["queue_position"] == 1 and waits["plan"]["planned"] is False
    service.start_cluster(2, 2)
    service.complete(job)
    done = service.get(f"jobs/{job}/explain")
    assert done["waiting"] is None and done["plan"]["planned"] is True
    stages = {s["name"]: s for s in done["plan"]["stages"]}
    assert len(stages) > 1 and done["plan"]["tasks"] == done["plan"]["tasks_done"] > 2
    assert any(s["kind"] == "map" and s["tasks"] > 1 and s["bytes"] > 0 for s in stages.values())
    for stage in done["plan"]["stages"][1:]:
        assert stage["kind"] and stage["memory_per_task_bytes"] > 0
        assert all(a in stages for a in stage["after"])
    restart(service)
    assert service.get(f"jobs/{job}/explain")["plan"] == done["plan"]
    dependent = service.submit("noop", depends_on=[service.submit("noop", held=True)])
    why = service.get(f"jobs/{dependent}/explain")
    assert why["waiting"]["code"] == "dependency" and why["depends_on"][0]["status"] == "pending"
    service.refused("GET", "jobs/nonsense/explain", 404)


# ---- the real run ----

USERS = ("ada", "bob", "cleo")
JOBS_EACH = 200
KILL_EVERY = 5.0


def mixed_jobs(seed):
    """200 jobs: mostly small, some wide, some with long tasks; each user's in another order."""
    rng = random.Random(seed)
    jobs = []
    for i in range(JOBS_EACH):
        tasks, sleep = [(1, 100), (2, 60), (4, 120), (8, 80), (3, 250)][i % 5]
        jobs.append({"parameters": {"tasks": tasks, "sleep_ms": sleep}})
    rng.shuffle(jobs)
    return jobs


class Watch:
    """Samples what each user holds, and kills a worker every few seconds."""

    def __init__(self, service):
        self.service = service
        self.held = dict.fromkeys(USERS, 0.0)
        self.contended = 0.0
        self.kills = 0
        self.last = self.killed = time.monotonic()

    def look(self):
        queue = self.service.get("queue/status?limit=1")
        now = time.monotonic()
        passed, self.last = now - self.last, now
        if all(queue["by_user"].get(u, 0) > 0 for u in USERS):
            self.contended += passed
            for u in queue["users"]:
                if u["user"] in self.held:
                    self.held[u["user"]] += u["cores"] * passed
        if now - self.killed >= KILL_EVERY:
            self.killed = now
            workers = [w for w in self.service.get("cluster/status")["workers"] if w["status"] == "busy"]
            if workers:
                os.kill(workers[self.kills % len(workers)]["pid"], signal.SIGKILL)
                self.kills += 1
        return queue["pending"] == 0 and queue["running"] == 0

    def shares(self):
        total = sum(self.held.values())
        return {u: self.held[u] / total for u in USERS}


def test_three_users_of_200_jobs_each_on_workers_that_are_killed(make_service):
    service = make_service(arguments=["--retry-delay", "100ms"]).start()
    # One after the other, so that first come first served would be far from fair.
    for i, user in enumerate(USERS):
        body = {"defaults": {"operation": "noop", "user": user}, "jobs": mixed_jobs(i)}
        assert service.post("jobs/batch", body)["n_jobs"] == JOBS_EACH
    service.start_cluster(4, 2)
    watch = Watch(service)
    began = time.monotonic()
    until(watch.look, "600 jobs to end", 240)
    took = time.monotonic() - began
    shares = watch.shares()
    print(f"\n600 jobs of 3 users on 4 workers x 2: {took:.0f} s, {watch.kills} workers killed")
    print(f"while all three had jobs waiting ({watch.contended:.0f} s): " + ", ".join(
        f"{u} {s:.1%} of the cores held" for u, s in shares.items()))
    for user in USERS:
        done = service.get("jobs/list", params={"user": user, "status": "completed", "limit": 1})["total"]
        assert done == JOBS_EACH, f"{user}: {done} of {JOBS_EACH} completed"
    assert watch.kills >= 3 and watch.contended > 5
    for user, share in shares.items():
        assert abs(share - 1 / 3) <= 0.1 / 3, f"{user} had {share:.1%}, fair is 33.3 %"
