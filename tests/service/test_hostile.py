"""Files and requests nobody would write on purpose: each has an answer that names file, line, column and value, and
what to do; none ends the service, and none makes it or its workers grow."""

import gzip
import os
import pathlib
import random

import pytest

from polysome_service import LONG, PATIENCE, processes, until


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    from polysome_service import Service

    service = Service(tmp_path_factory.mktemp("hostile") / "service", arguments=["--retry-delay", "10ms"])
    service.start()
    service.start_cluster(1, 2)
    yield service
    assert service.get("health")["status"] == "healthy"
    service.stop()


def refused(service, file, operation="describe", parameters=None, **more):
    """The error of a job over this file, which must be the user's, told once, with a way out."""
    job = service.submit(operation, str(file), parameters or {}, **more)
    status = service.wait(job)
    assert status["status"] == "failed", status
    error = status["error"]
    assert error["class"] == "user" and error["hint"], error
    assert file.name.split("\n")[0] in error["detail"], error
    return error


def whole(service, file, **more):
    return service.run("describe", str(file), **more)


def write(service, name, content):
    path = service.data / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_an_empty_file(hostile):
    assert "empty" in refused(hostile, write(hostile, "empty.csv", ""))["detail"]


def test_a_header_and_nothing_else_is_an_empty_table(hostile):
    ended = whole(hostile, write(hostile, "header.csv", "a,b\n"))
    assert [r["count"] for r in hostile.rows(ended["job_id"])] == [0, 0]


@pytest.mark.parametrize("row,fields", [("4,5", 2), ("6,7,8,9", 4)])
def test_a_row_of_another_length_is_named(hostile, row, fields):
    text = "a,b,c\n" + "1,2,3\n" * 5000 + row + "\n" + "1,2,3\n" * 5000
    error = refused(hostile, write(hostile, f"ragged{fields}.csv", text))
    assert "line 5,002" in error["detail"] and str(fields) in error["detail"]
    assert error["errors"][0]["line"] == 5002


def test_a_value_that_is_no_number_is_named_with_its_place(hostile):
    text = "id,x\n" + "".join(f"S{i},{i}\n" for i in range(9000)) + "S9000,1.2.3\n"
    file = write(hostile, "bad.csv", text)
    more = {"layout": {"types": {"x": "double"}}}
    error = refused(hostile, file, "aggregate", {"column": "x", "operation": "mean"}, **more)
    item = error["errors"][0]
    assert (item["line"], item["column"], item["value"]) == (9002, "x", "1.2.3") and item["file"].endswith("bad.csv")
    assert "on_bad_value" in error["hint"]
    ended = hostile.run("aggregate", str(file), {"column": "x", "operation": "mean"}, on_bad_value="null", **more)
    assert ended["result"]["value"] == sum(range(9000)) / 9000


def test_bytes_that_are_no_text(hostile):
    garbage = random.Random(5).randbytes(200_000)
    assert "not text" in refused(hostile, write(hostile, "garbage.csv", garbage))["detail"]
    utf16 = "a,b\n1,2\n".encode("utf-16")
    assert "UTF-8" in refused(hostile, write(hostile, "utf16.csv", utf16))["hint"]
    latin = "a,b\n" + "x,1\n" * 100 + "é,2\n"
    error = refused(hostile, write(hostile, "latin.csv", latin.encode("latin-1")))
    assert error["errors"][0]["line"] == 102 and error["errors"][0]["column"] == "a"


def test_a_quote_that_is_never_closed(hostile):
    text = "a,b\n" + "1,2\n" * 50 + '"open,2\n' + "3,4\n" * 50
    error = refused(hostile, write(hostile, "quote.csv", text))
    assert "line 52" in error["detail"] and "quote" in error["hint"]


def test_a_gzip_file_that_ends_too_early_or_is_damaged(hostile):
    packed = gzip.compress("".join(f"{i},{i * 7 % 13}\n" for i in range(100_000)).encode())
    error = refused(hostile, write(hostile, "cut.csv.gz", packed[: len(packed) // 2]))
    assert "damaged" in error["detail"] and "gzip -t" in error["hint"]
    broken = bytearray(packed)
    broken[len(broken) // 2] ^= 0xFF
    refused(hostile, write(hostile, "broken.csv.gz", bytes(broken)))


def test_a_small_file_that_unpacks_to_very_much(hostile):
    bomb = gzip.compress(b"a,b\n" + b"0,0\n" * 20_000_000, 9)
    assert len(bomb) < 400_000
    job = hostile.submit("describe", str(write(hostile, "bomb.csv.gz", bomb)))
    status = hostile.wait(job, 300)
    assert status["status"] in ("completed", "failed")
    if status["status"] == "failed":
        assert status["error"]["class"] == "user", status["error"]


NAMES = ["with space.csv", "quote'd \"twice\".csv", "line\nbreak.csv", "表达 écrit كتب.csv", "-dash.csv", "per%20cent.csv",
         "semi;colon & $dollar.csv", "{brace}.csv", "back\\slash.csv", "a" * 240 + ".csv"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_of_files_and_columns_in_any_script(hostile, name):
    column = name.replace("\n", " ").replace('"', '""')
    file = write(hostile, name, f'"{column}",g\n1,x\n3,y\n')
    ended = whole(hostile, file)
    rows = hostile.rows(ended["job_id"])
    assert rows[0]["column"] == column.replace('""', '"') and rows[0]["mean"] == 2
    ended = hostile.run("aggregate", str(file), {"column": rows[0]["column"], "operation": "sum"})
    assert ended["result"]["value"] == 4
    by_stem = hostile.get("data/datasets")["datasets"]
    assert any(d["source"] == str(file) or d["dataset_id"] == name[: -len(".csv")] for d in by_stem)


def test_sixty_thousand_columns(hostile):
    n = 60_000
    header = ",".join(f"g{i}" for i in range(n))
    rows = "\n".join(",".join(str((i + r) % 10) for i in range(n)) for r in range(4))
    file = write(hostile, "wide.csv", f"{header}\n{rows}\n")
    ended = hostile.complete(hostile.submit("aggregate", str(file), {"columns": ["g0", "g59999"], "operation": "sum"}), 300)
    assert [r["sum"] for r in hostile.rows(ended["job_id"])] == [0 + 1 + 2 + 3, sum((59999 + r) % 10 for r in range(4))]
    names, token = [], None
    while True:
        page = hostile.get("data/datasets/wide", params={"page_token": token})
        assert page["n_columns"] == n and len(page["columns"]) <= 1000
        names += [c["name"] for c in page["columns"]]
        token = page["next_page_token"]
        if not token or len(names) > 3000:
            break
    assert names[:4] == ["g0", "g1", "g2", "g3"] and names == [f"g{i}" for i in range(len(names))]
    last = hostile.get("data/datasets/wide", params={"page_token": "59990", "limit": 1000})
    assert [c["name"] for c in last["columns"]] == [f"g{i}" for i in range(59_990, n)] and not last["next_page_token"]
    assert hostile.get("data/datasets/wide", params={"page_token": "70000"})["columns"] == []


def test_a_json_array_is_looked_at_and_read_with_little_memory(hostile):
    write(hostile, "array.json", '[{"a": 1}, {"a": 2}]')
    assert [c["name"] for c in hostile.get("data/datasets/array")["columns"]] == ["a"]
    assert hostile.run("aggregate", "array", {"column": "a", "operation": "sum"})["result"]["value"] == 3


def test_one_line_of_very_many_bytes(hostile):
    size = 200_000_000 if LONG else 20_000_000
    path = hostile.data / "long.csv"
    with open(path, "wb") as out:
        out.write(b"a,b\n1,")
        for _ in range(size // 1_000_000):
            out.write(b"x" * 1_000_000)
        out.write(b"\n2,y\n")
    ended = hostile.complete(
        hostile.submit("aggregate", str(path), {"column": "a", "operation": "sum"}, layout={"types": {"a": "int64"}}), 600
    )
    assert ended["result"]["value"] == 3
    path.unlink()


def test_a_file_that_is_gone_before_or_while_its_job_runs(hostile):
    text = "a,b\n" + "1,2\n" * 300_000
    file = write(hostile, "going.csv", text)
    job = hostile.submit("aggregate", str(file), {"column": "a", "operation": "median"}, partition_size=20_000)
    until(lambda: hostile.tasks_done(job) > 2 or hostile.status(job)["status"] != "running", "the job to be under way")
    file.unlink()
    status = hostile.wait(job, 300)
    assert status["status"] in ("completed", "failed"), status
    if status["status"] == "failed":
        assert "going.csv" in status["error"]["detail"] and status["error"]["class"] in ("io", "user")
    problem = hostile.refused("POST", "jobs/submit", 422, {"operation": "describe", "dataset_id": "going"})
    assert "going" in problem["detail"]


def test_a_file_that_changes_while_its_job_runs(hostile):
    file = write(hostile, "changing.csv", "a,b\n" + "1,2\n" * 300_000)
    job = hostile.submit("aggregate", str(file), {"column": "a", "operation": "sum"}, partition_size=10_000)
    until(lambda: hostile.tasks_done(job) > 2 or hostile.status(job)["status"] != "running", "the job to be under way")
    file.write_text("a,b\n" + "7,2\n" * 400_000)
    status = hostile.wait(job, 300)
    # Either it was through before, or it says that the file was changed; never a mixture.
    if status["status"] == "completed":
        assert status["result"]["value"] in (300_000, 7 * 400_000)
    else:
        assert "changing.csv" in status["error"]["detail"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a file of another user")
def test_a_folder_that_may_not_be_entered(hostile, tmp_path):
    problem = hostile.refused("POST", "jobs/submit", 422, {"operation": "describe", "dataset_id": "/root/x.csv"})
    assert "data folder" in problem["detail"] + problem.get("hint", "")


def test_very_many_small_files_are_one_table(hostile):
    folder = hostile.data / "many"
    folder.mkdir()
    n = 100_000 if LONG else 3000
    for i in range(n):
        (folder / f"{i:06d}.csv").write_text(f"a,b\n{i},1\n")
    ended = hostile.complete(hostile.submit("aggregate", "many", {"column": "b", "operation": "sum"}), 900)
    assert ended["result"]["value"] == n


NUMBERS = {
    "n_workers": [0, 33, -1, 1.5, 1e300, "4"],
    "max_memory_gb": [0, -1, 1e-9, 1e300, "much"],
    "max_cores": [0, -5, 10**18],
    "max_attempts": [0, 11, 2**63, 2**64],
    "timeout_seconds": [0, -1, 1e308],
    "partition_size": [0, -1, "0GB", "1e400GB", "99999999999TB", "GB"],
    "priority": [0, 5, 2.5, "URGENT", "", None and 1],
}


@pytest.mark.parametrize("field", NUMBERS)
def test_numbers_out_of_range_are_refused_with_their_field(hostile, field):
    for value in NUMBERS[field]:
        if value is None:
            continue
        problem = hostile.refused("POST", "jobs/submit", 422, {"operation": "noop", field: value})
        assert problem["errors"][0]["pointer"] == f"/{field}", (value, problem)


BODIES = [
    b'{"operation": "noop", "operation": "noop"}',
    b'{"operation": "noop", "name": "\\ud800"}',
    b'{"operation": "noop", "name": "\xff"}',
    b'{"operation": "noop", "max_cores": 1e999}',
    b'{"operation": "noop", "max_cores": 123456789012345678901234567890}',
    b'{"operation": "noop"} {"operation": "noop"}',
    b'{"operation": "noop",}',
    b"\xef\xbb\xbf{",
    b'{"a":' * 2000 + b"1" + b"}" * 2000,
    b"[" * 500_000,
    b'"' + b"x" * 900_000 + b'"',
    b'{"operation": "noop", "parameters": {' + b",".join(b'"k%d": 1' % i for i in range(50_000)) + b"}}",
    b"null",
    b"\x00",
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_bodies_that_break_readers_are_refused(hostile, body):
    answer = hostile.request("POST", "jobs/submit", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 413, 422), (body[:60], answer.text[:300])
    problem = answer.json()
    assert problem["detail"] and len(answer.content) < 20_000


def test_nothing_grew(hostile):
    """After all of the above; memory is looked at once requests of the worst kind were sent many times."""
    pid = hostile.process.pid

    def resident():
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        return 0

    def storm():
        for body in BODIES:
            hostile.request("POST", "jobs/submit", data=body, headers={"Content-Type": "application/json"})

    for _ in range(5):
        storm()
    before = resident()
    for _ in range(30 if PATIENCE == 1 else 3):
        storm()
    assert resident() < before + 30_000_000, (before, resident())
    assert pid in processes()
