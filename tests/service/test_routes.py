"""operations, jobs/validate, jobs/{id}/retry, jobs/{id}/logs, the OpenAPI document and the pages made from it."""

import gzip
import json
import re
import time

import numpy as np
import pandas as pd
import pytest
import requests

import polysome
import tables
from polysome_service import API, PATIENCE, until

ROWS, BAD_ROW = 40_000, 38_000


def measured(path, bad=True, opener=open):
    """A table of a value and a group; one value, late in the file, is no number."""
    rng = np.random.default_rng(7)
    values = rng.normal(5, 2, ROWS)
    groups = rng.integers(0, 5, ROWS)
    texts = [f"{v:.6f}" for v in values]
    if bad:
        texts[BAD_ROW] = "1.2.3"
    with opener(path, "wt") as out:
        out.write("sample,group,value\n")
        for i in range(ROWS):
            out.write(f"S{i:06d},g{groups[i]},{texts[i]}\n")
    good = np.array([float(t) if t != "1.2.3" else np.nan for t in texts])
    return pd.DataFrame({"group": [f"g{g}" for g in groups], "value": good})


AGGREGATE = {
    "operation": "aggregate",
    "parameters": {"column": "value", "operation": ["mean", "count"], "group_by": "group"},
    "partition_size": 20_000,
    "layout": {"types": {"value": "double"}},
}


def failed_job(service, dataset):
    job = service.post("jobs/submit", {**AGGREGATE, "dataset_id": dataset})["job_id"]
    status = service.wait(job)
    assert status["status"] == "failed" and status["error"]["code"] == "user_data", status["error"]
    return job, status


def check(service, job, frame):
    rows = service.rows(job)
    expected = frame.groupby("group")["value"].agg(["mean", "count"])
    assert [r["group"] for r in rows] == list(expected.index)
    np.testing.assert_allclose([r["value_mean"] for r in rows], expected["mean"], rtol=1e-12)
    assert [r["value_count"] for r in rows] == list(expected["count"])


@pytest.fixture
def small(make_service):
    service = make_service(arguments=["--retry-delay", "100ms"]).start()
    service.start_cluster(1, 2)
    return service


def test_retry_keeps_what_was_done_and_counts_bad_values_as_missing(small):
    frame = measured(small.data / "measured.csv")
    job, status = failed_job(small, "measured")
    item = status["error"]["errors"][0]
    assert item["line"] == BAD_ROW + 2 and item["value"] == "1.2.3" and item["column"] == "value"
    done = sum(s["tasks_done"] for s in status["stages"] if s["name"] != "plan")
    assert done >= 10
    answer = small.request("POST", f"jobs/{job}/retry", json={"on_bad_value": "null"})
    again = answer.json()["job_id"]
    assert answer.status_code == 200 and answer.headers["Location"].endswith(again)
    ended = small.complete(again)
    assert ended["retry_of"] == job and ended["user"] == status["user"]
    assert ended["reused_tasks"] == done, (ended["reused_tasks"], done, ended["stages"])
    check(small, again, frame)
    fresh = small.run("aggregate", "measured", AGGREGATE["parameters"], partition_size=20_000, on_bad_value="null",
                      layout=AGGREGATE["layout"])
    assert small.rows(fresh["job_id"]) == small.rows(again), "the same bits as a job that did all of it"
    # And once more, from the job that was itself a retry.
    third = small.post(f"jobs/{again}/retry", {})["job_id"]
    check(small, small.complete(third)["job_id"], frame)


def test_retry_does_again_what_its_input_or_its_parameters_have_changed(small):
    measured(small.data / "measured.csv")
    job, _ = failed_job(small, "measured")
    frame = measured(small.data / "measured.csv", bad=False)
    again = small.complete(small.post(f"jobs/{job}/retry", {})["job_id"])
    assert again["reused_tasks"] == 0
    check(small, again["job_id"], frame)
    other = small.post(f"jobs/{job}/retry", {"parameters": {"operation": "max", "group_by": None}})["job_id"]
    ended = small.complete(other)
    assert ended["parameters"]["operation"] == ["max"] and ended["reused_tasks"] == 0
    assert ended["result"]["value"] == frame["value"].max()


def test_retry_does_not_unpack_again(small):
    frame = measured(small.data / "packed.csv.gz", opener=gzip.open)
    job, status = failed_job(small, "packed")
    assert "unpack" in [s["name"] for s in status["stages"]]
    ended = small.complete(small.post(f"jobs/{job}/retry", {"on_bad_value": "null"})["job_id"])
    done = sum(s["tasks_done"] for s in status["stages"] if not s["name"].startswith("plan"))
    assert ended["reused_tasks"] == done
    check(small, ended["job_id"], frame)


def test_reused_tasks_are_kept_through_a_kill_of_the_service(small):
    frame = measured(small.data / "measured.csv")
    job, _ = failed_job(small, "measured")
    again = small.post(f"jobs/{job}/retry", {"on_bad_value": "null"})["job_id"]
    until(lambda: small.tasks_done(again) > 3, "some tasks to be taken over")
    small.kill()
    small.start()
    check(small, small.complete(again)["job_id"], frame)


def test_retry_of_a_job_that_goes_on_or_is_not_there(shared_service):
    job = shared_service.submit("noop", parameters={"tasks": 500, "sleep_ms": 500})
    problem = shared_service.refused("POST", f"jobs/{job}/retry", 409, {})
    assert "cancel it first" in problem["hint"]
    shared_service.post(f"jobs/{job}/cancel")
    headers = {"Idempotency-Key": "again"}
    first = shared_service.post(f"jobs/{job}/retry", {"parameters": {"tasks": 2, "sleep_ms": 0}}, headers=headers)
    second = shared_service.request(
        "POST", f"jobs/{job}/retry", json={"parameters": {"tasks": 2, "sleep_ms": 0}}, headers=headers
    )
    assert second.json()["job_id"] == first["job_id"] and second.headers["Idempotency-Replayed"] == "true"
    shared_service.complete(first["job_id"])
    problem = shared_service.refused("POST", f"jobs/{job}/retry", 422, {"parameters": {"taks": 2}})
    assert "tasks" in problem["detail"]
    problem = shared_service.refused("POST", f"jobs/{job}/retry", 422, {"paramters": {}})
    assert 'did you mean "parameters"' in problem["detail"]
    shared_service.refused("POST", "jobs/0192f0c1-2f4b-7000-8000-00007c1e09aa/retry", 404, {})


# ---- validate ----


def test_validate_tells_plan_and_estimate_and_does_nothing(shared_service):
    body = {"operation": "aggregate", "dataset_id": "my_dataset", "partition_size": 10_000,
            "parameters": {"column": "expression", "operation": "mean"}}
    before = shared_service.get("jobs/list")["total"]
    answer = shared_service.post("jobs/validate", body)
    assert answer["valid"] and answer["errors"] == []
    job = shared_service.complete(shared_service.post("jobs/submit", body)["job_id"])
    planned = {s["name"]: s["tasks"] for s in answer["plan"]["stages"]}
    assert planned == {s["name"]: s["tasks_total"] for s in job["stages"] if s["name"] != "plan"}
    assert answer["estimate"]["bytes"] == (shared_service.data / "my_dataset.csv").stat().st_size
    assert shared_service.get("jobs/list")["total"] == before + 1
    after = shared_service.post("jobs/validate", body)["estimate"]
    assert after["based_on_jobs"] >= 1 and after["seconds"] > 0
    assert not list((shared_service.state / "tmp").glob("plan-*"))


def test_validate_finds_what_submit_and_the_planner_would(shared_service):
    wrong = {
        "/operation": {"operation": "agregate", "dataset_id": "my_dataset"},
        "/dataset_id": {"operation": "describe", "dataset_id": "my_datset"},
        "/parameters/operation": {
            "operation": "aggregate", "dataset_id": "my_dataset",
            "parameters": {"column": "expression", "operation": "maen"}},
        "/parameters/column": {
            "operation": "aggregate", "dataset_id": "my_dataset",
            "parameters": {"column": "expresion", "operation": "mean"}},
        "/prioritty": {"operation": "noop", "prioritty": 1},
    }
    for pointer, body in wrong.items():
        answer = shared_service.post("jobs/validate", body)
        assert not answer["valid"] and answer["plan"] is None, pointer
        assert answer["errors"][0]["pointer"] == pointer, answer
        assert answer["problem"]["detail"]
    answer = shared_service.request("POST", "jobs/validate", data="{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


# ---- logs ----


def test_the_log_tells_what_happened_to_a_job(shared_service):
    job = shared_service.submit("noop", parameters={"tasks": 3, "fail_rate": 1}, max_attempts=2)
    shared_service.wait(job)
    page = shared_service.get(f"jobs/{job}/logs")
    texts = [line["message"] for line in page["logs"]]
    assert page["status"] == "failed" and texts[-1].startswith("failed")
    failed = [line for line in page["logs"] if "attempt failed" in line["message"]]
    assert failed and all(re.fullmatch(r"\w+/\d+", line["task"]) for line in failed)
    times = [line["time"] for line in page["logs"]]
    assert times == sorted(times)
    paged, token = [], None
    while True:
        one = shared_service.get(f"jobs/{job}/logs", params={"limit": 2, **({"page_token": token} if token else {})})
        paged += one["logs"]
        token = one["next_page_token"]
        if not token:
            break
    assert paged == page["logs"]
    task = failed[0]["task"]
    only = shared_service.get(f"jobs/{job}/logs", params={"task": task})["logs"]
    assert only and {line["task"] for line in only} == {task}


def test_a_followed_log_ends_with_the_job(shared_service):
    job = shared_service.submit("noop", parameters={"tasks": 4, "sleep_ms": 100})
    url = shared_service.address(f"{API}/jobs/{job}/logs")
    with requests.get(url, params={"follow": "true"}, stream=True, timeout=60 * PATIENCE) as answer:
        lines = [json.loads(line) for line in answer.iter_lines() if line.strip()]
    assert lines == shared_service.get(f"jobs/{job}/logs", params={"limit": 1000})["logs"]
    assert lines[-1]["message"] == "completed"


def test_python_has_all_of_it(shared_service):
    with polysome.Client(shared_service.address(""), token="") as c:
        names = [o["name"] for o in c.operations()]
        assert "aggregate" in names and c.operation("noop")["parameters_schema"]["type"] == "object"
        assert c.validate("noop", tasks=3)["plan"]["tasks"] >= 3
        job = c.submit("noop", tasks=2)
        assert [line["message"] for line in job.logs(follow=True)][-1] == "completed"
        assert list(job.logs())[-1]["message"] == "completed"
        again = job.retry(tasks=3, job=dict(priority="HIGH"))
        again.wait()
        assert again.status()["retry_of"] == job.id and again.status()["priority"] == 3


# ---- the interface described by itself ----


def test_operations_are_described_as_the_service_takes_them(shared_service):
    listed = shared_service.get("operations")
    assert listed["total"] == len(listed["operations"]) >= 6
    for operation in listed["operations"]:
        one = shared_service.get(f"operations/{operation['name']}")
        schema = one["parameters_schema"]
        assert set(schema["properties"]) == {p["name"] for p in operation["parameters"]}
        assert schema.get("required", []) == [p["name"] for p in operation["parameters"] if p["required"]]
        if one.get("example"):
            answer = shared_service.post("jobs/validate", one["example"])
            # The example's datasets are not here; nothing else may be wrong with it.
            wrong = [e["pointer"] for e in answer["errors"]]
            assert all(p.startswith("/dataset_id") for p in wrong), (operation["name"], answer["errors"])
    problem = shared_service.refused("GET", "operations/agregate", 404)
    assert 'did you mean "aggregate"' in problem["detail"]


def test_every_listed_code_is_explained_on_the_page_and_types_lead_there(shared_service):
    page = shared_service.request("GET", "/docs/problems").text
    codes = shared_service.get("/openapi.json")["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert len(codes) >= 20
    for code in codes:
        assert f'id="{code}"' in page
    problem = shared_service.refused("GET", "jobs/none", 404)
    path, anchor = problem["type"].split("#")
    assert path == "/docs/problems" and f'id="{anchor}"' in page


def test_the_readable_page_needs_nothing_from_elsewhere(shared_service):
    answer = shared_service.request("GET", "/docs")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "<script" not in answer.text
    assert not re.findall(r"(?:src|href)=\"(?!/|#)", answer.text)
    for path in ("jobs/submit", "jobs/{id}/retry", "operations/{name}", "aggregate"):
        assert path in answer.text


def test_the_openapi_document_is_valid_and_complete(shared_service):
    document = shared_service.get("/openapi.json")
    json_schema = pytest.importorskip("jsonschema_rs")
    for name, schema in document["components"]["schemas"].items():
        json_schema.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    index = shared_service.request("GET", "/", headers={"Accept": "text/plain"}).text
    listed = {
        (m.group(1), m.group(2).split("?")[0].replace("*}", "}"))
        for m in re.finditer(r"^(GET|POST|PUT|PATCH|DELETE) +(\S+)", index, re.M)
    }
    documented = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert listed == documented


SCHEMATHESIS_SECONDS = 75


def test_schemathesis_finds_no_answer_that_is_not_documented(make_service):
    """Property-based requests made from the document, against a service of its own."""
    schemathesis = pytest.importorskip("schemathesis")
    hypothesis = pytest.importorskip("hypothesis")
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    service = make_service()
    tables.write(tables.expression_table(), service.data / "my_dataset.csv")
    service.start()
    job = service.submit("noop")
    schema = schemathesis.openapi.from_dict(service.get("/openapi.json"))
    schema.config.update(base_url=service.address(""))
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    streams = ("/events", "/ws")
    end = time.monotonic() + SCHEMATHESIS_SECONDS * PATIENCE
    asked, operations = 0, [r.ok() for r in schema.get_all_operations()]
    operations = [o for o in operations if not o.path.endswith(streams)]
    share = SCHEMATHESIS_SECONDS * PATIENCE / len(operations)

    def probe(operation, until_then):
        nonlocal asked

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(
            max_examples=400,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate],
        )
        def ask(case):
            nonlocal asked
            if time.monotonic() > until_then:
                return
            if "id" in (case.path_parameters or {}) and asked % 2:
                case.path_parameters["id"] = job
            if case.query and str(case.query.get("follow", "")).lower() in ("true", "1"):
                case.query["follow"] = "false"
            if case.query and "wait" in case.query:
                case.query["wait"] = 0
            asked += 1
            case.call_and_validate(checks=checks, timeout=30 * PATIENCE)

        ask()

    for operation in operations:
        probe(operation, min(end, time.monotonic() + share))
    assert asked > 10 * len(operations), f"only {asked} requests for {len(operations)} operations"
    assert service.get("health")["status"] in ("healthy", "degraded")
    assert not [line for line in service.log().splitlines() if " error " in line]
