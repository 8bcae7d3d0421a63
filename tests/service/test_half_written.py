"""Whatever is killed, cancelled, out of memory or out of disk while data is loaded, cut or written: nothing
half-written is ever seen, the job completes afterwards or says why not, and temporary files are gone."""

import contextlib
import gzip
import os
import pathlib
import signal
import subprocess

import pytest

from polysome_service import API, until

ROWS = 1_500_000
# Pairs of rows, so that a small file makes much to write; its answer is one file that takes seconds.
PAIRS = f"SELECT a.gene, b.sample, a.expression FROM {{table}} a, {{table}} b LIMIT {ROWS}"


def results(service):
    """What lies in the folder of outputs: visible names and hidden ones."""
    names = sorted(p.name for p in (service.state / "results").glob("*"))
    return [n for n in names if not n.startswith(".")], [n for n in names if n.startswith(".")]


def scratch_files(service):
    return [p for p in (service.state / "scratch").rglob("*") if p.is_file()]


def writing(service, **output):
    """A job that is in the middle of writing its output."""
    job = service.submit("sql", "my_dataset", {"query": PAIRS}, output={"path": "pairs.csv.gz", **output})

    def begun():
        for path in (service.state / "results").glob(".pairs*"):
            files = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
            if any(f.stat().st_size > 0 for f in files):
                return True
        return False

    until(begun, "the output to be written", 120)
    assert results(service)[0] == [], "seen before it is whole"
    return job


def all_pids(service):
    workers = [w["pid"] for w in service.get("cluster/status")["workers"]]
    return workers, [slot for pid in workers for slot in service.slots(pid)]


def check_whole(service, job):
    service.complete(job)
    visible, hidden = results(service)
    assert visible == ["pairs.csv.gz"] and hidden == []
    with gzip.open(service.state / "results" / "pairs.csv.gz", "rt") as file:  # checks its sum
        assert next(file) == "gene,sample,expression\n"
        assert sum(1 for _ in file) == ROWS
    until(lambda: scratch_files(service) == [], "temporary files to go")


@pytest.mark.parametrize("victim", ["slot", "worker", "service"])
def test_a_kill_while_the_output_is_written(service, victim):
    service.start_cluster(1, 1)
    job = writing(service)
    workers, slots = all_pids(service)
    if victim == "service":
        service.kill()
        service.check_nothing_left()
        assert results(service)[0] == []
        service.start()
    else:
        for pid in slots if victim == "slot" else workers:
            os.kill(pid, signal.SIGKILL)
    check_whole(service, job)


def test_a_file_that_was_there_stays_whole_until_it_is_replaced(service):
    service.start_cluster(1, 1)
    (service.state / "results").mkdir(exist_ok=True)
    target = service.state / "results" / "pairs.csv.gz"
    target.write_bytes(gzip.compress(b"precious\n"))
    job = service.submit(
        "sql", "my_dataset", {"query": PAIRS}, output={"path": "pairs.csv.gz", "if_exists": "replace"}
    )
    until(lambda: results(service)[1], "the output to be written", 120)
    for pid in all_pids(service)[1]:
        os.kill(pid, signal.SIGKILL)
    assert gzip.decompress(target.read_bytes()) == b"precious\n"
    check_whole(service, job)


@pytest.mark.parametrize("files", ["one", "parts"])
def test_a_cancel_while_the_output_is_written_leaves_nothing(service, files):
    service.start_cluster(1, 1)
    more = {"path": "pairs", "format": "csv", "compression": "gzip", "files": "parts"} if files == "parts" else {}
    job = writing(service, **more)
    service.post(f"jobs/{job}/cancel", {})
    assert service.wait(job)["status"] == "cancelled"
    until(lambda: results(service) == ([], []), "what was written to go")
    until(lambda: scratch_files(service) == [], "temporary files to go")


def test_out_of_memory_while_writing_leaves_nothing(service):
    service.start_cluster(1, 1, memory="64MB")
    # One group holds all rows: no cut helps.
    query = "SELECT string_agg(a.gene || b.sample) AS all FROM {table} a, {table} b WHERE a.expression > 1"
    job = service.submit("sql", "my_dataset", {"query": query}, output={"path": "pairs.csv"})
    failed = service.wait(job)
    assert failed["status"] == "failed" and failed["error"]["class"] == "out_of_memory", failed["error"]
    assert "64MB" in failed["error_message"] and failed["error"]["hint"]
    assert results(service) == ([], [])
    until(lambda: scratch_files(service) == [], "temporary files to go")


@contextlib.contextmanager
def small_disk(path, size):
    path.mkdir(parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def files_below(path):
    return [p for p in pathlib.Path(path).rglob("*") if p.is_file()]


def test_a_full_disk_where_the_output_goes(make_service, service, tmp_path):
    with small_disk(tmp_path / "outputs", "2M") as outputs:
        other = make_service("full", arguments=["--output-dir", outputs, "--retry-delay", "100ms"])
        (other.data / "my_dataset.csv").write_bytes((service.data / "my_dataset.csv").read_bytes())
        other.start()
        try:
            other.start_cluster(1, 1)
            job = other.submit("sql", "my_dataset", {"query": PAIRS}, output={"path": "pairs.csv"}, max_attempts=2)
            until(lambda: other.status(job)["attempts"] or other.status(job)["error"], "the disk to be full", 120)
            status = other.status(job)
            told = " ".join(a["message"] for a in status["attempts"]) + str(status["error"])
            assert "No space left" in told or "disk" in told, told
            failed = other.wait(job)
            assert failed["status"] == "failed", failed
            assert "space" in failed["error_message"] or "disk" in failed["error_message"], failed["error_message"]
            until(lambda: files_below(outputs) == [], "what was written to go")
            # There is room again: the same job done anew completes.
            small = other.run("filter", "my_dataset", {"limit": 10}, output={"path": "few.csv"})
            assert small["result"]["output"][0]["rows"] == 10
            assert [p.name for p in files_below(outputs)] == ["few.csv"]
        finally:
            other.stop()


def test_a_full_disk_where_the_work_is(make_service, service, tmp_path):
    with small_disk(tmp_path / "work", "1M") as work:
        other = make_service("full", arguments=["--work-dir", work, "--retry-delay", "100ms"])
        (other.data / "my_dataset.csv").write_bytes((service.data / "my_dataset.csv").read_bytes())
        other.start()
        try:
            other.start_cluster(1, 1)
            job = other.submit("sql", "my_dataset", {"query": PAIRS}, max_attempts=2)
            until(
                lambda: other.status(job)["status"] == "failed" or other.status(job)["attempts"],
                "the disk to be full",
                120,
            )
            failed = other.wait(job)
            assert failed["status"] == "failed", failed
            assert "space" in failed["error_message"] or "disk" in failed["error_message"], failed["error_message"]
            assert other.get("health")["status"] in ("healthy", "degraded")
        finally:
            other.stop()


@pytest.mark.parametrize("victim", ["slot", "service"])
def test_a_kill_while_a_dataset_is_materialized(service, victim):
    rows = 400_000
    with open(service.data / "long.csv", "w") as file:
        file.write("id,name,x\n")
        file.writelines(f"{i},row {i},{i * 0.5}\n" for i in range(rows))
    record = service.post(
        "data/load", {"dataset_id": "kept", "source": "long.csv", "materialize": True, "layout": {}}
    )
    service.start_cluster(1, 1)
    until(lambda: service.status(record["job_id"])["status"] != "pending", "the work to begin")
    if victim == "service":
        service.kill()
        service.check_nothing_left()
        service.start()
    else:
        for pid in all_pids(service)[1]:
            os.kill(pid, signal.SIGKILL)
    service.complete(record["job_id"])
    shown = service.get("data/datasets/kept")
    assert shown["format"] == "parquet" and shown["n_rows"] == rows
    total = service.run("aggregate", "kept", {"column": "id", "operation": "sum"})["result"]["value"]
    assert total == rows * (rows - 1) // 2


@pytest.mark.parametrize("victim", ["slot", "service"])
def test_a_kill_while_a_file_is_unpacked_or_counted(service, victim):
    rows = 600_000
    with gzip.open(service.data / "packed.csv.gz", "wt", compresslevel=1) as file:
        file.write("id,name\n")
        file.writelines(f"{i},row {i}\n" for i in range(rows))
    counted = 3 * rows  # so many that it is a job
    with open(service.data / "plain.csv", "w") as file:
        file.write("id,name\n")
        file.writelines(f"{i},some text of a row\n" for i in range(counted))
    service.start_cluster(1, 1)
    jobs = [
        service.submit("aggregate", "packed", {"column": "id", "operation": "sum"}),
        service.post("data/partition", {"dataset_id": "plain", "partition_size": "1MB", "exact": True})["job_id"],
    ]
    until(lambda: service.status(jobs[0])["phase"] == "running", "the work to begin")
    if victim == "service":
        service.kill()
        service.check_nothing_left()
        service.start()
    else:
        for pid in all_pids(service)[1]:
            os.kill(pid, signal.SIGKILL)
    assert service.complete(jobs[0])["result"]["value"] == rows * (rows - 1) // 2
    assert service.complete(jobs[1])["result"]["summary"]["n_rows"] == counted
    until(lambda: scratch_files(service) == [], "temporary files to go")


def test_an_upload_that_does_not_fit_is_refused_and_leaves_nothing(make_service, tmp_path):
    with small_disk(tmp_path / "full" / "state", "8M"):
        service = make_service("full")
        service.start()
        try:
            answer = service.request(
                "PUT", f"{API}/data/datasets/big/content?format=csv", data=b"a,b\n" + b"1,2\n" * 4_000_000
            )
            assert answer.status_code in (413, 507), answer.text
            assert "space" in answer.text or "disk" in answer.text, answer.text
            until(lambda: not list((service.state / "datasets").rglob("*.csv")), "what arrived to go")
            assert service.get("data/datasets")["total"] == 0
        finally:
            service.stop()
