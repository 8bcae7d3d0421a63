"""Workers that go bad on their own: their tasks go on elsewhere, they are set aside, tried, taken again;
and what is counted as a failure."""

import os
import signal

import pytest

from polysome_service import until
from test_push import Events


def workers(service):
    return {w["id"]: w for w in service.get("cluster/status")["workers"]}


def break_a_slot(service, name, how=signal.SIGABRT):
    """Ends the slot of a worker of one slot as its own fault would, while it runs a task."""

    def struck():
        worker = workers(service)[name]
        if worker["status"] == "excluded":
            return "excluded"
        slots = service.slots(worker["pid"])
        if worker["running_tasks"] != 1 or len(slots) != 1:
            return None
        os.kill(slots[0], how)
        return slots[0]

    slot = until(struck, f"{name} to run a task")
    until(lambda: slot not in service.slots(workers(service)[name]["pid"]), "the slot to end")


def said_of(service, name):
    """Types of the events about a worker, from the first on."""
    types = []
    with Events(service, "events", last_id=0) as stream:
        for event in stream:
            if event["data"].get("worker") == name:
                types.append(event["type"])
            if event["type"] == "queue.paused":
                return types
    return types


def test_a_worker_whose_slots_keep_crashing_is_excluded_probed_and_readmitted(make_service):
    service = make_service(arguments=["--retry-delay", "100ms"]).start()
    service.start_cluster(3, 1)
    job = service.submit("noop", parameters={"tasks": 900, "sleep_ms": 300}, max_attempts=5)
    bad = sorted(workers(service))[0]
    crashes = 0
    while workers(service)[bad]["status"] != "excluded":
        break_a_slot(service, bad, [signal.SIGABRT, signal.SIGSEGV, signal.SIGILL][crashes % 3])
        crashes += 1
        assert crashes < 10, workers(service)[bad]
    excluded = workers(service)[bad]
    assert f"{crashes} crashes or losses of slots" in excluded["reason"], excluded
    assert excluded["excluded_until"] and excluded["failures"] == crashes >= 3
    assert excluded["faults"] == {"worker_lost": crashes} and excluded["score"] > 2
    faults = service.get("faults/statistics")
    assert (faults["exclusions"], faults["readmissions"], faults["slots_lost"]) == (1, 0, crashes)
    assert faults["by_class"]["worker_lost"] == faults["failed"] == crashes
    assert {w["worker"]: w["failed"] for w in faults["by_worker"] if w["failed"]} == {bad: crashes}
    # The others go on, it does nothing.
    had, done = workers(service)[bad]["completed_tasks"], service.tasks_done(job)
    until(lambda: service.tasks_done(job) > done + 10, "the others to go on")
    assert workers(service)[bad]["completed_tasks"] == had
    # After a minute one task probes it, and it is well again.
    until(lambda: workers(service)[bad]["status"] in ("idle", "busy"), "it to be readmitted", 150)
    until(lambda: workers(service)[bad]["completed_tasks"] > had + 3, "it to work as before")
    well = workers(service)[bad]
    assert well["reason"] is None and well["excluded_until"] is None and well["score"] < 0.5, well
    assert service.get("faults/statistics")["readmissions"] == 1
    attempts = service.status(job)["attempts"]
    assert [a["worker"] for a in attempts] == [bad] * crashes
    assert {a["class"] for a in attempts} == {"worker_lost"}
    assert len({a["task"] for a in attempts}) == crashes, "no task was tried on it a second time"
    service.post(f"jobs/{job}/cancel")
    service.post("queue/pause")
    said = [t for t in said_of(service, bad) if t != "worker.lost"]
    assert said == ["worker.ready", "worker.excluded", "worker.probed", "worker.readmitted"], said


def test_an_excluded_worker_is_taken_back_by_hand_at_once(service):
    service.start_cluster(2, 1)
    name = sorted(workers(service))[0]
    service.post(f"cluster/workers/{name}/exclude", {"reason": "smells", "for_seconds": 3600})
    assert workers(service)[name]["status"] == "excluded"
    answer = service.post(f"cluster/workers/{name}/readmit")
    assert answer["status"] == "idle" and answer["excluded_until"] is None
    service.run("noop", parameters={"tasks": 20, "sleep_ms": 20})
    assert workers(service)[name]["completed_tasks"] > 0


def test_a_task_that_crashed_goes_on_elsewhere(service):
    service.start_cluster(2, 1)
    job = service.submit("noop", parameters={"tasks": 2, "sleep_ms": 2000})
    name = sorted(workers(service))[0]

    def tasks(state):
        found = service.get(f"jobs/{job}/tasks")["tasks"]
        return [t for t in found if t["stage"] == "noop" and t["state"] == state]

    until(lambda: len(tasks("running")) == 2, "both to run")
    break_a_slot(service, name)
    # Its worker is free at once, the other one a second or two later: that one takes the task.
    again = until(lambda: [t for t in tasks("running") if t["attempt"] == 2], "the task to run again")
    assert [t["worker"] for t in again] == [w for w in sorted(workers(service)) if w != name]
    assert [a["worker"] for a in service.complete(job)["attempts"]] == [name]


@pytest.mark.parametrize("how", ["cancelled", "taken from an excluded worker"])
@pytest.mark.parametrize("when", ["running", "assigned"])
def test_what_was_told_to_stop_is_no_failure_even_if_its_process_had_to_be_ended(service, how, when):
    service.start_cluster(2, 1)
    name = sorted(workers(service))[0]
    if when == "assigned":  # deaf before it was given anything
        os.kill(service.slots(workers(service)[name]["pid"])[0], signal.SIGSTOP)
    job = service.submit("noop", parameters={"tasks": 2, "sleep_ms": 60_000})
    if when == "running":
        states = lambda: [t["state"] for t in service.get(f"jobs/{job}/tasks")["tasks"]]
        until(lambda: states().count("running") == 2, "both to run")
    else:
        until(lambda: workers(service)[name]["running_tasks"] == 1, "it to be given a task")
    slots = service.slots(workers(service)[name]["pid"])
    for pid in slots:
        os.kill(pid, signal.SIGSTOP)  # deaf: it has to be killed
    if how == "cancelled":
        service.post(f"jobs/{job}/cancel")
    else:
        service.post(f"cluster/workers/{name}/exclude", {"for_seconds": 3600})
    until(lambda: service.slots(workers(service)[name]["pid"]) not in ([], slots), "a new slot", 90)
    faults = service.get("faults/statistics")
    assert faults["failed"] == 0 and faults["slots_lost"] == 0, faults
    service.post(f"jobs/{job}/cancel")
    assert service.status(job)["attempts"] == []
