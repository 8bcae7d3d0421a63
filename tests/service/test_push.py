"""Server-sent events: whole, in order, without gaps, also across a reconnect and a restart."""

import json

import requests

from polysome_service import API, PATIENCE, until


class Events:
    """A stream of server-sent events, as EventSource would read it."""

    def __init__(self, service, path, last_id=None):
        headers = {
            "Accept": "text/event-stream",
            **({"Last-Event-ID": str(last_id)} if last_id is not None else {}),
        }
        self.answer = requests.get(
            service.address(f"{API}/{path}"), headers=headers, stream=True, timeout=60 * PATIENCE
        )

    def __enter__(self):
        assert self.answer.status_code == 200, self.answer.text
        assert self.answer.headers["content-type"].startswith("text/event-stream")
        return self

    def __exit__(self, *_):
        self.answer.close()

    def __iter__(self):
        current = {}
        for raw in self.answer.iter_lines(chunk_size=1):
            line = raw.decode()
            if not line:
                if "data" in current:
                    envelope = json.loads(current["data"])
                    assert int(current["id"]) == envelope["id"]
                    yield envelope
                current = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(":")
                assert name in ("id", "data", "retry"), line
                current[name] = value.removeprefix(" ")


def check_job_events(events, job):
    assert all(e["job_id"] == job for e in events)
    assert [e["seq"] for e in events] == list(
        range(events[0]["seq"], events[0]["seq"] + len(events))
    ), "gapless per job"
    ids = [e["id"] for e in events]
    assert ids == sorted(set(ids))
    progress = [e["data"]["progress"] for e in events if "progress" in e["data"]]
    assert progress == sorted(progress), "progress never falls"
    statuses = [e["data"]["status"] for e in events if e["type"] == "job.status"]
    assert statuses[0] == "pending" and statuses[-1] == "completed"
    for e in events:
        assert {"id", "time", "type", "job_id", "data"} <= set(e)
        if e["type"] == "job.progress":
            assert {
                "progress",
                "eta_seconds",
                "tasks_done",
                "tasks_total",
                "bytes_done",
                "bytes_total",
                "stage",
                "message",
            } <= set(e["data"])
            assert e["data"]["progress"] < 100


def test_a_job_tells_its_whole_story_and_ends(service):
    service.start_cluster(1, 2)
    job = service.submit("noop", parameters={"tasks": 30, "sleep_ms": 60})
    with Events(service, f"jobs/{job}/events") as stream:
        events = list(stream)
    check_job_events(events, job)
    assert events[0]["seq"] == 1
    assert any(e["type"] == "job.progress" for e in events)
    assert events[-1]["data"]["progress"] == 100
    # A reconnect after the end is told to stay away; the story can be read again.
    again = requests.get(
        service.address(f"{API}/jobs/{job}/events"),
        headers={"Last-Event-ID": str(events[-1]["id"])},
        timeout=60,
    )
    assert again.status_code == 204
    with Events(service, f"jobs/{job}/events") as stream:
        assert list(stream) == events


def test_replay_after_a_reconnect_has_no_gap(service):
    service.start_cluster(1, 2)
    job = service.submit("noop", parameters={"tasks": 40, "sleep_ms": 60})
    first = []
    with Events(service, f"jobs/{job}/events") as stream:
        for event in stream:
            first.append(event)
            if len(first) == 4:
                break
    until(lambda: service.tasks_done(job) > 15, "time to pass without a listener")
    with Events(service, f"jobs/{job}/events", last_id=first[-1]["id"]) as stream:
        rest = list(stream)
    check_job_events(first + rest, job)


def test_replay_across_a_restart_has_no_gap(service):
    service.start_cluster(1, 2)
    job = service.submit("noop", parameters={"tasks": 40, "sleep_ms": 80})
    first = []
    with Events(service, f"jobs/{job}/events") as stream:
        for event in stream:
            first.append(event)
            if event["data"].get("tasks_done", 0) >= 6:
                break
    service.kill()
    service.start()
    with Events(service, f"jobs/{job}/events", last_id=first[-1]["id"]) as stream:
        rest = list(stream)
    check_job_events(first + rest, job)


def test_the_global_stream_is_gapless(service):
    with Events(service, "events") as stream:
        service.start_cluster(1, 1)
        job = service.submit("noop", parameters={"tasks": 2})
        events = []
        for event in stream:
            events.append(event)
            if event.get("job_id") == job and event["data"].get("status") == "completed":
                break
    ids = [e["id"] for e in events]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert {"job.status"} < {e["type"] for e in events}, "the cluster's events are there too"
    with Events(service, "events", last_id=ids[0]) as stream:
        replayed = []
        for event in stream:
            replayed.append(event)
            if len(replayed) == len(events) - 1:
                break
    assert replayed == events[1:]
