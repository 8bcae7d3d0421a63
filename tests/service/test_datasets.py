"""data/load in its forms: inline rows, content that is sent, materialized; results that become datasets."""

import os
import signal
import socket
import threading

import pandas as pd
import pyarrow.parquet as pq

import tables
from polysome_service import API, until


def kept(service):
    return sorted(p.name for p in (service.state / "datasets").iterdir())


def test_inline_rows_are_a_dataset_also_after_a_restart(service):
    rows = [{"id": f"S{i}", "age": i * 1.5, "note": None if i % 2 else "a, b"} for i in range(20)]
    record = service.post("data/load", {"dataset_id": "samples", "rows": rows})
    assert record["source"] == "rows" and record["n_rows"] == 20 and record["n_rows_exact"]
    assert [(c["name"], c["type"]) for c in record["columns"]] == [
        ("id", "string"),
        ("age", "double"),
        ("note", "string"),
    ]
    assert service.post("data/load", {"dataset_id": "samples", "rows": rows})["dataset_id"] == "samples"
    assert len(kept(service)) == 1, "the same rows again are the same dataset"
    service.refused("POST", "data/load", 409, {"dataset_id": "samples", "rows": rows[:5]})
    assert len(kept(service)) == 1
    service.stop()
    service.start()
    service.start_cluster(1, 1)
    job = service.run("sql", "samples", {"query": "SELECT * FROM {table} ORDER BY age"})
    assert service.rows(job["job_id"]) == rows

    service.post("data/load", {"dataset_id": "samples", "rows": rows[:5], "replace": True})
    assert len(kept(service)) == 1, "what the name stood for is removed"
    assert service.run("aggregate", "samples", {"column": "age", "operation": "count"})["result"]["value"] == 5
    assert service.request("DELETE", "data/datasets/samples").status_code == 200
    assert kept(service) == []

    for wrong, pointer in (
        ({"rows": []}, "/rows"),
        ({"rows": [{"a": 1}, 7]}, "/rows/1"),
        ({"rows": [{"a": 1}], "source": "my_dataset.csv"}, "/source"),
        ({}, "/source"),
    ):
        problem = service.refused("POST", "data/load", 422, {"dataset_id": "x", **wrong})
        assert problem["errors"][0]["pointer"] == pointer, problem


def test_content_is_sent_and_kept(service):
    text = tables.csv_text(service.table, "\t").encode()
    put = f"{API}/data/datasets/sent/content"

    def pieces():
        for at in range(0, len(text), 70_000):
            yield text[at : at + 70_000]

    answer = service.request("PUT", put + "?format=tsv", data=pieces())
    assert answer.status_code == 200, answer.text
    record = answer.json()
    assert record["format"] == "tsv" and record["n_rows"] == len(service.table)
    assert record["missing_values"]["rows_looked_at"] == len(service.table)
    missing = {c["column"]: c["missing"] for c in record["missing_values"]["columns"]}
    assert missing["expression"] == int(service.table["expression"].isna().sum())
    (name,) = kept(service)
    assert (service.state / "datasets" / name).read_bytes() == text

    again = service.request("PUT", put + "?format=tsv", data=text)
    assert again.status_code == 200 and len(kept(service)) == 1
    service.refused("PUT", put + "?format=tsv", 409, data=b"a\tb\n1\t2\n")
    service.refused("PUT", put + "?format=xlsx", 422, data=b"x")
    service.refused("PUT", put, 422, data=b"")
    bad = service.refused("PUT", f"{API}/data/datasets/other/content?format=parquet", 422, data=text)
    assert "Parquet" in bad["detail"]
    assert len(kept(service)) == 1, "nothing is left of what was refused"
    assert "other" not in {d["dataset_id"] for d in service.get("data/datasets")["datasets"]}

    replaced = service.request("PUT", put + "?format=csv&replace=true", data=b"a,b\n1,2\n")
    assert replaced.status_code == 200 and replaced.json()["n_rows"] == 1
    assert len(kept(service)) == 1


def test_content_that_is_too_large_or_breaks_off_leaves_nothing(make_service):
    service = make_service(arguments=["--max-upload", "2MB"])
    service.start()
    put = f"{API}/data/datasets/big/content?format=csv"
    problem = service.refused("PUT", put, 413, data=b"a\n" + b"1\n" * 1_500_000)
    assert "body" in problem["detail"] or "2MB" in problem["detail"]
    # Announced in pieces, so that only the reading can tell.
    answer = service.request("PUT", put, data=(b"1\n" * 50_000 for _ in range(100)))
    assert answer.status_code == 413, answer.text
    with socket.create_connection(("127.0.0.1", service.port)) as line:
        line.sendall(
            f"PUT {put} HTTP/1.1\r\nHost: localhost:{service.port}\r\n"
            "Content-Type: text/csv\r\nContent-Length: 1000000\r\n\r\na,b\n1,2\n".encode()
        )
        until(lambda: kept(service), "the content to arrive")
    until(lambda: not kept(service), "what broke off to be removed")
    assert service.get("data/datasets")["total"] == 0


def test_a_kill_while_content_is_sent_leaves_no_dataset(service):
    put = f"{API}/data/datasets/half/content?format=csv"
    go_on = threading.Event()

    def slowly():
        yield b"a,b\n" + b"1,2\n" * 100_000
        go_on.wait(60)
        yield b"3,4\n"

    def send():
        try:
            service.request("PUT", put, data=slowly())
        except Exception:  # the service is killed under it
            pass

    sender = threading.Thread(target=send)
    sender.start()
    until(lambda: kept(service), "some content")
    service.process.send_signal(signal.SIGKILL)
    service.process.wait()
    go_on.set()
    sender.join()
    service.kill()
    assert kept(service), "the test is about a file that is left"
    service.start()
    assert kept(service) == []
    service.refused("GET", "data/datasets/half", 404)


def test_materialized_datasets_are_parquet_when_the_job_is_done(service):
    record = service.post(
        "data/load",
        {
            "dataset_id": "fast",
            "source": "my_dataset.csv",
            "materialize": True,
            "columns": ["gene", "expression"],
            "layout": {"kind": "matrix", "scale": "raw"},
        },
    )
    assert record["format"] == "csv" and record["job_id"]
    service.start_cluster(2, 1)
    service.complete(record["job_id"])
    shown = service.get("data/datasets/fast")
    assert shown["format"] == "parquet" and shown["source"] == f"job:{record['job_id']}"
    assert [c["name"] for c in shown["columns"]] == ["gene", "expression"]
    assert shown["n_rows"] == len(service.table) and shown["n_rows_exact"]
    # The text may go: the dataset is its own now.
    os.remove(service.data / "my_dataset.csv")
    service.stop()
    service.start()
    value = service.run("aggregate", "fast", {"column": "expression", "operation": "count"})["result"]["value"]
    assert value == int(service.table["expression"].notna().sum())


def test_a_result_can_be_given_a_name(service):
    service.start_cluster(1, 1)
    ask = {"where": "count > 2500"}
    job = service.run("filter", "my_dataset", ask, output={"dataset_id": "high"})
    expected = service.table[service.table["count"] > 2500]
    again = service.run("aggregate", "high", {"column": "count", "operation": ["min", "count"]})
    (row,) = service.rows(again["job_id"])
    assert row["count"] == len(expected) and row["min"] == expected["count"].min()
    problem = service.refused(
        "POST",
        "jobs/submit",
        409,
        {
            "operation": "filter",
            "dataset_id": "my_dataset",
            "parameters": ask,
            "output": {"dataset_id": "high"},
        },
    )
    assert problem["errors"][0]["pointer"] == "/output/dataset_id"
    files = [f["path"] for f in job["result"]["tables"][0]["files"]]
    read = pd.concat(pq.read_table(f).to_pandas() for f in files)
    assert read["count"].tolist() == expected["count"].tolist()


def test_results_expire_but_what_datasets_stand_for_stays(make_service):
    service = make_service(arguments=["--keep-results", "1s"])
    service.table = tables.expression_table()
    tables.write(service.table, service.data / "my_dataset.csv")
    service.start()
    service.start_cluster(1, 1)
    ask = {"where": "count > 4000"}
    own = service.run("filter", "my_dataset", ask, output={"path": "mine.csv"})
    named = service.run("filter", "my_dataset", ask, output={"dataset_id": "high"})
    assert own["result"]["expires_at"] > own["completed_at"] and named["result"]["expires_at"] is None
    service.stop()
    service.start()  # a start looks for what is over; the clock has gone on by more than a second

    def swept():
        service.stop()
        service.start()
        return not (service.state / "work" / own["job_id"]).exists()

    until(swept, "the result to expire")
    problem = service.refused("GET", f"jobs/{own['job_id']}/result", 410)
    assert "was kept until" in problem["detail"]
    assert service.status(own["job_id"])["status"] == "completed", "the record stays"
    assert (service.state / "results" / "mine.csv").exists(), "files at output.path are their owner's"
    assert service.rows(named["job_id"])
    assert service.get("data/datasets/high")["n_rows"] == len(service.table[service.table["count"] > 4000])


def test_results_are_filtered_and_sorted_on_the_way_out(service):
    service.start_cluster(1, 1)
    job = service.run("filter", "my_dataset", {"where": "count > 10"}, partition_size="30kB")["job_id"]
    table = service.table[service.table["count"] > 10].reset_index(drop=True)
    expected = table[table["gene"] == "GENE7"].sort_values(
        ["condition", "count"], ascending=[True, False], kind="stable", na_position="last"
    )
    query = {"where": "gene = 'GENE7'", "sort": "condition,-count", "columns": "sample,condition,count"}
    rows = service.rows(job, **query)
    assert [r["count"] for r in rows] == expected["count"].tolist()
    assert [r["sample"] for r in rows] == expected["sample"].tolist()
    answer = service.request("GET", f"jobs/{job}/result", params={**query, "format": "csv"})
    lines = answer.text.splitlines()
    assert lines[0] == "sample,condition,count" and len(lines) == len(expected) + 1
    first = service.get(f"jobs/{job}/result", params={**query, "limit": 3})
    assert first["n_rows"] == len(expected) and len(first["rows"]) == 3 and first["next_page_token"]
    wrong = service.refused("GET", f"jobs/{job}/result", 422, params={"sort": "-cuont"})
    assert '"count"' in wrong["detail"]
    for caged in ("1 = (SELECT 1 FROM read_csv('/etc/passwd'))", "count > 1; DROP TABLE x"):
        service.refused("GET", f"jobs/{job}/result", 422, params={"where": caged})
