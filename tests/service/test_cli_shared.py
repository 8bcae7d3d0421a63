"""The command line of a shared queue: hold and release, batches, limits, workers, why and how much."""

import json
import os
import pty
import select
import signal
import subprocess
import time

import pytest

from polysome_service import PATIENCE, PROGRAM, clean_environment, until
from test_cli import CONFLICT, DONE, NOT_FOUND, USAGE, run


@pytest.fixture
def cli(service):
    url = f"http://localhost:{service.port}"

    def call(*arguments, **more):
        return run(*arguments, url=url, **more)

    call.service = service
    call.url = url
    return call


def pending(cli, *more):
    return cli("submit", "noop", *more).stdout.strip()


def test_hold_release_and_set(cli):
    job = pending(cli, "--held", "--name", "mine")
    cli("set", "mine", "priority=CRITICAL", "tags=a,b", "keep=true")
    status = cli.service.status(job)
    assert (status["priority_name"], status["tags"], status["keep"], status["held"]) == (
        "CRITICAL", ["a", "b"], True, True,
    )
    cli("release", "mine")
    assert cli.service.status(job)["phase"] == "waiting"
    cli("hold", job[-8:])
    assert cli.service.status(job)["phase"] == "held"
    assert "priority" in cli("set", "mine", "prioriti=HIGH", expect=USAGE).stderr
    assert "true or false" in cli("set", "mine", "held=perhaps", expect=USAGE).stderr
    cli("set", "mine", expect=USAGE)
    cli("cancel", "mine")
    assert "cancelled" in cli("hold", job, expect=CONFLICT).stderr


def test_a_batch_from_a_file_and_its_end_by_filter(cli, tmp_path):
    lines = tmp_path / "jobs.ndjson"
    lines.write_text('{"parameters": {"tasks": 2}}\n\n{"name": "b", "priority": "LOW"}\n')
    batch = cli("submit", "noop", "sleep_ms=5", "--batch", lines).stdout.strip()
    jobs = json.loads(cli("list", "--batch", batch, "-o", "json").stdout)["jobs"]
    assert [j["priority_name"] for j in jobs] == ["LOW", "NORMAL"]
    assert cli.service.status(jobs[1]["job_id"])["parameters"]["sleep_ms"] == 5
    whole = tmp_path / "batch.json"
    whole.write_text(json.dumps({"defaults": {"operation": "noop"}, "jobs": [{}] * 3}))
    answer = json.loads(cli("submit", "--batch", whole, "-o", "json").stdout)
    assert answer["n_jobs"] == 3
    lines.write_text('{"parameters": {"tasks": 2}}\n{"parameters": \n')
    assert "line 2" in cli("submit", "noop", "--batch", lines, expect=USAGE).stderr
    lines.write_text('{"parameters": {"taskz": 2}}\n')
    assert "job 0" in cli("submit", "noop", "--batch", lines, expect=USAGE).stderr
    assert "--yes" in cli("cancel", "--status", "pending", expect=USAGE).stderr
    assert "3 jobs cancelled" in cli("cancel", "--batch", answer["batch_id"], "--yes").stdout
    assert "2 jobs cancelled" in cli("cancel", "--user", "root", "--status", "pending", "--yes").stdout \
        or os.geteuid() != 0
    assert cli.service.get("queue/status")["pending"] == 0 or os.geteuid() != 0


def test_pause_limits_and_why(cli):
    cli("queue", "pause", "--reason", "moving disks")
    job = pending(cli)
    cli("cluster", "start", "--n-workers", "1", "--threads-per-worker", "1", "--memory-limit", "1GB")
    explained = cli("explain", job, "-o", "table").stdout
    assert "moving disks" in explained and "queue" in explained and "plan" in explained
    assert "moving disks" in cli("queue", "-o", "table").stdout
    cli("queue", "resume")
    cli("wait", job)
    explained = cli("explain", job, "-o", "table").stdout
    assert "completed" in explained and "stage" in explained
    cli("limits", "--set", '{"per_user": {"max_pending_jobs": 0}, "users": {"ada": {"weight": 2}}}')
    assert "ada" in cli("limits", "-o", "table").stdout
    assert "max_pending_jobs" in cli("submit", "noop", expect=CONFLICT).stderr
    assert "max_pending_job" in cli("limits", "--set", '{"max_pending_job": 1}', expect=USAGE).stderr
    cli("explain", "nonesuch", expect=NOT_FOUND)


def test_workers_and_autoscale(cli):
    cli("cluster", "start", "--n-workers", "2", "--threads-per-worker", "1", "--memory-limit", "1GB")
    assert "drained" in cli("cluster", "drain", "w1", "--reason", "loud fan").stdout
    assert "loud fan" in cli("cluster", "workers", "-o", "table").stdout
    cli("cluster", "exclude", "w2", "--for", "1h")
    assert {w["status"] for w in cli.service.get("cluster/status")["workers"]} == {"drained", "excluded"}
    for worker in ("w1", "w2"):
        cli("cluster", "readmit", worker)
    assert {w["status"] for w in cli.service.get("cluster/status")["workers"]} == {"idle"}
    assert "cluster" in cli("cluster", "drain", "w99", expect=NOT_FOUND).stderr
    cli("cluster", "autoscale", "on", "1", "3")
    assert cli.service.get("cluster/autoscale")["max"] == 3
    assert "1 to 3" in cli("cluster", "autoscale").stdout
    cli("cluster", "autoscale", "off")
    for bad in (["on", "3"], ["on", "3", "1"], ["maybe"], ["on", "x", "y"]):
        assert cli("cluster", "autoscale", *bad, expect=USAGE).stderr.strip()


def test_usage_faults_recommend_and_health(cli):
    cli("cluster", "start", "--n-workers", "1", "--threads-per-worker", "1", "--memory-limit", "1GB")
    cli("wait", pending(cli, "tasks=3"))
    usage = json.loads(cli("usage", "--by", "operation", "-o", "json").stdout)
    assert usage[0]["operation"] == "noop" and usage[0]["jobs"] == 1
    assert cli("usage", "--since", "1d").stdout.count("\n") == 2
    cli("usage", "--since", "yesterday-ish", expect=USAGE)
    assert "0 failed" in cli("faults").stdout
    assert "noop" in cli("recommend").stdout
    assert "healthy" in cli("health").stdout


def test_top_draws_and_ends_on_ctrl_c(cli):
    cli("cluster", "start", "--n-workers", "1", "--threads-per-worker", "1", "--memory-limit", "1GB")
    job = pending(cli, "tasks=5", "sleep_ms=60000", "--name", "seen")
    until(lambda: cli.service.status(job)["status"] == "running", "the job to run")
    assert "seen" in cli("top", "--once").stdout
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [str(PROGRAM), "top", "--every", "0.1", "--url", cli.url],
        stdin=slave, stdout=slave, stderr=slave, env={**clean_environment(), "COLUMNS": "60", "TERM": "xterm"},
        start_new_session=True,
    )
    os.close(slave)
    seen, end = b"", time.monotonic() + 30 * PATIENCE
    while seen.count(b"Ctrl-C") < 3 and time.monotonic() < end:
        if select.select([master], [], [], 0.2)[0]:
            seen += os.read(master, 65536)
    process.send_signal(signal.SIGINT)
    assert process.wait(10 * PATIENCE) == DONE
    os.close(master)
    text = seen.decode(errors="replace")
    assert text.count("Ctrl-C") >= 3 and "seen" in text and "cores" in text
