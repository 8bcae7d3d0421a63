#!/usr/bin/env python3
"""Polysome and its peers on the same files, in alternation, whole commands from start to printed answer.

    bench/compare/compare.py [--build build/release] [--folder DIR] [--rounds 5] [--small]
                             [--only all,one,long,gzip,parquet,wideparquet,transpose,first,sizes]
                             [--peers polars,duckdb,pandas,pyarrow,dask] [--largest 2000]

Questions: all     means of all columns of a 2,000 x 20,000 CSV
           one     the mean of one of its columns
           long    mean, standard deviation and count by gene of a CSV of 25 million rows, 5 columns
           gzip    the same, gzipped
           parquet the same of the table as Parquet, as Polars writes it
           wideparquet  means of all columns of the 2,000 x 20,000 table as Parquet, as Polars writes it
           transpose  a 60,000 x 1,000 matrix from CSV, turned, to Parquet
           first   how long a file as large as the largest of `sizes` waits for its first task
           sizes   cost per byte of `long` from 10 MB to --largest MB
Two threads each; best of the rounds; a program that takes over a minute, or fails (inf), is run once. The peers live in
an environment of their own in DIR, made when it is missing. The limit is a search for line feeds by the C
library (memchr) in the same file, in memory already; the share of it is how much of our time that would take with
two threads. Prints a table and, last, one line of JSON."""

import argparse
import json
import math
import mmap
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEERS = ["polars", "duckdb", "pandas", "pyarrow", "dask"]
ABLE = {"transpose": ["polars", "pandas"]}  # the others have no such operation
PACKAGES = ["polars", "duckdb", "pandas", "pyarrow", "dask[dataframe]", "numpy"]
SLOW = 60

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--build", default=str(ROOT / "build/release"))
parser.add_argument("--folder", default=str(Path(tempfile.gettempdir()) / "polysome-compare"))
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--small", action="store_true", help="a tenth of the sizes, to try the script")
parser.add_argument("--only", default="all,one,long,gzip,parquet,wideparquet,transpose,first,sizes")
parser.add_argument("--largest", type=int, default=2000, help="MB of the largest file of sizes and first")
parser.add_argument("--peers", default=",".join(PEERS))


def environment(folder):
    python = folder / "venv/bin/python"
    if not python.exists():
        print("making an environment for the peers", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "-q", "install", *PACKAGES], check=True)
    return python


def polysome_command(build, question, file):
    if question == "transpose":
        way = ["orientation=samples_as_rows", "layout.orientation=features_as_rows"]
        return [f"{build}/polysome", "run", "convert", str(file), *way, "--workers", "2", "--fresh",
                "--out", "polysome.parquet"]  # fmt: skip
    words = {
        "all": ["columns=*", "operation=mean"],
        "wideparquet": ["columns=*", "operation=mean"],
        "one": ["column=g10000", "operation=mean"],
    }.get(question, ["column=expression", "group_by=gene", "operation=mean,std,count"])
    return [f"{build}/polysome", "run", "aggregate", str(file), *words, "--workers", "2", "--fresh"]


def polysome_answer(question, text, folder):
    if question == "transpose":
        import peers  # needs pyarrow, which the peers' environment has

        return peers.turned(folder / "polysome.parquet")
    lines = [line.split(",") for line in text.splitlines()[1:]]
    if question == "one":
        return float(lines[0][1])
    return [len(lines), sum(float(line[1]) for line in lines)]


def timed(command, folder):
    env = {**os.environ, "POLARS_MAX_THREADS": "2", "OMP_NUM_THREADS": "2", "ARROW_NUM_THREADS": "2"}
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        why = f"ended by signal {-done.returncode}" if done.returncode < 0 else done.stderr[-2000:]
        print(f"{' '.join(map(str, command))}\nfailed: {why}", file=sys.stderr)
        return math.inf, ""
    return seconds, done.stdout


def close(a, b):
    if isinstance(a, list):
        return len(a) == len(b) and all(close(x, y) for x, y in zip(a, b))
    return math.isclose(a, b, rel_tol=1e-9)


def limit(file):
    """Seconds of one thread to look at every byte of a file that is in memory: the best of three."""
    best = math.inf
    with open(file, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as text:
        text.find(b"\0")
        for _ in range(3):
            began = time.perf_counter()
            text.find(b"\0")  # nowhere: one call of memchr
            best = min(best, time.perf_counter() - began)
    return best


def first_task(command, folder):
    """Seconds from the command's start to its plan, after which its tasks start at once."""
    with tempfile.TemporaryDirectory(dir=folder) as here:
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while not list(Path(here).glob(".polysome/*/work/*/plan/0.json")):
                if process.poll() is not None:
                    raise SystemExit(f"{command}: ended before its first task")
                time.sleep(0.001)
            seconds = time.perf_counter() - began
            process.terminate()
        return seconds


def ask(question, file, options, python, folder):
    commands = {"polysome": polysome_command(options.build, question, file)}
    for peer in options.peers.split(","):
        if peer in ABLE.get(question, PEERS):
            commands[peer] = [python, HERE / "peers.py", peer, question, file]
    best, answers = {}, {}
    for round_ in range(options.rounds):
        for name, command in commands.items():
            if round_ > 0 and best[name] > SLOW:
                continue
            (folder / "polysome.parquet").unlink(missing_ok=True)
            seconds, text = timed(command, folder)
            best[name] = min(best.get(name, math.inf), seconds)
            if seconds == math.inf and name == "polysome":
                raise SystemExit(f"{question}: polysome failed")
            if seconds == math.inf:
                continue
            found = polysome_answer(question, text, folder) if name == "polysome" else json.loads(text)
            answers[name] = found
            print(f"  {question} {name} {seconds:.3f} s", file=sys.stderr)
    for name, found in answers.items():
        if not close(found, answers["polysome"]):
            raise SystemExit(f"{question}: {name} found {found}, polysome {answers['polysome']}")
    return best


def cut_file(options, files, module, folder, size):
    file = folder / f"long-{size}.csv"
    if not file.exists():
        module.cut_to(files["long"], file, size)
    return file


def sizes(options, files, module, folder):
    out = []
    for size in (10_000_000, 100_000_000, 500_000_000, 2_000_000_000, 10_000_000_000, 20_000_000_000):
        if size > options.largest * 1_000_000:
            break
        file = cut_file(options, files, module, folder, size)
        command = polysome_command(options.build, "long", file)
        seconds = min(timed(command, folder)[0] for _ in range(max(2, options.rounds // 2)))
        out.append({"bytes": file.stat().st_size, "seconds": seconds})
    return out


def table(rows):
    width = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(str(cell).rjust(w) if i else str(cell).ljust(w) for i, (cell, w) in enumerate(zip(row, width))))


def main():
    options = parser.parse_args()
    options.build = str(Path(options.build).resolve())
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    python = environment(folder)
    if Path(sys.executable).resolve() != python.resolve() or sys.prefix != str(folder / "venv"):
        # The files are made with the numpy of the peers' environment.
        os.execv(python, [python, *sys.argv])
    import files as module

    scale = 10 if options.small else 1
    files = module.make(folder, (2000 // scale, 20_000), (60_000 // scale, 1000), 25_000_000 // scale)
    questions = options.only.split(",")
    out = {"files": {k: v.stat().st_size for k, v in files.items()}, "seconds": {}, "limit": {}}
    names = ["polysome", *options.peers.split(",")]
    rows = [("seconds", *names, "limit", "share of it")]
    ratios = [("times polysome's", *names, "", "")]
    for question in questions:
        if question in ("sizes", "first"):
            continue
        file = files.get({"all": "wide", "one": "wide", "transpose": "tall"}.get(question, question))
        best = ask(question, file, options, python, folder)
        bound = limit(file)
        out["seconds"][question], out["limit"][question] = best, bound
        rows.append((question, *(f"{best[n]:.2f}" if n in best else "" for n in names), f"{bound:.3f}", f"{bound / 2 / best['polysome']:.0%}"))
        ratios.append((question, *(f"{best[n] / best['polysome']:.2f}" if n in best else "" for n in names), "", ""))
    if len(rows) > 1:
        table(rows)
        table(ratios)
    if "first" in questions:
        largest = cut_file(options, files, module, folder, options.largest * 1_000_000)
        command = polysome_command(options.build, "long", largest)
        out["first_task"] = min(first_task(command, folder) for _ in range(options.rounds))
        print(f"first task on {largest.stat().st_size / 1e6:.0f} MB after {out['first_task'] * 1000:.0f} ms")
    if "sizes" in questions:
        out["sizes"] = sizes(options, files, module, folder)
        table([("MB", "seconds", "ns a byte")] + [
            (f"{s['bytes'] / 1e6:.0f}", f"{s['seconds']:.2f}", f"{s['seconds'] / s['bytes'] * 1e9:.2f}")
            for s in out["sizes"]
        ])
    finite = lambda v: None if v == math.inf else v  # noqa: E731
    out["seconds"] = {q: {n: finite(s) for n, s in b.items()} for q, b in out["seconds"].items()}
    print(json.dumps(out))


if __name__ == "__main__":
    main()
