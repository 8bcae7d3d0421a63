"""What callers write in SQL stays inside its cage, and what they are given inside its folders."""

import json
import os

import pytest


@pytest.mark.parametrize(
    "query,word",
    [
        ("SELECT * FROM read_csv('/etc/passwd')", ""),
        ("SELECT * FROM '/etc/passwd'", ""),
        ("COPY (SELECT 1) TO '/tmp/x'", "SELECT"),
        ("SELECT 1; SELECT 2", ""),
        ("ATTACH '/tmp/x.db'", "SELECT"),
        ("SELECT * FROM glob('/*')", ""),
        ("SET enable_external_access=true", "SELECT"),
        ("SELECT getenv('HOME') FROM {table}", ""),
        ("INSTALL httpfs", "SELECT"),
    ],
)
def test_sql_is_caged(shared_service, query, word):
    answer = shared_service.request(
        "POST",
        "jobs/submit",
        json={"operation": "sql", "dataset_id": "my_dataset", "parameters": {"query": query}},
    )
    if answer.status_code == 422:
        return
    status = shared_service.wait(answer.json()["job_id"])
    assert status["status"] == "failed" and status["error"]["class"] == "user", status
    assert word.lower() in status["error_message"].lower()
    assert "root:" not in json.dumps(status), "nothing of the file may be told"


@pytest.mark.parametrize(
    "parameters",
    [
        {"where": "expression > (SELECT 1)"},
        {"where": "1 = 1; DROP TABLE data"},
        {"where": "exists(SELECT * FROM read_csv('/etc/passwd'))"},
        {"where": "expresion > 1"},
    ],
)
def test_expressions_are_caged(shared_service, parameters):
    status = shared_service.wait(shared_service.submit("filter", "my_dataset", parameters))
    assert status["status"] == "failed" and status["error"]["class"] == "user", status


def test_output_is_not_overwritten_unasked(shared_service):
    body = {"output": {"path": "once.csv"}}
    shared_service.run("convert", "my_dataset", {"format": "csv"}, **body)
    second = shared_service.wait(shared_service.submit("convert", "my_dataset", {"format": "csv"}, **body))
    assert second["status"] == "failed" and "exist" in second["error_message"]
    outside = shared_service.request(
        "POST",
        "jobs/submit",
        json={
            "operation": "convert",
            "dataset_id": "my_dataset",
            "parameters": {"format": "csv"},
            "output": {"path": "/etc/polysome.csv"},
        },
    )
    if outside.status_code == 200:
        assert shared_service.wait(outside.json()["job_id"])["status"] == "failed"
    else:
        assert outside.status_code == 422
    assert not os.path.exists("/etc/polysome.csv")
