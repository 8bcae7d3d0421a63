"""Nasty text through the whole program: what Python's csv module reads is what comes out, in every cut."""

import csv
import io
import random
import subprocess

import pytest

from polysome_service import PATIENCE, PROGRAM

LETTERS = ["a", "b c", ",", "\n", "\r\n", '"', "é", "日本", "#", "\t", "0", " ", "x" * 300]


def nasty_table(seed):
    """Rows of texts, and a file that holds them: quotes, line ends and delimiters in fields, mixed line
    ends, empty lines, sometimes no line end at the end."""
    draw = random.Random(seed)
    names = [f"c{i}" for i in range(draw.randint(2, 6))]
    rows = []
    text = ",".join(names) + "\n"
    for number in range(draw.randint(1, 40)):
        row = [f"k{number}"]
        row += ["".join(draw.choices(LETTERS, k=draw.randint(0, 5))) for _ in names[1:]]
        rows.append(row)
        cells = []
        for cell in row:
            # A quote in the middle of a field that is not quoted is a letter.
            must = any(c in cell for c in ",\r\n") or cell.startswith('"')
            quoted = '"' + cell.replace('"', '""') + '"'
            cells.append(quoted if must or draw.random() < 0.2 else cell)
        text += ",".join(cells) + draw.choice(["\n", "\r\n", "\n\n", "\r\n\n"])
    if draw.random() < 0.5:
        text = text.rstrip("\r\n")
    assert list(csv.reader(io.StringIO(text, newline="")))[0] == names
    read = [r for r in csv.reader(io.StringIO(text, newline="")) if r][1:]
    assert read == rows
    return names, rows, text


@pytest.mark.parametrize("seed", range(6))
def test_nasty_text_comes_out_as_python_reads_it(tmp_path, seed):
    names, rows, text = nasty_table(seed)
    source = tmp_path / "nasty.csv"
    source.write_bytes(text.encode())
    types = "{" + ",".join(f'"{n}":"string"' for n in names) + "}"
    for size in (1_000_000, 997, 60):
        out = tmp_path / f"out-{size}.csv"
        command = [PROGRAM, "run", "convert", source, f"layout.types:={types}", "--fresh", "--workers", "2"]
        command += ["--out", out, "--partition-size", str(size)]
        done = subprocess.run(
            list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, timeout=60 * PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        with open(out, newline="", encoding="utf-8") as f:
            found = list(csv.reader(f))
        assert found[0] == names
        assert found[1:] == rows, f"seed {seed}, partitions of {size} bytes"
