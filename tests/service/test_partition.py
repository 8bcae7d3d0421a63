"""data/partition and what datasets may be made of: folders, key=value folders, files that differ."""

import os
import pathlib
import tempfile
import time

import numpy as np
import pytest

from polysome_service import LONG, PATIENCE, until


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_partitions_are_paged_and_cover_the_file(service):
    size = (service.data / "my_dataset.csv").stat().st_size
    seen, token, pages = [], None, 0
    while True:
        body = {"dataset_id": "my_dataset", "partition_size": "10kB", "limit": 3}
        if token:
            body["page_token"] = token
        page = service.post("data/partition", body)
        seen += page["partitions"]
        pages += 1
        token = page["next_page_token"]
        if not token:
            break
    assert pages == -(-page["n_partitions"] // 3) > 1
    assert [p["index"] for p in seen] == list(range(page["n_partitions"]))
    ends = [p["offset"] + p["length"] for p in seen]
    assert ends[-1] == size and [p["offset"] for p in seen[1:]] == ends[:-1]
    assert max(p["length"] for p in seen) - min(p["length"] for p in seen) < 200
    service.refused(
        "POST", "data/partition", 400, {"dataset_id": "my_dataset", "page_token": "next please"}
    )


def test_exact_counts_are_a_job_and_are_kept_until_the_file_changes(service):
    path = service.data / "long.csv"
    rows = 1_200_000
    write(path, "a,b,c\n" + "".join(f"{i},some text of a row,{i * 0.25}\n" for i in range(rows)))
    ask = {"dataset_id": "long", "partition_size": "5MB"}
    first = service.post("data/partition", ask)
    assert not first["n_rows_exact"] and abs(first["n_rows"] - rows) < 0.1 * rows
    answer = service.post("data/partition", {**ask, "exact": True})
    again = service.post("data/partition", {**ask, "exact": True})
    assert again["job_id"] == answer["job_id"], "one job counts, however often it is asked for"
    service.start_cluster(2, 1)
    finished = service.complete(answer["job_id"])
    assert finished["result"]["summary"]["n_rows"] == rows
    table = service.rows(answer["job_id"])
    assert sum(r["rows"] for r in table) == rows and len(table) == answer["n_partitions"]

    def counted():
        now = service.post("data/partition", {**ask, "exact": True})
        return now if now["n_rows_exact"] else None

    known = until(counted, "the counts to be kept")
    assert known["n_rows"] == rows and "job_id" not in known
    assert [p["rows"] for p in known["partitions"]] == [r["rows"] for r in table]
    # They outlive the service.
    service.stop()
    service.start()
    assert service.post("data/partition", ask)["n_rows"] == rows
    # The same size and the same time of change, another content: noticed.
    before = path.stat()
    text = path.read_text()
    write(path, text[:-5] + "\n" + text[-4:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not service.post("data/partition", ask)["n_rows_exact"]


def test_key_value_folders_are_columns(service):
    for year in (2023, 2024):
        for sex in "fm":
            write(
                service.data / f"study/year={year}/sex={sex}/part.csv",
                "x,y\n" + "".join(f"{i},{i * year}\n" for i in range(50)),
            )
    listed = {d["dataset_id"] for d in service.get("data/datasets")["datasets"]}
    assert "study" in listed
    shown = service.get("data/datasets/study")
    assert [(c["name"], c["type"], c["from"]) for c in shown["columns"]][2:] == [
        ("year", "int64", "folder"),
        ("sex", "string", "folder"),
    ]
    assert shown["n_rows"] == 200 and shown["n_rows_exact"]
    service.start_cluster(2, 1)
    for size in ("100B", "100MB"):
        job = service.run(
            "aggregate",
            "study",
            {"column": "y", "operation": "sum", "group_by": ["year", "sex"]},
            partition_size=size,
        )
        rows = service.rows(job["job_id"])
        expected = [
            (year, sex, sum(i * year for i in range(50))) for year in (2023, 2024) for sex in "fm"
        ]
        assert [(r["year"], r["sex"], r["y_sum"]) for r in rows] == expected


def test_files_that_lack_columns_read_them_as_missing_and_say_so(service):
    write(service.data / "mixed/a.csv", "id,age\n1,20\n2,30\n")
    write(service.data / "mixed/b.csv", "weight,id\n80.5,3\n")
    service.start_cluster(1, 1)
    job = service.run("sql", "mixed", {"query": "SELECT id, age, weight FROM {table} ORDER BY id"})
    assert [tuple(r.values()) for r in service.rows(job["job_id"])] == [
        (1, 20, None),
        (2, 30, None),
        (3, None, 80.5),
    ]
    assert any(w["code"] == "columns_differ" for w in job["warnings"])

    write(service.data / "other/a.csv", "id,age\n1,20\n")
    write(service.data / "other/b.csv", "gene,count\nG1,3\n")
    problem = service.refused("GET", "data/datasets/other", 422)
    assert "b.csv has no column of a.csv" in problem["detail"]


def test_many_small_files_make_few_tasks(service):
    rng = np.random.default_rng(5)
    values = rng.normal(size=(3000, 4))
    for i, row in enumerate(values):
        write(service.data / f"small/{i:05}.csv", "v\n" + "".join(f"{v!r}\n" for v in row.tolist()))
    answer = service.post("data/partition", {"dataset_id": "small"})
    assert answer["n_files"] == 3000 and answer["n_partitions"] < 40
    assert answer["strategy"] == "files_together" and answer["partitions"][0]["n_files"] > 50
    service.start_cluster(2, 1)
    job = service.run("aggregate", "small", {"column": "v", "operation": ["mean", "count"]})
    (row,) = service.rows(job["job_id"])
    assert row["count"] == values.size
    np.testing.assert_allclose(row["mean"], values.mean(), rtol=1e-10, atol=1e-14)


def tiny_files(folder, n):
    """n files of two rows in key=value folders of 1,000; their values add up to what is answered."""
    total = 0
    for first in range(0, n, 1000):
        place = folder / f"batch={first // 1000:04}"
        place.mkdir(parents=True)
        at = os.open(place, os.O_RDONLY)
        for i in range(first, min(first + 1000, n)):
            file = os.open(f"s{i % 1000:03}.csv", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=at)
            os.write(file, b"gene,value\nG%d,%d\nH,%d.5\n" % (i % 7, i, i % 11))
            os.close(file)
            total += i + i % 11 + 0.5
        os.close(at)
    return total


def a_second_or_so(service, method, path, body=None):
    """The answer, which has to come within a second of an idle machine."""
    began = time.monotonic()
    answer = service.get(path) if method == "GET" else service.post(path, body)
    assert time.monotonic() - began < 5 * PATIENCE
    return answer


@pytest.mark.parametrize("n", [30_000, pytest.param(1_000_000, marks=pytest.mark.skipif(not LONG, reason="long"))])
def test_tiny_files_are_read_together(make_service, n):
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        folder = pathlib.Path(folder)
        total = tiny_files(folder / "tiny", n)
        service = make_service(data_dirs=[folder]).start()
        for body in ({"dataset_id": "tiny"}, {"path": "tiny/*/*.csv"}):
            answer = a_second_or_so(service, "POST", "data/partition", body)
            assert [c["name"] for c in answer["columns"]] == ["gene", "value", "batch"]
            if n <= 100_000:
                assert answer["n_files"] == n and answer["n_partitions"] < n / 1000
                assert sum(p["n_files"] for p in answer["partitions"]) == n
            else:
                assert answer["more_files"] and answer["n_partitions"] is None and answer["job_id"]
        assert a_second_or_so(service, "POST", "data/load", {"dataset_id": "t", "source": "tiny"})["n_columns"] == 3
        assert a_second_or_so(service, "GET", "data/datasets/tiny")["format"] == "csv"
        assert a_second_or_so(service, "GET", "data/datasets")["total"] == 2
        service.start_cluster(2, 1)
        asked = {"column": "value", "operation": ["sum", "count"]}
        job = service.complete(service.submit("aggregate", "t", asked), 600)
        (row,) = service.rows(job["job_id"])
        assert (row["count"], row["sum"]) == (2 * n, total)
        if n > 100_000:
            service.complete(answer["job_id"], 600)
            answer = service.post("data/partition", {"path": "tiny/*/*.csv"})
            assert (answer["n_files"], answer["n_rows"], answer["n_rows_exact"]) == (n, 2 * n, True)
        service.stop()
