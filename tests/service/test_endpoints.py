"""The shape of each endpoint's answer and of its refusals."""

import datetime
import re

import numpy as np
import pytest

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
UUID7 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


def has(record, **kinds):
    for name, kind in kinds.items():
        assert name in record, f"{name} is missing in {sorted(record)}"
        assert isinstance(record[name], kind), f"{name}: {record[name]!r}"


@pytest.fixture(scope="module")
def job(shared_service):
    return shared_service.run(
        "aggregate",
        "my_dataset",
        {"columns": ["expression", "count"], "operation": ["mean", "max"]},
        partition_size="40kB",
        name="shape",
        tags=["a", "b"],
    )


@pytest.mark.smoke
def test_root(shared_service):
    assert shared_service.request("GET", "/livez").status_code == 200
    assert shared_service.request("GET", "/readyz").status_code == 200
    version = shared_service.get("/version")
    assert version["name"] == "polysome" and re.match(r"\d+\.\d+\.\d+", version["version"])


def test_cluster_status(shared_service):
    cluster = shared_service.get("cluster/status")
    has(
        cluster,
        status=str,
        backend=str,
        n_workers=int,
        target_workers=int,
        total_cores=int,
        used_cores=int,
        total_memory=str,
        total_memory_bytes=int,
        used_memory=str,
        used_memory_bytes=int,
        workers=list,
    )
    assert "dashboard_url" in cluster and len(cluster["workers"]) == 2
    for worker in cluster["workers"]:
        has(
            worker,
            id=str,
            status=str,
            pid=int,
            host=str,
            threads=int,
            memory_limit=str,
            memory_limit_bytes=int,
            memory_used=str,
            memory_used_bytes=int,
            cpu_percent=(int, float),
            running_tasks=(int, list),
            completed_tasks=int,
            failures=int,
            started_at=str,
        )
        assert "excluded_until" in worker and TIME.match(worker["started_at"])


@pytest.mark.parametrize(
    "body,pointer",
    [
        ({"n_workers": 0}, "/n_workers"),
        ({"n_workers": 33}, "/n_workers"),
        ({"nworkers": 2}, "/nworkers"),
        ({"memory_limit": "2 lightyears"}, "/memory_limit"),
        ({"backend": "spark"}, "/backend"),
        ({"threads_per_worker": 65}, "/threads_per_worker"),
    ],
)
def test_cluster_start_refuses(shared_service, body, pointer):
    problem = shared_service.refused("POST", "cluster/start", 422, body)
    assert pointer in [e["pointer"] for e in problem["errors"]]


@pytest.mark.smoke
def test_job_status(shared_service, job):
    status = shared_service.status(job["job_id"])
    has(
        status,
        id=str,
        job_id=str,
        type=str,
        dataset_id=str,
        dataset_ids=list,
        operation=str,
        parameters=dict,
        priority=int,
        priority_name=str,
        status=str,
        phase=str,
        detail=str,
        progress=(int, float),
        result=dict,
        created_at=str,
        started_at=str,
        completed_at=str,
        stages=list,
        attempts=list,
        resources=dict,
        user=str,
        name=str,
        tags=list,
        warnings=list,
        version=int,
    )
    for name in (
        "error_message",
        "n_workers",
        "memory_per_worker",
        "eta_seconds",
        "waiting_reason",
        "error",
        "output",
        "retry_of",
    ):
        assert name in status
    assert UUID7.match(status["id"]) and status["id"] == status["job_id"]
    assert status["type"] == "table" and status["priority"] == 2 and status["priority_name"] == "NORMAL"
    assert (status["phase"], status["name"], status["tags"]) == ("done", "shape", ["a", "b"])
    assert all(TIME.match(status[t]) for t in ("created_at", "started_at", "completed_at"))
    for stage in status["stages"]:
        has(
            stage,
            name=str,
            tasks_total=int,
            tasks_done=int,
            bytes_total=int,
            bytes_done=int,
            peak_memory=str,
            peak_memory_bytes=int,
        )
        assert stage["tasks_done"] == stage["tasks_total"] and stage["bytes_done"] == stage["bytes_total"]
    has(status["resources"], requested=dict, peak_memory_bytes=int, cpu_seconds=(int, float))
    assert status["resources"]["peak_memory_bytes"] > 0
    assert shared_service.get(f"jobs/{job['job_id']}") == status


def test_job_status_answers_304_to_the_same_version(shared_service, job):
    path = f"jobs/{job['job_id']}/status"
    first = shared_service.request("GET", path)
    assert "no-store" in first.headers["cache-control"]
    assert (
        shared_service.request("GET", path, headers={"If-None-Match": first.headers["etag"]}).status_code
        == 304
    )


def test_long_poll_answers_at_the_next_version(shared_service):
    slow = shared_service.submit("noop", parameters={"tasks": 4, "sleep_ms": 300})
    version = shared_service.status(slow)["version"]
    later = shared_service.get(f"jobs/{slow}/status?wait=30&after={version}")
    assert later["version"] > version
    assert shared_service.get(f"jobs/{slow}/status?wait=60")["status"] == "completed"


def test_job_result(shared_service, job):
    result = job["result"]
    has(result, table=str, rows=int, columns=int, tables=list, definitions=dict, warnings=list)
    assert "value" not in result, "two columns are not one number"
    table = result["tables"][0]
    has(table, name=str, n_rows=int, n_columns=int, columns=list, files=list, preview=list)
    assert [c["name"] for c in table["columns"]] == ["column", "mean", "max"]
    page = shared_service.get(f"jobs/{job['job_id']}/result")
    has(page, table=str, columns=list, rows=list, n_rows=int)
    assert page["rows"] == table["preview"] and page["next_page_token"] is None
    values = shared_service.table["expression"]
    np.testing.assert_allclose(
        [page["rows"][0]["mean"], page["rows"][0]["max"]], [values.mean(), values.max()], rtol=1e-10
    )
    assert shared_service.refused("GET", f"jobs/{job['job_id']}/result?format=xls", 422)
    assert (
        "result" in shared_service.refused("GET", f"jobs/{job['job_id']}/result?table=reslt", 404)["detail"]
    )


def test_result_pages(shared_service):
    status = shared_service.run("filter", "my_dataset", {"where": "batch = 1"})
    expected = list(shared_service.table[shared_service.table["batch"] == 1]["gene"])
    first = shared_service.get(f"jobs/{status['job_id']}/result")
    assert len(first["rows"]) == 100 and first["n_rows"] == len(expected) and first["next_page_token"]
    assert [r["gene"] for r in shared_service.rows(status["job_id"])] == expected


def test_result_of_an_unfinished_job_is_a_conflict(shared_service):
    slow = shared_service.submit("noop", parameters={"tasks": 1, "sleep_ms": 20_000})
    problem = shared_service.refused("GET", f"jobs/{slow}/result", 409)
    assert "pending" in str(problem) or "running" in str(problem)
    shared_service.post(f"jobs/{slow}/cancel")


def test_job_tasks(shared_service, job):
    tasks = shared_service.get(f"jobs/{job['job_id']}/tasks")
    has(tasks, tasks=list)
    total = sum(s["tasks_total"] for s in job["stages"])
    assert tasks["total"] == total and len(tasks["tasks"]) == total


def test_unknown_job_names_the_nearest(shared_service, job):
    wrong = job["job_id"][:-1] + ("0" if job["job_id"][-1] != "0" else "1")
    problem = shared_service.refused("GET", f"jobs/{wrong}/status", 404)
    assert job["job_id"] in problem["detail"] + problem.get("hint", "")
    shared_service.refused("GET", "jobs/not-an-id/status", 404)


def test_jobs_list(shared_service, job):
    listed = shared_service.get("jobs/list")
    has(listed, jobs=list, total=int)
    assert listed["total"] >= 1 and "next_page_token" in listed
    times = [j["created_at"] for j in listed["jobs"]]
    assert times == sorted(times, reverse=True), "newest first"
    assert not {"parameters", "result", "stages", "resources"} & set(listed["jobs"][0])
    full = shared_service.get("jobs/list?view=full&operation=aggregate")
    assert {"parameters", "result"} <= set(full["jobs"][0])
    for filters, matches in (
        ("status=completed&name=shape", True),
        ("tag=a", True),
        ("status=failed&name=shape", False),
        ("dataset_id=my_dataset&name=shape", True),
        ("priority=HIGH&name=shape", False),
        ("priority=2&name=shape", True),
    ):
        ids = [j["job_id"] for j in shared_service.get(f"jobs/list?{filters}")["jobs"]]
        assert (job["job_id"] in ids) == matches, filters
    for bad in ("status=done", "limit=0", "limit=1001", "priority=9", "colour=red"):
        assert shared_service.request("GET", f"jobs/list?{bad}").status_code in (400, 422), bad


def test_jobs_list_pages(shared_service):
    made = [shared_service.submit("noop", parameters={"tasks": 1}, tags=["pages"]) for _ in range(7)]
    seen, token = [], None
    while True:
        page = shared_service.get(
            "jobs/list", params={"tag": "pages", "limit": 3, **({"page_token": token} if token else {})}
        )
        seen += [j["job_id"] for j in page["jobs"]]
        token = page["next_page_token"]
        if not token:
            break
        assert len(page["jobs"]) == 3 and page["total"] == 7
    assert seen == made[::-1]
    for one in made:
        shared_service.complete(one)


def test_queue_status(shared_service):
    queue = shared_service.get("queue/status")
    has(queue, pending=int, running=int, by_priority=dict, by_user=(dict, list), jobs=list)
    assert "oldest_wait_seconds" in queue


def test_metrics(shared_service):
    metrics = shared_service.get("metrics/cluster")
    has(
        metrics,
        timestamp=str,
        n_workers=int,
        total_memory=str,
        used_memory=str,
        total_cores=int,
        used_cores=int,
        active_tasks=int,
        queued_tasks=int,
        metrics_data=dict,
    )
    assert "id" in metrics and TIME.match(metrics["timestamp"]) and metrics["total_cores"] == 4
    series = shared_service.get("metrics/cluster?since=2020-01-01T00:00:00.000Z&step=1")
    assert isinstance(series["series"], list)


@pytest.mark.smoke
def test_health(shared_service):
    health = shared_service.get("health")
    has(health, status=str, version=str, uptime_seconds=(int, float), checks=dict)
    assert health["status"] == "healthy" and set(health["checks"]) >= {"store", "cluster", "disk"}


@pytest.mark.smoke
def test_data_partition(shared_service):
    size = (shared_service.data / "my_dataset.csv").stat().st_size
    answer = shared_service.post("data/partition", {"dataset_id": "my_dataset", "partition_size": "20kB"})
    has(
        answer,
        dataset_id=str,
        format=str,
        columns=list,
        total_size_bytes=int,
        n_rows=int,
        n_rows_exact=bool,
        n_partitions=int,
        partition_size_bytes=int,
        strategy=str,
        partitions=list,
    )
    assert answer["total_size_bytes"] == size and answer["format"] == "csv"
    assert [c["name"] for c in answer["columns"]] == list(shared_service.table.columns)
    parts = answer["partitions"]
    assert answer["n_partitions"] == len(parts) == -(-size // 20_000)
    for i, part in enumerate(parts):
        assert part["index"] == i and {"source", "offset", "length", "rows"} <= set(part)
    assert parts[0]["offset"] + sum(p["length"] for p in parts) == size, "the parts cover the file"
    assert all(a["offset"] + a["length"] == b["offset"] for a, b in zip(parts, parts[1:]))
    by_path = shared_service.post("data/partition", {"path": "my_dataset.csv"})
    assert by_path["n_partitions"] == 1
    shared_service.refused(
        "POST", "data/partition", 422, {"dataset_id": "my_dataset", "path": "my_dataset.csv"}
    )
    shared_service.refused("POST", "data/partition", 422, {"dataset_id": "my_dataset", "partition_size": 0})


@pytest.mark.smoke
def test_data_load_and_datasets(shared_service):
    folder = shared_service.data / "deep"
    folder.mkdir(exist_ok=True)
    (folder / "sheet.tsv").write_text("sample\tage\nS1\t40\nS2\t51\n")
    record = shared_service.post("data/load", {"dataset_id": "sheet", "source": "deep/sheet.tsv"})
    assert record["dataset_id"] == "sheet" and [c["name"] for c in record["columns"]] == ["sample", "age"]
    assert (
        shared_service.post("data/load", {"dataset_id": "sheet", "source": "deep/sheet.tsv"})["dataset_id"]
        == "sheet"
    )
    shared_service.refused("POST", "data/load", 409, {"dataset_id": "sheet", "source": "my_dataset.csv"})
    shared_service.post("data/load", {"dataset_id": "sheet", "source": "my_dataset.csv", "replace": True})
    shared_service.post("data/load", {"dataset_id": "sheet", "source": "deep/sheet.tsv", "replace": True})
    listed = {d["dataset_id"]: d for d in shared_service.get("data/datasets")["datasets"]}
    assert listed["sheet"]["loaded"] and not listed["my_dataset"]["loaded"]
    shown = shared_service.get("data/datasets/sheet")
    assert shown["dataset_id"] == "sheet" and [c["type"] for c in shown["columns"]] == ["string", "int64"]
    assert (
        shared_service.run("aggregate", "sheet", {"column": "age", "operation": "mean"})["result"]["value"]
        == 45.5
    )
    assert shared_service.request("DELETE", "data/datasets/sheet").status_code == 200
    assert "my_dataset" in shared_service.refused("GET", "data/datasets/my_dataste", 404)["detail"]
    assert (folder / "sheet.tsv").exists(), "files are never deleted"
    for source in ("/etc/passwd", "../outside.csv", "nothing.csv", "postgresql://host/db?table=t"):
        shared_service.refused("POST", "data/load", 422, {"dataset_id": "other", "source": source})


def test_links_do_not_lead_out_of_the_data_folders(shared_service):
    (shared_service.data / "way_out.csv").symlink_to("/etc/passwd")
    try:
        for name in ("way_out", "way_out.csv"):
            answer = shared_service.request(
                "POST", "jobs/submit", json={"operation": "describe", "dataset_id": name}
            )
            assert answer.status_code == 422 and "root:" not in answer.text
    finally:
        (shared_service.data / "way_out.csv").unlink()


@pytest.mark.parametrize(
    "change,pointer",
    [
        ({"operation": None}, "/operation"),
        ({"operation": "meen"}, "/operation"),
        ({"dataset_id": 7}, "/dataset_id"),
        ({"dataset_id": ["my_dataset", "my_dataset"]}, "/dataset_id"),
        ({"parameters": []}, "/parameters"),
        ({"parameters": {"column": "expression", "operation": "meen"}}, "/parameters/operation"),
        ({"parameters": {"colum": "expression", "operation": "mean"}}, "/parameters/colum"),
        ({"priority": "URGENT"}, "/priority"),
        ({"max_memory_gb": -1}, "/max_memory_gb"),
        ({"max_cores": 0}, "/max_cores"),
        ({"max_cores": "4"}, "/max_cores"),
        ({"max_attempts": 11}, "/max_attempts"),
        ({"depends_on": ["x"]}, "/depends_on"),
        ({"memory_per_worker": "64GB"}, "/memory_per_worker"),
        ({"max_memory_gb": 0.001}, "/max_memory_gb"),
        ({"partition_size": "0"}, "/partition_size"),
        ({"max_core": 4}, "/max_core"),
        ({"timeout_seconds": 0}, "/timeout_seconds"),
        ({"layout": {"delimeter": ","}}, "/layout/delimeter"),
    ],
)
def test_submit_refuses_with_a_pointer(shared_service, change, pointer):
    body = {
        "operation": "aggregate",
        "dataset_id": "my_dataset",
        "parameters": {"column": "expression", "operation": "mean"},
        **change,
    }
    problem = shared_service.refused(
        "POST", "jobs/submit", 422, {k: v for k, v in body.items() if v is not None}
    )
    assert any(e["pointer"].startswith(pointer) for e in problem["errors"]), problem


def test_paths_and_methods(shared_service):
    problem = shared_service.refused("GET", "jobs/lst", 404)
    assert "jobs/list" in problem["detail"] + problem.get("hint", "")
    answer = shared_service.request("PUT", "jobs/list", json={})
    assert answer.status_code == 405 and "GET" in answer.headers["allow"]
    assert shared_service.request("HEAD", "health").status_code == 200


def test_dependents_follow_their_jobs(shared_service):
    first = shared_service.submit("noop", parameters={"tasks": 1, "sleep_ms": 300})
    second = shared_service.submit("noop", parameters={"tasks": 1}, depends_on=[first])
    ended, started = (
        datetime.datetime.fromisoformat(shared_service.complete(job)[moment])
        for job, moment in ((first, "completed_at"), (second, "started_at"))
    )
    # Two milliseconds: what is measured on the steady clock is shown on the wall clock, rounded.
    assert started >= ended - datetime.timedelta(milliseconds=2)
    bad = shared_service.submit("noop", parameters={"tasks": 1, "fail_rate": 1}, max_attempts=1)
    orphan = shared_service.wait(shared_service.submit("noop", parameters={"tasks": 1}, depends_on=[bad]))
    assert orphan["status"] == "cancelled" and orphan["error"]["code"] == "dependency_failed"


def test_timeout_ends_a_job(shared_service):
    status = shared_service.wait(
        shared_service.submit(
            "noop", parameters={"tasks": 1, "sleep_ms": 120_000}, timeout_seconds=0.5, max_attempts=1
        )
    )
    assert status["status"] == "failed" and status["error"]["class"] == "timeout"
