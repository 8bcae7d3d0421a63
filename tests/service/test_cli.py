"""The command line as a shell uses it: exit codes, what is printed into a pipe, jobs without a service."""

import csv
import io
import json
import signal
import subprocess
import time

import numpy as np
import pytest

import tables
from polysome_service import PATIENCE, PROGRAM, clean_environment, free_port, until

DONE, FAILED, USAGE, CANCELLED, NOT_FOUND, UNREACHABLE, CONFLICT, STILL_RUNNING = 0, 1, 2, 3, 5, 6, 7, 8


def run(*arguments, expect=DONE, url=None, cwd=None, seconds=120, **environment):
    env = {**clean_environment(), **environment}
    if url:
        env["POLYSOME_URL"] = url
    done = subprocess.run(
        [str(PROGRAM), *[str(a) for a in arguments]],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=env,
        cwd=cwd,
        timeout=seconds * PATIENCE,
    )
    assert (
        done.returncode == expect
    ), f"{arguments}: exit {done.returncode}, expected {expect}\n{done.stdout}\n{done.stderr}"
    assert "\x1b" not in done.stdout + done.stderr, "no colours into a pipe"
    return done


@pytest.fixture(scope="module")
def cli(shared_service):
    url = f"http://localhost:{shared_service.port}"

    def call(*arguments, **more):
        return run(*arguments, url=url, **more)

    call.service = shared_service
    return call


@pytest.fixture(scope="module")
def done_job(cli):
    printed = cli(
        "submit",
        "aggregate",
        "my_dataset",
        "column=expression",
        "operation=mean,max",
        "--wait",
        "--priority",
        "HIGH",
    )
    return (
        printed.stdout.split()[0]
        if printed.stdout.strip()
        else cli.service.get("jobs/list")["jobs"][0]["job_id"]
    )


def test_version_and_help():
    assert run("version").stdout.strip()
    assert "serve" in run("--help").stdout
    for bad in (["nonsense"], ["submit"], ["serve", "--prot", "1"]):
        assert run(*bad, expect=USAGE).stderr.strip()


def test_submit_into_a_pipe_prints_the_id_alone(cli):
    job = cli("submit", "noop", "tasks=2").stdout
    assert len(job.split()) == 1
    assert cli.service.complete(job.strip())["result"]["value"] == 2


def test_typed_parameters(cli):
    job = cli(
        "submit",
        "aggregate",
        "my_dataset",
        "columns=expression,count",
        "operation=mean,quantile",
        "q:=[0.25,0.5]",
        "where=batch = 2",
    ).stdout.strip()
    parameters = cli.service.complete(job)["parameters"]
    assert (
        parameters["columns"] == ["expression", "count"]
        and parameters["operation"] == ["mean", "quantile"]
        and parameters["q"] == [0.25, 0.5]
    )


def test_status_list_and_queue(cli, done_job):
    status = json.loads(cli("status", done_job, "-o", "json").stdout)
    assert status["status"] == "completed" and status["priority_name"] == "HIGH"
    assert "completed" in cli("status", done_job[-6:]).stdout
    listed = json.loads(cli("list", "-o", "json").stdout)
    assert done_job in [j["job_id"] for j in listed["jobs"]]
    rows = list(csv.DictReader(io.StringIO(cli("list", "-o", "csv").stdout)))
    assert any(done_job in row.values() for row in rows)
    assert done_job in cli("list", "-o", "id").stdout.split()
    assert all(json.loads(line) for line in cli("list", "-o", "ndjson").stdout.splitlines())
    assert "pending" in json.loads(cli("queue", "-o", "json").stdout)


def test_result_into_a_pipe_is_csv(cli, done_job):
    rows = list(csv.DictReader(io.StringIO(cli("result", done_job).stdout)))
    values = cli.service.table["expression"]
    assert rows[0]["column"] == "expression"
    np.testing.assert_allclose(
        [float(rows[0]["mean"]), float(rows[0]["max"])], [values.mean(), values.max()], rtol=1e-10
    )
    assert json.loads(cli("result", done_job, "-o", "json").stdout)
    assert cli("result", "last", "-o", "ndjson").returncode == DONE


def test_exit_codes(cli):
    cli("status", "00000000-0000-7000-8000-000000000000", expect=NOT_FOUND)
    cli("submit", "aggregate", "my_datset", "column=expression", "operation=mean", expect=USAGE)
    cli("submit", "agregate", "my_dataset", expect=USAGE)
    failed = cli("submit", "noop", "tasks=1", "fail_rate=1", "--wait", expect=FAILED)
    assert "fail_rate" in failed.stderr + failed.stdout
    slow = cli("submit", "noop", "tasks=1", "sleep_ms=60000").stdout.strip()
    cli("cancel", slow)
    cli("watch", slow, expect=CANCELLED)
    cli("cluster", "start", "--n-workers", "7", expect=CONFLICT)
    run("status", "last", url=f"http://localhost:{free_port()}", expect=UNREACHABLE)


def test_errors_say_what_to_do_next(cli):
    problem = cli(
        "submit", "aggregate", "my_datset", "column=expression", "operation=mean", expect=USAGE
    ).stderr
    assert '"my_dataset"' in problem and "polysome load" in problem
    unreachable = run("list", url=f"http://localhost:{free_port()}", expect=UNREACHABLE).stderr
    assert "serve" in unreachable


def test_watch_follows_to_the_end_and_detaches(cli):
    job = cli("submit", "noop", "tasks=10", "sleep_ms=100").stdout.strip()
    cli("watch", job)
    slow = cli("submit", "noop", "tasks=1", "sleep_ms=60000").stdout.strip()
    env = {**clean_environment(), "POLYSOME_URL": f"http://localhost:{cli.service.port}"}
    watching = subprocess.Popen(
        [str(PROGRAM), "watch", slow], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(lambda: cli.service.status(slow)["phase"] == "running", "the job to run")
    time.sleep(0.5)  # the signal must meet it watching, not starting
    watching.send_signal(signal.SIGINT)
    _, problem = watching.communicate(timeout=30 * PATIENCE)
    assert watching.returncode == STILL_RUNNING and "watch" in problem
    assert cli.service.status(slow)["status"] == "running", "the job goes on"
    cli.service.post(f"jobs/{slow}/cancel")


def test_load_and_partition(cli):
    (cli.service.data / "more").mkdir(exist_ok=True)
    tables.write(cli.service.table, cli.service.data / "more" / "long.tsv")
    cli("load", "long", cli.service.data / "more" / "long.tsv")
    parts = json.loads(cli("partition", "long", "--partition-size", "50kB", "-o", "json").stdout)
    assert parts["format"] == "tsv" and parts["n_partitions"] > 3


def test_cluster_commands(cli):
    assert json.loads(cli("cluster", "status", "-o", "json").stdout)["n_workers"] == 2
    assert len(cli("cluster", "workers", "-o", "id").stdout.split()) == 2


@pytest.fixture
def folder(tmp_path):
    tables.write(tables.expression_table(), tmp_path / "my_dataset.csv")
    return tmp_path


def test_run_needs_no_service(folder):
    printed = run(
        "run",
        "aggregate",
        "my_dataset.csv",
        "columns=expression,count",
        "operation=mean,std",
        "--workers",
        "2",
        cwd=folder,
    ).stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    table = tables.expression_table()
    for row in rows:
        values = table[row["column"]]
        np.testing.assert_allclose(
            [float(row["mean"]), float(row["std"])], [values.mean(), values.std()], rtol=1e-10
        )
    assert len(rows) == 2
    assert not list((folder / ".polysome").glob("*")) if (folder / ".polysome").exists() else True


def test_run_writes_a_file(folder):
    run("run", "filter", "my_dataset.csv", "where=batch = 2", "--out", "two.tsv", cwd=folder)
    lines = (folder / "two.tsv").read_text().splitlines()
    assert lines[0].split("\t")[:2] == ["sample", "gene"] and len(lines) > 100


def narrow(rows):
    return ["n,name"] + [f"{r},name {r}" for r in range(rows)]


def wide(rows, columns=2100):
    header = "id," + ",".join(f"c{c}" for c in range(columns))
    return [header] + [f"s{r}," + ",".join(str(float(r * c % 97)) for c in range(columns)) for r in range(rows)]


@pytest.mark.parametrize("table", [narrow, wide])
@pytest.mark.parametrize("size", ["100MB", "20kB"])
def test_run_gives_every_row_to_a_pipe_and_to_a_file(tmp_path, table, size):
    lines = table(300 if table is narrow else 60)
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    arguments = ["run", "convert", "t.csv", "--partition-size", size]
    assert run(*arguments, "format=csv", cwd=tmp_path).stdout.splitlines() == lines
    run(*arguments, "--out", "out.csv", cwd=tmp_path)
    assert (tmp_path / "out.csv").read_text().splitlines() == lines
    run(*arguments, "--out", "out.parquet", cwd=tmp_path)
    assert run("run", "convert", "out.parquet", "format=csv", cwd=tmp_path).stdout.splitlines() == lines
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "out.parquet", "t.csv"]


def test_run_exit_codes(folder):
    run("run", "aggregate", "nothing.csv", "column=a", "operation=mean", cwd=folder, expect=USAGE)
    wrong = run(
        "run", "aggregate", "my_dataset.csv", "column=expresion", "operation=mean", cwd=folder, expect=FAILED
    )
    assert "expression" in wrong.stderr


def test_run_stops_on_ctrl_c_within_seconds_and_resumes(folder):
    # Each task stays below a second, so some are finished when the signal comes.
    command = [str(PROGRAM), "run", "noop", "tasks=40", "sleep_ms=300", "--workers", "1"]
    started = subprocess.Popen(
        command,
        cwd=folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(2.5 * PATIENCE)  # some tasks' time; whether any finished is not relied on
    began = time.monotonic()
    started.send_signal(signal.SIGINT)
    _, problem = started.communicate(timeout=60 * PATIENCE)
    assert started.returncode == CANCELLED, problem
    assert time.monotonic() - began < 6 * PATIENCE, "within 5 s"
    again = subprocess.run(
        command, cwd=folder, env=clean_environment(), capture_output=True, text=True, timeout=120 * PATIENCE
    )
    assert again.returncode == DONE, again.stderr


def test_settings_come_from_environment_and_are_checked(make_service):
    service = make_service(
        environment={"DASK_N_WORKERS": "3", "DASK_THREADS_PER_WORKER": "1", "DASK_MEMORY_LIMIT": "700MB"}
    )
    service.start()
    service.post("cluster/start?wait=60")
    cluster = until(lambda: service.cluster_with(3), "3 workers, as the environment says")
    assert cluster["total_cores"] == 3 and cluster["workers"][0]["memory_limit_bytes"] == 700_000_000
    flags = make_service(
        "flags",
        environment={"DASK_N_WORKERS": "3", "POLYSOME_N_WORKERS": "2"},
        arguments=["--n-workers", "1", "--autostart"],
    )
    flags.start()
    until(lambda: flags.cluster_with(1), "1 worker: a flag wins over the environment")
    bad = make_service("bad", environment={"DASK_N_WORKERS": "many"})
    with pytest.raises(AssertionError, match="the service ended with"):
        bad.start()
    assert "DASK_N_WORKERS" in bad.log()
    bad.process = None
