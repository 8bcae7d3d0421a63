"""Requests and answers as they were agreed on: hundreds of them, made from a table (answers_table.py),
each compared with what lies in golden/answers. POLYSOME_GOLDEN=write writes them; whoever does reads
what changed, as a caller would."""

import json
import os
import pathlib
import re
import urllib.parse

import pytest
import requests

import answers_table
import tables
from polysome_service import API

GOLDEN = pathlib.Path(__file__).with_name("golden") / "answers"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ")
# Members whose values are another each time.
VOLATILE = {
    "uptime_seconds", "version", "host", "pid", "peak_memory", "peak_memory_bytes", "cpu_seconds", "memory_gb_seconds",
    "waiting_seconds", "oldest_wait_seconds", "wait_seconds_p50", "recent_usage", "share", "fingerprint", "bytes_read",
    "seconds", "cpu_percent", "used_memory", "used_memory_bytes", "memory_used", "memory_used_bytes", "disk_free_bytes",
    "total_size", "total_size_bytes", "bytes", "bytes_total", "bytes_done", "overcommitted", "input_bytes", "free_bytes",
    "disk", "free", "dashboard_url", "length", "partition_size_bytes", "memory_limit", "memory_limit_bytes", "grant_bytes",
}  # fmt: skip
LONGEST = 200  # longer requests are cut in the file


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A service with one dataset, a completed and a held job, and a cluster that is stopped."""
    from polysome_service import Service

    service = Service(tmp_path_factory.mktemp("answers"))
    tables.write(tables.expression_table(), service.data / "my_dataset.csv")
    service.start()
    try:
        service.start_cluster(1, 1)
        done = service.submit("aggregate", "my_dataset", {"column": "expression", "operation": ["mean", "max"]}, user="ada", name="first")
        service.complete(done)
        service.post("cluster/stop?wait=60")
        held = service.submit("noop", held=True, user="ada", tags=["later"])
        service.jobs = {"HELD": held, "DONE": done, "GONE": "01a00000-0000-7000-8000-0123456789ab"}
        yield service
    finally:
        service.stop()


def filled(service, value):
    """The value with the names of jobs replaced by their ids."""
    text = json.dumps(value)
    for name, job in service.jobs.items():
        text = re.sub(rf"\b{name}\b", job, text)
    return json.loads(text)


def cleaned(service, text):
    for path, name in ((service.data, "DATA"), (service.state, "STATE"), (service.folder, "HERE")):
        text = text.replace(str(path), name)
    for name, job in service.jobs.items():
        text = text.replace(job, name)
    text = text.replace(f":{service.port}", ":PORT")
    # Lists that grow with what the program learns.
    text = re.sub(r"one of aggregate, [a-z_, ]+", "one of OPERATIONS", text)
    text = re.sub(r"one of csv, [a-z, ]+", "one of FORMATS", text)
    text = re.sub(r"it takes kind, [a-z_, ]+", "it takes LAYOUT KEYS", text)
    text = UUID.sub("ID", text)
    return TIME.sub("TIME", text)


def steady(value):
    if isinstance(value, dict):
        return {k: "*" if k in VOLATILE and v is not None else steady(v) for k, v in value.items()}
    if isinstance(value, list):
        return [steady(v) for v in value]
    return value


def ask(service, method, path, body, kind):
    where, _, query = path.partition("?")
    for name, job in service.jobs.items():
        where = re.sub(rf"\b{name}", job, where)
    url = (where if where.startswith("/") else f"{API}/{where}") + (f"?{query}" if query else "")
    try:
        if kind is not None:
            data = body.encode("utf-8", "surrogatepass")
            return service.request(method, url, timeout=20, stream=True, data=data, headers={"Content-Type": kind})
        if body is not None:
            return service.request(method, url, timeout=20, stream=True, json=filled(service, body))
        return service.request(method, url, timeout=20, stream=True)
    except requests.Timeout:
        raise AssertionError(f"no answer to {method} {url} {body}") from None


def told(service, method, path, body, kind):
    """Request and answer as lines of text."""
    answer = ask(service, method, path, body, kind)
    sent = "" if body is None else json.dumps(body) if kind is None else f"{kind} {body!r}"
    shown = f"{sent[:LONGEST]} … {len(sent)} characters" if len(sent) > LONGEST else sent
    content = answer.headers.get("Content-Type", "").partition(";")[0]
    if content == "text/event-stream":
        answer.close()
    lines = [f"{method} {urllib.parse.unquote(path) if len(path) < 200 else path[:80] + '…'} {shown}".rstrip()]
    if content == "application/problem+json":
        problem = answer.json()
        assert problem["status"] == answer.status_code and problem["type"].endswith("#" + problem["code"])
        where = ", ".join(e["pointer"] for e in problem.get("errors", []) if e.get("pointer"))
        lines.append(f"  {answer.status_code} {problem['code']}: {problem['detail']}" + (f"  [{where}]" if where else ""))
        if problem.get("hint"):
            lines.append(f"  hint: {problem['hint']}")
        for header in ("Allow", "Retry-After", "WWW-Authenticate"):
            if header in answer.headers:
                lines.append(f"  {header}: {answer.headers[header]}")
    elif content == "application/json":
        lines.append(f"  {answer.status_code} {json.dumps(steady(answer.json()), ensure_ascii=False)}")
    else:
        lines.append(f"  {answer.status_code} {content}")
    if content.startswith("text/") and content != "text/event-stream":
        lines += ["  | " + line for line in answer.text.splitlines()[:8]]
    return [cleaned(service, line) for line in lines]


@pytest.mark.parametrize("group", answers_table.GROUPS)
def test_each_request_has_the_answer_that_was_agreed_on(place, group):
    before = place.get("jobs/list")["total"]
    stories = [told(place, *case) for case in answers_table.cases(group)]
    text = "\n\n".join("\n".join(story) for story in stories) + "\n"
    golden = GOLDEN / f"{group}.txt"
    if os.environ.get("POLYSOME_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        golden.write_text(text)
    assert place.get("jobs/list")["total"] == before, "a request that was to be refused made a job"
    assert place.get("cluster/status")["status"] == "stopped"
    agreed = golden.read_text().rstrip("\n").split("\n\n")
    assert len(agreed) == len(stories)
    other = [f"agreed:\n{a}\nnow:\n{b}" for a, b in zip(agreed, ["\n".join(s) for s in stories]) if a != b]
    assert not other, f"{len(other)} of {len(stories)} answers are others:\n" + "\n\n".join(other[:10])


def test_there_are_five_hundred():
    sizes = {group: len(answers_table.cases(group)) for group in answers_table.GROUPS}
    print(f"\n{sum(sizes.values())} requests: {sizes}")
    assert sum(sizes.values()) >= 500
