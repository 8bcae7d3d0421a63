"""What the command line prints, in a terminal of 80 and of 200 columns and into a pipe: golden files, and no
line wider than its terminal. POLYSOME_GOLDEN=write makes the files anew."""

import difflib
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import termios
import time
import unicodedata

import pytest

import tables
from polysome_service import PATIENCE, PROGRAM, clean_environment, until

GOLDEN = pathlib.Path(__file__).parent / "golden"


def environment(url):
    return {**clean_environment(), "POLYSOME_URL": url, "TERM": "xterm", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}


def in_terminal(arguments, url, columns, cwd=None):
    """What a terminal of that width shows; also exit code."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        ["polysome", *map(str, arguments)],
        executable=PROGRAM, stdin=other, stdout=other, stderr=other, env=environment(url), cwd=cwd, start_new_session=True,
    )
    os.close(other)
    text, end = b"", time.monotonic() + 60 * PATIENCE
    while time.monotonic() < end:
        ready, _, _ = select.select([main], [], [], 0.2)
        if not ready:
            continue
        try:
            piece = os.read(main, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        text += piece
    os.close(main)
    code = process.wait(timeout=30 * PATIENCE)
    return text.decode().replace("\r\n", "\n"), code


def piped(arguments, url, cwd=None):
    done = subprocess.run(
        ["polysome", *map(str, arguments)],
        executable=PROGRAM, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment(url), cwd=cwd, timeout=60 * PATIENCE,
    )
    return done.stdout + done.stderr, done.returncode


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


def width(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in line)


def normal(text, service):
    """The text without what differs from run to run, in the same width."""
    same = lambda shape: lambda m: (shape * 20)[: len(m.group(0))]
    text = plain(text)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", same("i"), text)
    text = text.replace(str(service.port), "PORT")
    text = re.sub(r"/[^ ]*/service", "/FOLDER", text)
    text = re.sub(r"\b[0-9a-f]{8}\b", same("j"), text)
    text = re.sub(r"\b(just now|\d+ (s|min|h) ago)", "AGO", text)
    text = re.sub(r"\bin \d+(\.\d)? s|after \d+(\.\d)? s|\d+(\.\d)? s left", "TIME", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "DATE", text)
    text = re.sub(r"\b\d\d:\d\d:\d\d\b", "CLOCK", text)
    text = re.sub(r"\b\d+(\.\d+)? (s|min)\b", "T", text)
    text = re.sub(r"running,? \d+(\.\d+)?( %|…)?", "running N", text)
    text = text.replace(", the oldest waits for T", "")
    text = re.sub(r",ada,\d+(\.\d+)?,", ",ada,SECONDS,", text)
    text = re.sub(r"peak memory +\S+( \w+ [0-9.]+[kMG]?B,?)*", "peak memory SIZE", text)
    # Padding after a cell of another length is no difference.
    return re.sub(r" +", " ", re.sub(r" +$", "", text, flags=re.M))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A service with one job of each kind, named so that all answers are the same each time."""
    from polysome_service import Service

    service = Service(tmp_path_factory.mktemp("tables") / "service", arguments=["--retry-delay", "10ms"])
    tables.write(tables.expression_table(), service.data / "my_dataset.csv")
    service.start()
    service.start_cluster(1, 1)
    user = {"user": "ada"}
    done = service.run("aggregate", "my_dataset", {"column": "expression", "operation": ["mean", "max"]}, name="by hand", **user)
    failed = service.submit("aggregate", "my_dataset", {"column": "expresion", "operation": "mean"}, **user)
    service.wait(failed)
    long_name = "a name with 中文, \u202e control \x1b[31m characters and no end in sight " * 2
    running = service.submit("noop", parameters={"tasks": 1000, "sleep_ms": 1000}, name="long one", **user)
    until(lambda: service.status(running)["status"] == "running", "the job to run")
    waiting = service.submit("noop", parameters={"tasks": 5}, priority="LOW", name=long_name, **user)
    service.jobs = {"done": done["job_id"], "failed": failed, "running": running, "waiting": waiting}
    yield service
    for job in (running, waiting):
        service.post(f"jobs/{job}/cancel")
    service.stop()


# name → words; JOB words are filled in.
GOLDEN_CASES = {
    "help": ["--help"],
    "ops": ["ops"],
    "ops-aggregate": ["ops", "aggregate"],
    "list": ["list"],
    "queue": ["queue"],
    "status-done": ["status", "{done}"],
    "status-failed": ["status", "{failed}"],
    "result": ["result", "{done}"],
    "logs": ["logs", "{failed}"],
    "config-show": ["config", "show", "--origin"],
    "completion-bash": ["completion", "bash"],
    "mistyped-command": ["sumbit", "aggregate"],
    "mistyped-flag": ["list", "--statsu", "running"],
    "mistyped-operation": ["submit", "agregate", "my_dataset"],
    "mistyped-parameter": ["submit", "aggregate", "my_dataset", "colunm=expression"],
    "mistyped-value": ["submit", "aggregate", "my_dataset", "column=expression", "operation=maen"],
    "mistyped-job": ["status", "nosuchjob"],
    "other-tools-word": ["ps"],
    "no-name": ["token", "new"],
}
OTHER_CASES = {
    "mistyped-dataset": ["submit", "describe", "my_datset"],
    "status-running": ["status", "{running}"],
    "status-waiting": ["status", "{waiting}"],
    "list-wide": ["list", "-n", "20"],
    "cluster": ["cluster", "status"],
    "workers": ["cluster", "workers"],
    "doctor": ["doctor"],
    "security": ["doctor", "--security"],
    "partition": ["partition", "my_dataset", "--partition-size", "5kB"],
    "result-table": ["result", "{done}", "-o", "table"],
    "version": ["version"],
    "top": ["health"],
    **{f"help-{c}": [c, "--help"] for c in (
        "run", "serve", "submit", "list", "queue", "status", "watch", "wait", "cancel", "retry", "logs", "result",
        "load", "partition", "ops", "demo", "version", "doctor", "completion")},
    **{f"help-{a}-{b}": [a, b, "--help"] for a, b in (
        ("cluster", "start"), ("cluster", "scale"), ("token", "new"), ("token", "list"), ("config", "show"))},
}


def filled(words, service):
    return [w.format(**service.jobs) if w.startswith("{") and w.endswith("}") else w for w in words]


def compare(name, text):
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("POLYSOME_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text)
        return
    expected = path.read_text()
    difference = "\n".join(difflib.unified_diff(expected.splitlines(), text.splitlines(), "golden", "printed", lineterm=""))
    assert text == expected, f"{path.name}:\n{difference}"


@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_what_is_printed_is_what_was_agreed_on(place, name):
    words = filled(GOLDEN_CASES[name], place)
    url = place.address("")
    parts = []
    for columns in (80, 200):
        text, code = in_terminal(words, url, columns, cwd=place.folder)
        parts.append(f"== terminal of {columns} columns, exit {code}\n{normal(text, place)}")
    text, code = piped(words, url, cwd=place.folder)
    if name != "list":  # whose CSV holds a job's name as it is
        assert "\x1b" not in text, "no colours into a pipe"
    parts.append(f"== piped, exit {code}\n{normal(text, place)}")
    compare(name, "\n".join(parts))


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("name", [*GOLDEN_CASES, *OTHER_CASES])
def test_no_line_is_wider_than_its_terminal(place, name, columns):
    if name == "completion-bash":
        return  # a script, for a shell
    words = filled({**GOLDEN_CASES, **OTHER_CASES}[name], place)
    text, _ = in_terminal(words, place.address(""), columns, cwd=place.folder)
    # Commands are for copying: they are never broken.
    lines = [line for line in plain(text).split("\n") if not line.lstrip().startswith("polysome ")]
    wide = [line for line in lines if width(line) > columns]
    assert not wide, f"{name} at {columns}: {wide}"
    assert "\x1b[31m characters" not in text, "what data holds is shown, not obeyed"


def test_flags_may_stand_before_the_command(place):
    url = place.address("")
    done = subprocess.run(
        [str(PROGRAM), "--url", url, "-o", "json", "list"],
        capture_output=True, text=True, env=clean_environment(), timeout=60 * PATIENCE,
    )
    assert done.returncode == 0 and json.loads(done.stdout)["total"] == 4
    done = subprocess.run(
        [str(PROGRAM), f"--url={url}", "cluster", "status", "-o", "json"],
        capture_output=True, text=True, env=clean_environment(), timeout=60 * PATIENCE,
    )
    assert done.returncode == 0 and json.loads(done.stdout)["status"] == "running"


def test_retry_and_logs(place):
    url = place.address("")
    text, code = piped(["retry", place.jobs["failed"][-8:], "column=expression", "priority=HIGH", "--wait"], url)
    assert code in (0, 8), text
    again = text.split()[0]
    status = place.status(again)
    assert status["retry_of"] == place.jobs["failed"] and status["priority_name"] == "HIGH"
    assert status["parameters"]["column"] == "expression"
    text, code = piped(["logs", again, "-f"], url)
    assert code == 0 and text.rstrip().endswith("completed")
    text, code = piped(["logs", again, "-o", "json"], url)
    assert [json.loads(line)["message"] for line in text.splitlines()][-1] == "completed"
    text, code = piped(["retry", place.jobs["failed"], "colunm=expression"], url)
    assert code == 2 and 'column' in text
    text, code = piped(["retry", place.jobs["running"]], url)
    assert code == 7 and "cancel it first" in text


def test_completion_in_bash(place, tmp_path):
    script = subprocess.run([str(PROGRAM), "completion", "bash"], capture_output=True, text=True).stdout
    (tmp_path / "polysome").symlink_to(PROGRAM)
    probe = script + """
COMP_WORDS=(polysome submit aggregate my_dataset operation=m); COMP_CWORD=4; _polysome
printf '%s\\n' "${COMPREPLY[@]}"
COMP_WORDS=(polysome clu); COMP_CWORD=1; _polysome
printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(
        ["bash", "-c", probe], capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    words = done.stdout.split()
    assert "operation=mean" in words and "operation=median" in words and words[-1] == "cluster", done.stderr


def test_doctor_tells_what_is_wrong(tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    (state / "tokens").write_text("ada:123\n")
    (state / "tokens").chmod(0o644)
    env = {**clean_environment(), "POLYSOME_STATE_DIR": str(state), "POLYSOME_PORT": "1"}
    done = subprocess.run([str(PROGRAM), "doctor", "--security", "-o", "json"], capture_output=True, text=True, env=env)
    checks = {c["check"]: c for c in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1 and "chmod 600" in checks["tokens"]["text"]
    done = subprocess.run([str(PROGRAM), "doctor", "-o", "json"], capture_output=True, text=True, env=env)
    checks = {c["check"]: c for c in json.loads(done.stdout)["checks"]}
    assert checks["worker program"]["state"] == "ok" and "polysome serve" not in checks["service"]["text"]


def test_config_show_names_where_a_setting_comes_from(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('n_workers = 7\ndata_dir = ["/a", "/b"]\n')
    env = {**clean_environment(), "POLYSOME_CONFIG": str(file), "DASK_THREADS_PER_WORKER": "3"}
    done = subprocess.run(
        [str(PROGRAM), "config", "show", "--origin", "-o", "json"], capture_output=True, text=True, env=env
    )
    settings = {s["name"]: s for s in json.loads(done.stdout)["settings"]}
    assert settings["n_workers"] == {"name": "n_workers", "value": "7", "origin": str(file)}
    assert settings["threads_per_worker"]["origin"] == "DASK_THREADS_PER_WORKER"
    assert settings["data_dir"]["value"] == "/a, /b" and settings["port"]["origin"] == "default"
