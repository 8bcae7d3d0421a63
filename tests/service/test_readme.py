"""Every command of README.md runs as it is written, in its order, in one folder; what its terminal session
shows is what is printed, but for times and sizes of this machine. (Its Python: test_python.py and
test_usage_example.py; docs/python.md: test_python.py.)"""

import os
import re
import subprocess

import pytest

import tables
from polysome_service import PATIENCE, PROGRAM, ROOT, Service, clean_environment, until

README = (ROOT / "README.md").read_text()

# Lines that are not run here, each for its reason. A line that is no longer in README.md fails a test.
LEFT_OUT = {
    "scripts/demo.sh": "installs; scripts/test.sh has a layer for it",
    "scripts/test.sh": "runs this",
    "polysome serve --data-dir /srv/study --autostart &": "the service of this test stands for it",
    "polysome serve --host 0.0.0.0 &": "other machines could call; test_access.py does it",
    "POLYSOME_TOKEN=ps_... polysome list --url http://server:8001": "a name of somebody's machine; test_access.py does it",
    "polysome run aggregate 'sqlite:///lab.db?table=expression' column=value operation=mean group_by=gene "
    "--out 'postgresql://lab?table=means' --connections ~/.polysome-databases": "a server; test_databases.py does it",
    "source <(polysome completion bash)": "test_cli_tables.py completes with it",
}


def blocks():
    """Indented blocks of the text, as lists of lines, without those in fences."""
    text = re.sub(r"^```.*?^```$", "", README, flags=re.S | re.M)
    found, block = [], []
    for line in [*text.splitlines(), "."]:
        if line.startswith("    "):
            block.append(line.strip() if not line.startswith("        ") or line.strip().startswith("polysome") else line[4:])
        elif line.strip() == "" and block:
            block.append("")
        elif block:
            found.append([line for line in block])
            block = []
    return found


def commands():
    lines = []
    for block in blocks():
        if any(line.startswith("$ ") for line in block):
            continue
        begun = ""
        for line in block:
            line = begun + re.sub(r"\s{2,}#.*", "", line).strip()
            begun = line[:-1] if line.endswith("\\") else ""
            if line and not begun:
                lines.append(line)
    return lines


def session():
    """(command, what is shown) of the terminal session; a command may have several lines."""
    steps = []
    for block in blocks():
        if not any(line.startswith("$ ") for line in block):
            continue
        for line in block:
            if line.startswith("$ "):
                steps.append([line[2:], []])
            elif steps and steps[-1][0].count('"') % 2 == 1:
                steps[-1][0] += "\n" + line
            elif line.strip():
                steps[-1][1].append(line.rstrip())
    return steps


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the files that README.md names, and a running service with jobs in it."""
    folder = tmp_path_factory.mktemp("readme")
    service = Service(folder, arguments=["--retry-delay", "50ms"])
    tables.write(tables.expression_table(), service.data / "my_dataset.csv")
    service.start("--autostart")
    long = "sample,gene,condition,expression,batch\n" + "".join(
        f"S{i % 9},g{i % 50},{'treated' if i % 2 else 'control'},{i % 97}.5,{i % 3}\n" for i in range(5000)
    )
    (folder / "samples.tsv").write_text("sample_id\tage\n" + "".join(f"S{i}\t{40 + i}\n" for i in range(8)))
    (folder / "long.csv").write_text(long)
    subprocess.run(["gzip", "-k", folder / "long.csv"], check=True)
    (folder / "proteins.tsv").write_text("protein\tS1\tS2\nP1\t1.5\t2\nP2\tNA\t3\n")
    (folder / "counts.tsv").write_text("gene\tS1\tS2\ng1\t1\t2\ng2\t3\t4\n")
    subprocess.run(["gzip", "-k", folder / "counts.tsv"], check=True)
    (folder / "exports").mkdir()
    for i in range(2):
        (folder / "exports" / f"{i}.csv").write_text(long)
    until(lambda: service.get("cluster/status")["status"] == "running", "the cluster to run")
    yield service
    service.stop()


def run(service, command):
    service.held = service.submit("noop", held=True, user="ada")
    until(lambda: len(service.get("cluster/status")["workers"]) >= 2, "two workers") if "drain" in command else None
    command = command.replace("localhost:8001", f"localhost:{service.port}")
    command = re.sub(r"\bJOB\b", service.held, command)
    if "drain w2" in command:
        last = service.get("cluster/status")["workers"][-1]["id"]
        command = command.replace("w2", last)
    if command.startswith(("polysome retry last", "polysome logs last")):
        failing = service.submit("noop", parameters={"fail_rate": 1}, max_attempts=1)
        service.wait(failing)
        command = command.replace("last", failing)
    bin_folder = service.folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    if not (bin_folder / "polysome").exists():
        (bin_folder / "polysome").symlink_to(PROGRAM)
    return subprocess.run(
        ["bash", "-c", command],
        cwd=service.folder,
        env={
            **clean_environment(),
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "POLYSOME_URL": f"http://localhost:{service.port}",
            "POLYSOME_STATE_DIR": str(service.state),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120 * PATIENCE,
    )


def test_what_is_left_out_is_there():
    assert sorted(LEFT_OUT) == sorted(set(LEFT_OUT) & set(commands()))


@pytest.mark.parametrize("command", [c for c in commands() if c not in LEFT_OUT])
def test_each_command_runs_as_it_is_written(place, command):
    ran = run(place, command)
    expected = 0
    if "retry last" in command or "--status pending" in command:
        expected = ran.returncode  # judged below
    assert ran.returncode == expected, f"{ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    if "--status pending" in command:
        # A question without a terminal is answered with how to say yes.
        assert ran.returncode == 0 or "--yes" in ran.stderr, ran.stderr
    if command.startswith("curl"):
        assert '"valid":true' in ran.stdout, ran.stdout
    if "--out" in command:
        out = place.folder / command.rpartition("--out ")[2].split()[0]
        assert out.exists() and out.stat().st_size > 10


def steady(line):
    """Without what is another on each machine and in each run."""
    line = re.sub(r"^\d+ cores?, .*", "CORES", line)
    line = re.sub(r"^[0-9a-f]{8}  completed in [0-9.]+ m?s", "JOB  completed in TIME", line)
    return line.strip()


def test_the_terminal_session_shows_what_is_printed(place):
    steps = session()
    assert len(steps) >= 3
    for command, shown in steps:
        ran = run(place, command)
        assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
        said = [steady(line) for line in (ran.stderr + ran.stdout).splitlines() if line.strip()]
        at = 0
        for line in shown:
            if line == "...":
                continue
            assert steady(line) in said[at:], f"{command}\nREADME shows {line!r}; printed:\n" + "\n".join(said[:40])
            at = said.index(steady(line), at) + 1
