"""Nasty text through the whole program: what Python's csv module reads is what comes out, in every cut, plain and
compressed in blocks; and the public data sets come back from Parquet as they went in."""

import csv
import gzip
import io
import random
import struct
import subprocess
import zlib

import pandas as pd
import pytest

from polysome_service import LONG, PATIENCE, PROGRAM, running

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


def bgzf(text, draw, most):
    """As bgzip writes it, with blocks of any size and its empty last one."""
    out = b""
    at = 0
    while at < len(text):
        block = text[at : at + draw.randint(1, most)]
        at += len(block)
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = packer.compress(block) + packer.flush()
        head = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff\x06\0BC\x02\0" + struct.pack("<H", len(body) + 25)
        out += head + body + struct.pack("<II", zlib.crc32(block), len(block))
    return out + bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def text_of(service, job):
    answer = service.request("GET", f"jobs/{job}/result", params={"format": "csv"})
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    with running(tmp_path_factory.mktemp("text"), 1, 2) as service:
        yield service


def convert(service, path, names, size, **more):
    layout = {"types": {n: "string" for n in names}}
    status = service.run("convert", str(path), {"format": "csv"}, layout=layout, partition_size=size, **more)
    return list(csv.reader(io.StringIO(text_of(service, status["job_id"]).decode(), newline="")))


@pytest.mark.parametrize("seed", range(100, 130 if LONG else 103))
def test_any_partition_size_gives_what_python_reads(reader, seed):
    names, rows, text = nasty_table(seed)
    path = reader.data / f"nasty{seed}.csv"
    path.write_bytes(text.encode())
    # From one byte upwards in src/data/partition_test.cc, where a partition costs no task.
    cuts = (1000, 300, 100, 60, 37, 20, 11, 5, 4, 3, 2) if LONG else (37, 6, 2)
    for size in [len(text.encode()) // n + 1 for n in cuts]:
        assert convert(reader, path, names, size) == [names, *rows], f"seed {seed}, partitions of {size} bytes"


@pytest.mark.parametrize("seed", range(200, 220 if LONG else 203))
def test_blocks_of_a_compressed_file_are_unpacked_side_by_side(reader, seed):
    draw = random.Random(seed)
    names, rows, text = ["a", "b"], [], "a,b\n"
    for number in range(4000):
        row = [f"{number}", "".join(draw.choices(["x", "\n", '"', ",", "1,2\n", "é"], k=draw.randint(0, 30)))]
        rows.append(row)
        text += f'{row[0]},"' + row[1].replace('"', '""') + '"\n'
    path = reader.data / f"blocks{seed}.csv.gz"
    path.write_bytes(bgzf(text.encode(), draw, 3000))
    assert gzip.decompress(path.read_bytes()) == text.encode()
    job = reader.submit(
        "convert",
        str(path),
        {"format": "csv"},
        layout={"types": {n: "string" for n in names}},
        partition_size=max(path.stat().st_size // 9, 1000),
    )
    status = reader.wait(job)
    assert status["status"] == "completed", status
    unpack = next(s for s in status["stages"] if s["name"] == "unpack")
    assert unpack["tasks_total"] > 5, unpack
    found = list(csv.reader(io.StringIO(text_of(reader, job).decode(), newline="")))
    assert found == [names, *rows]


TABLES = [
    ("breast-tcga/mirna.tsv", {}),
    ("breast-tcga/mrna.tsv", {}),
    ("breast-tcga/protein.tsv", {}),
    ("breast-tcga/samples.tsv", {}),
    ("liver-toxicity/clinic.tsv", {}),
    ("liver-toxicity/features.tsv", {}),
    ("liver-toxicity/gene.tsv", {}),
    ("liver-toxicity/treatment.tsv", {}),
    ("maxquant-proteingroups/proteinGroups.txt", {"ragged": "repair"}),
    ("nutrimouse/gene.tsv", {}),
    ("nutrimouse/lipid.tsv", {}),
    ("nutrimouse/samples.tsv", {}),
    ("tenx-mtx-chr21/barcodes.tsv.gz", {"header": False}),
    ("tenx-mtx-chr21/features.tsv.gz", {"header": False}),
    ("vcf-1000g/binary-phenotypes.csv.gz", {}),
    ("vcf-1000g/continuous-phenotypes.csv.gz", {}),
    ("vcf-1000g/covariates.csv.gz", {}),
    ("vcf-1000g/chr20_17x2535.vcf.gz", {}),
    ("vcf-1000g/genotypes.vcf.gz", {}),
]


@pytest.mark.parametrize("name,layout", TABLES, ids=[t[0] for t in TABLES])
def test_public_tables_come_back_from_parquet_as_they_went_in(reader, real_data, tmp_path, name, layout):
    """Every cell: as text where it is text, as the nearest double where it is a number, missing where it is missing."""
    source = real_data / name
    for size in ("40kB", "100MB"):
        out = tmp_path / f"{size}.parquet"
        done = subprocess.run(
            [PROGRAM, "run", "convert", source, "format=parquet", "--fresh", "--workers", "2", "--partition-size", size]
            + [f"layout.{k}={str(v).lower()}" for k, v in layout.items()]
            + ["--out", out],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        table = pd.read_parquet(out)
        unpack = gzip.open if name.endswith(".gz") else open
        with unpack(source, "rt", newline="") as f:
            lines = [line for line in f if not line.startswith("##")]
        rows = [r for r in csv.reader(lines, delimiter="," if ".csv" in name else "\t") if r]
        if layout.get("header", True):
            rows = rows[1:]
        assert len(rows) == len(table)
        for place, column in enumerate(table.columns):
            values = table[column].tolist()
            for row, value in zip(rows, values, strict=True):
                text = row[place] if place < len(row) else ""
                if isinstance(value, str):
                    assert value == text, (column, text)
                elif value is None or value != value:
                    assert text.strip().lower() in ("", "na", "nan", "null", "none", ".", "-", "n/a"), (column, text)
                elif isinstance(value, bool):
                    assert str(value).lower() == text.strip().lower(), (column, text)
                else:
                    assert float(value) == float(text), (column, text)
