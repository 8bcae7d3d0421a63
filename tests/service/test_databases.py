"""Tables of SQLite files and PostgreSQL servers as datasets and as outputs."""

import signal
import sqlite3
import subprocess
from urllib.parse import quote

import numpy as np
import pytest

import tables
from polysome_service import until
from postgres_server import PASSWORD, PostgresServer
from test_cli import run


def shop(path, mode="delete", rows=5000):
    base = sqlite3.connect(path)
    base.execute(f"PRAGMA journal_mode={mode}")
    base.execute('CREATE TABLE "the samples" (id INTEGER PRIMARY KEY, name TEXT, v REAL, n NUMERIC, day DATE)')
    base.executemany(
        'INSERT INTO "the samples" VALUES (?,?,?,?,?)',
        (
            (
                i,
                [None, "", 'a "quoted", name', "line\nbreak", "plain"][i % 5],
                None if i % 7 == 0 else i / 3,
                i * 10,
                f"2024-01-{i % 28 + 1:02}",
            )
            for i in range(rows)
        ),
    )
    base.execute('CREATE VIEW late AS SELECT id, v FROM "the samples" WHERE id >= 4000')
    base.commit()
    return base


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_sqlite_tables_and_views_are_datasets(service, mode):
    base = shop(service.data / "shop.db", mode)
    base.close()
    source = f"sqlite:///{service.data}/shop.db?table={quote('the samples')}"
    record = service.post("data/load", {"dataset_id": "samples", "source": source})
    assert [(c["name"], c["type"]) for c in record["columns"]] == [
        ("id", "int64"),
        ("name", "string"),
        ("v", "double"),
        ("n", "int64"),
        ("day", "date"),
    ]
    assert record["n_rows"] == 5000 and record["n_rows_exact"] and record["format"] == "sqlite"
    service.start_cluster(2, 1)
    job = service.run(
        "sql",
        "samples",
        {"query": "SELECT * FROM {table} ORDER BY id"},
        partition_size="20kB",
    )
    rows = service.rows(job["job_id"])
    with sqlite3.connect(service.data / "shop.db") as base:
        expected = base.execute('SELECT * FROM "the samples" ORDER BY id').fetchall()
    assert [tuple(r.values()) for r in rows] == expected
    view = service.run(
        "aggregate", f"sqlite:///{service.data}/shop.db?table=late", {"column": "v", "operation": "sum"}
    )
    np.testing.assert_allclose(
        view["result"]["value"], sum(i / 3 for i in range(4000, 5000) if i % 7), rtol=1e-12
    )
    wrong = service.refused(
        "POST",
        "data/load",
        422,
        {"dataset_id": "x", "source": f"sqlite:///{service.data}/shop.db?table=lates"},
    )
    assert '"late"' in wrong["detail"]
    outside = service.refused(
        "POST", "data/load", 422, {"dataset_id": "x", "source": "sqlite:////etc/passwd?table=t"}
    )
    assert "data folder" in outside["detail"]


def test_values_of_sqlite_that_are_not_their_columns_are_named(service):
    base = shop(service.data / "shop.db")
    base.execute('UPDATE "the samples" SET id = id, v = ? WHERE id = 77', ("much",))
    base.commit()
    base.close()
    source = f"sqlite:///{service.data}/shop.db?table={quote('the samples')}"
    service.start_cluster(1, 1)
    ask = {"column": "v", "operation": "count"}
    failed = service.wait(service.submit("aggregate", source, ask))
    assert failed["status"] == "failed" and failed["error"]["class"] == "user"
    assert '"much"' in failed["error_message"] and "the samples (shop.db)" in failed["error_message"]
    kept = service.run("aggregate", source, ask, on_bad_value="null")
    assert any(w["code"] == "bad_values" and w["count"] == 1 for w in kept["result"]["warnings"])


@pytest.fixture
def postgres(tmp_path_factory):
    server = PostgresServer(tmp_path_factory.mktemp("pg") / "server")
    yield server
    server.stop()


@pytest.fixture
def with_postgres(make_service, postgres, tmp_path):
    known = postgres.connections(tmp_path / "connections")
    one = make_service(arguments=["--retry-delay", "100ms", "--connections", str(known)])
    one.table = tables.expression_table()
    tables.write(one.table, one.data / "my_dataset.csv")
    one.start()
    return one


def no_secret_anywhere(service):
    assert PASSWORD not in service.log() and quote(PASSWORD) not in service.log()
    for path in service.state.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert PASSWORD.encode() not in content, path
            assert quote(PASSWORD).encode() not in content, path


def test_postgresql_tables_are_read_side_by_side_under_one_snapshot(with_postgres, postgres):
    service = with_postgres
    postgres.sql(
        """
        CREATE SCHEMA lab;
        CREATE TABLE lab."Big Table" AS SELECT g::bigint AS id, 'n' || g AS name, g * 0.5::float8 AS v,
          (g * 1.25)::numeric(12,2) AS price, timestamptz '2024-01-01 12:00+02' + g * interval '1 minute' AS taken,
          date '2024-01-01' + (g % 100)::int AS d, g % 2 = 0 AS even,
          CASE WHEN g % 3 = 0 THEN NULL WHEN g % 3 = 1 THEN '' ELSE E'a,"b"\\nc' END AS note,
          ARRAY[g, g + 1] AS pair
        FROM generate_series(1, 1000000) g;
        ANALYZE lab."Big Table";
        """
    )
    source = "postgresql://lab?table=" + quote("lab.Big Table")
    record = service.post("data/load", {"dataset_id": "big", "source": source})
    assert {c["name"]: c["type"] for c in record["columns"]} == {
        "id": "int64",
        "name": "string",
        "v": "double",
        "price": "double",
        "taken": "timestamp",
        "d": "date",
        "even": "bool",
        "note": "string",
        "pair": "string",
    }
    assert not record["n_rows_exact"] and abs(record["n_rows"] - 1_000_000) < 50_000
    assert record["warnings"][0]["code"] == "numeric_as_double"
    service.start_cluster(2, 1)
    job = service.run(
        "sql",
        "big",
        {
            "query": "SELECT count(*) AS n, sum(id) AS ids, sum(v) AS v, sum(price) AS price, count(note) AS notes,"
            " count(*) FILTER (note = '') AS empty, min(taken) AS first, max(d) AS last,"
            " count(*) FILTER (even) AS even, max(note) AS note, min(pair) AS pair FROM {table}"
        },
        partition_size="10MB",
    )
    (row,) = service.rows(job["job_id"])
    n = 1_000_000
    assert row["n"] == n and int(row["ids"]) == n * (n + 1) // 2
    np.testing.assert_allclose(row["v"], n * (n + 1) / 4, rtol=1e-12)
    np.testing.assert_allclose(row["price"], 1.25 * n * (n + 1) / 2, rtol=1e-9)
    assert row["notes"] == n - n // 3 and row["empty"] == n // 3 + 1 and row["even"] == n // 2
    assert row["first"].startswith("2024-01-01") and "10:01" in row["first"], "times are UTC"
    assert row["last"] == "2024-04-09" and row["note"] == 'a,"b"\nc' and row["pair"] == "{1,2}"
    ingest = next(s for s in job["stages"] if s["name"] == "unpack")
    assert ingest["tasks_total"] == 1
    wrong = service.refused(
        "POST", "data/load", 422, {"dataset_id": "x", "source": "postgresql://lab?table=lab.Big_Table"}
    )
    assert "Big Table" in wrong["detail"]
    unknown = service.refused(
        "POST", "data/load", 422, {"dataset_id": "x", "source": "postgresql://labb?table=t"}
    )
    assert '"lab"' in unknown["detail"]
    refused = service.refused(
        "POST", "data/load", 422, {"dataset_id": "x", "source": "postgresql://a:b@host/db?table=t"}
    )
    assert "--connections" in refused["hint"] and "b@" not in str(refused)
    no_secret_anywhere(service)


def test_results_go_into_a_table_once_whatever_happens(with_postgres, postgres):
    service = with_postgres
    service.start_cluster(2, 1)
    ask = {
        "operation": "filter",
        "dataset_id": "my_dataset",
        "parameters": {"where": "count > 0"},
        "output": {"database": "postgresql://lab?table=kept"},
        "partition_size": "20kB",
    }
    job = service.complete(service.post("jobs/submit", ask)["job_id"])
    expected = int((service.table["count"] > 0).sum())
    assert job["result"]["output"][0]["rows"] == expected
    assert job["result"]["output"][0]["database"] == "postgresql://lab?table=kept"
    assert postgres.sql("SELECT count(*) FROM kept") == [[str(expected)]]
    np.testing.assert_allclose(
        float(postgres.sql("SELECT sum(expression) FROM kept")[0][0]),
        np.nansum(service.table["expression"][service.table["count"] > 0]),
        rtol=1e-9,
    )
    again = service.wait(service.post("jobs/submit", ask)["job_id"])
    assert again["status"] == "failed" and "exists already" in again["error_message"]
    ask["output"]["if_exists"] = "replace"
    service.complete(service.post("jobs/submit", ask)["job_id"])
    assert postgres.sql("SELECT count(*) FROM kept") == [[str(expected)]]
    assert postgres.sql("SELECT count(*) FROM polysome_deliveries") == [["2"]]
    assert postgres.sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'polysome_staging%'") == [["0"]]

    # A service that is killed while it delivers: the table is there once and whole, or not at all.
    ask["output"] = {"database": "postgresql://lab?table=killed"}
    for delay in (0.0, 0.3, 0.8):
        postgres.sql("DROP TABLE IF EXISTS killed")
        doomed = service.post("jobs/submit", ask)["job_id"]
        until(lambda doomed=doomed: service.status(doomed)["status"] != "pending", "the job to start")
        until(
            lambda doomed=doomed: service.status(doomed)["progress"] > 0 or service.wait(doomed),
            "some of it to be done",
        )
        subprocess.run(["sleep", str(delay)], check=True)
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        service.kill()
        there = postgres.sql("SELECT to_regclass('killed') IS NOT NULL")[0][0] == "t"
        if there:
            assert postgres.sql("SELECT count(*) FROM killed") == [[str(expected)]]
        service.start()
        service.start_cluster(2, 1)
        service.complete(doomed)
        assert postgres.sql("SELECT count(*) FROM killed") == [[str(expected)]]
    no_secret_anywhere(service)


def test_results_go_into_sqlite_files(service):
    service.start_cluster(1, 1)
    ask = {
        "operation": "sql",
        "dataset_id": "my_dataset",
        "parameters": {"query": "SELECT gene, expression, count FROM {table} ORDER BY gene, count"},
        "output": {"database": "sqlite://answers.db?table=genes"},
    }
    job = service.complete(service.post("jobs/submit", ask)["job_id"])
    path = service.state / "results" / "answers.db"
    with sqlite3.connect(path) as base:
        rows = base.execute("SELECT gene, expression, count FROM genes").fetchall()
        assert rows == [tuple(r.values()) for r in service.rows(job["job_id"])]
        assert base.execute("SELECT count(*) FROM polysome_deliveries").fetchall() == [(1,)]
    failed = service.wait(service.post("jobs/submit", ask)["job_id"])
    assert failed["status"] == "failed" and "exists already" in failed["error_message"]
    ask["output"]["database"] = "sqlite:////tmp/elsewhere.db?table=t"
    outside = service.wait(service.post("jobs/submit", ask)["job_id"])
    assert outside["status"] == "failed" and "outside the output folders" in outside["error_message"]


def test_a_file_of_credentials_that_others_may_read_is_refused(make_service, tmp_path):
    known = tmp_path / "connections"
    known.write_text(f"lab = postgresql://owner:{PASSWORD}@host/db\n")
    known.chmod(0o644)
    one = make_service(arguments=["--connections", str(known)])
    with pytest.raises(AssertionError) as refused:
        one.start()
    one.process = None  # it ended by itself
    assert "chmod 600" in str(refused.value) and PASSWORD not in str(refused.value)


def test_run_reads_and_writes_tables_of_databases(tmp_path):
    (tmp_path / "lab").mkdir()
    shop(tmp_path / "lab" / "shop.db").close()
    source = f"sqlite:///lab/shop.db?table={quote('the samples')}"
    words = ["column=v", "operation=count,mean", "group_by=name", "--out", "sqlite:///answers.db?table=means"]
    done = run("run", "aggregate", source, *words, cwd=tmp_path)
    assert f"wrote 5 rows to sqlite:///{tmp_path}/answers.db?table=means" in done.stderr
    with sqlite3.connect(tmp_path / "lab" / "shop.db") as base:
        expected = base.execute('SELECT name, count(v) FROM "the samples" GROUP BY name').fetchall()
    with sqlite3.connect(tmp_path / "answers.db") as base:
        assert sorted(map(repr, base.execute("SELECT name, v_count FROM means"))) == sorted(map(repr, expected))
    assert "--replace" not in run("run", "aggregate", source, *words, "--replace", cwd=tmp_path).stderr
    as_file = run("run", "describe", "lab/shop.db", cwd=tmp_path, expect=1).stderr
    assert "shop.db is a SQLite database (tables: late, the samples)" in as_file
    assert f"sqlite:///{tmp_path}/lab/shop.db?table=late" in as_file
    missing = run("run", "describe", "sqlite:///shop.db?table=late", cwd=tmp_path, expect=2).stderr
    assert "there is no file shop.db" in missing
