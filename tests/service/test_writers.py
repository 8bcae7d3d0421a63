"""Every format that is written, as one file and as parts, read back by others: no value may have changed."""

import datetime
import gzip
import json
import subprocess

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from polysome_service import PROGRAM

TEXTS = [
    "plain", "", None, " ", "a,b", "a\tb", "a;b", 'say "x"', '"', '""', "line\nfeed", "cr\rlf\r\n", "'", "\\", "\\n",
    "NA", "nan", "null", "NULL", "None", "-", "#", "# no comment", "Ångström µ 漢字 🧬", "e\u0301", "\u2028", "\ufeffbom",
    "00012", "1e5", "TRUE", "2024-01-02", "{}", "[1]", " lead", "trail ", "x" * 5000, "\x01\x1f", "=1+1",
]  # fmt: skip
INTEGERS = [2**63 - 1, -(2**63), 2**53 + 1, -(2**53) - 1, 0, None, 1, -1]
DOUBLES = [
    0.1, 1 / 3, 0.1 + 0.2, 1e22, 1e23, 5e-324, 1.7976931348623157e308, 2.2250738585072014e-308, -0.0, 123456789012345680.0,
    9007199254740993.0, float("inf"), float("-inf"), None, 1e-7, 100000.0, 3.0,
]  # fmt: skip
DATES = [datetime.date(1, 1, 1), datetime.date(9999, 12, 31), datetime.date(1970, 1, 1), None, datetime.date(2024, 2, 29)]
TIMES = [
    datetime.datetime(2024, 2, 29, 23, 59, 59, 999999), datetime.datetime(1969, 12, 31, 23, 59, 59),
    datetime.datetime(2024, 1, 1), None, datetime.datetime(1677, 9, 22, 0, 12, 44, 1),
]  # fmt: skip
FLAGS = [True, False, None]
COLUMNS = {"id": INTEGERS, "a text, \"quoted\"": TEXTS, "number": DOUBLES, "day": DATES, "time": TIMES, "flag": FLAGS}
TYPES = [pa.int64(), pa.string(), pa.float64(), pa.date32(), pa.timestamp("us"), pa.bool_()]
N = 700


@pytest.fixture(scope="module")
def awkward(tmp_path_factory):
    """A Parquet file of ten row groups, so that there are parts."""
    arrays = [
        pa.array([values[i % len(values)] for i in range(N)], kind)
        for values, kind in zip(COLUMNS.values(), TYPES, strict=True)
    ]
    path = tmp_path_factory.mktemp("awkward") / "awkward.parquet"
    pq.write_table(pa.table(arrays, names=list(COLUMNS)), path, row_group_size=N // 10)
    return path


def fields(text, delimiter):
    """Records of RFC 4180; a field without quotes that is empty is None, which csv.reader cannot tell."""
    records, record, at = [], [], 0
    while at < len(text):
        if text[at] == '"':
            value, at = "", at + 1
            while True:
                end = text.index('"', at)
                value, at = value + text[at:end], end + 1
                if text[at : at + 1] != '"':
                    break
                value, at = value + '"', at + 1
        else:
            end = at
            while end < len(text) and text[end] not in (delimiter, "\n"):
                end += 1
            value, at = text[at:end] or None, end
        record.append(value)
        assert text[at : at + 1] in (delimiter, "\n"), text[max(0, at - 40) : at + 40]
        if text[at] == "\n":
            records.append(record)
            record = []
        at += 1
    assert not record
    return records


def typed(value, kind):
    """What a text stands for in a column of this type."""
    if value is None or pa.types.is_string(kind):
        return value
    if pa.types.is_boolean(kind):
        return {"true": True, "false": False}[value] if isinstance(value, str) else value
    if pa.types.is_date(kind):
        return datetime.date.fromisoformat(value)
    if pa.types.is_timestamp(kind):
        return datetime.datetime.fromisoformat(value)
    return int(value) if pa.types.is_integer(kind) else float(value)


def read(path, form):
    """The columns' names and the rows of one file."""
    kind = form.split(".")[0]
    if kind in ("parquet", "arrow"):
        table = pq.read_table(path) if kind == "parquet" else pa.ipc.open_file(path).read_all()
        assert table.schema.types == TYPES
        return table.column_names, list(zip(*(c.to_pylist() for c in table.columns), strict=True))
    raw = path.read_bytes()
    if form.endswith(".gz"):
        raw = gzip.decompress(raw)
    elif form.endswith(".zst"):
        raw = pa.CompressedInputStream(pa.BufferReader(raw), "zstd").read()
    text = raw.decode()
    if kind in ("csv", "tsv"):
        names, *rows = fields(text, "," if kind == "csv" else "\t")
    else:
        objects = json.loads(text) if kind == "json" else [json.loads(x) for x in text.split("\n")[:-1]]
        names = list(COLUMNS)
        assert all(list(o) == names for o in objects)
        rows = [list(o.values()) for o in objects]
    return names, [tuple(typed(v, t) for v, t in zip(row, TYPES, strict=True)) for row in rows]


def exact(rows):
    """Rows that compare as they should: -0.0 is not 0.0."""
    return [tuple(repr(v) if isinstance(v, float) else v for v in row) for row in rows]


@pytest.mark.parametrize("files", ["one", "parts"])
@pytest.mark.parametrize(
    "form", ["csv", "tsv", "csv.gz", "tsv.zst", "ndjson", "ndjson.gz", "json", "json.zst", "parquet", "arrow"]
)
def test_what_is_written_is_what_others_read(awkward, tmp_path, form, files):
    out = tmp_path / f"out.{form}"
    kind, _, packed = form.partition(".")
    if files == "one":
        arguments = ["--out", out]
    else:
        packing = {"": "none", "gz": "gzip", "zst": "zstd"}[packed]
        arguments = ["--out", f"{tmp_path / 'parts'}/", f"format={kind}", f"compression={packing}"]
    done = subprocess.run(
        [PROGRAM, "run", "convert", awkward, *arguments, "--workers", "2", "--partition-size", "4kB", "--fresh"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = [out] if files == "one" else sorted((tmp_path / "parts").iterdir())
    assert len(written) == 1 if files == "one" else len(written) > 2
    rows = []
    for path in written:
        assert path.name.endswith("." + form)
        names, part = read(path, form)
        assert names == list(COLUMNS)
        rows += part
    table = pq.read_table(awkward)
    assert exact(rows) == exact(zip(*(c.to_pylist() for c in table.columns), strict=True))


def test_parquet_says_what_its_row_groups_hold(awkward, tmp_path):
    out = tmp_path / "out.parquet"
    subprocess.run([PROGRAM, "run", "convert", awkward, "--out", out, "--fresh"], cwd=tmp_path, check=True)
    table, file = pq.read_table(awkward), pq.ParquetFile(out)
    first = 0
    for g in range(file.num_row_groups):
        group = file.metadata.row_group(g)
        rows = table.slice(first, group.num_rows)
        first += group.num_rows
        for c, name in enumerate(table.column_names):
            statistics = group.column(c).statistics
            assert statistics is not None and statistics.null_count == rows[name].null_count
            if name in ("id", "day", "flag"):
                assert {"min": statistics.min, "max": statistics.max} == pc.min_max(rows[name]).as_py()
    assert first == N
