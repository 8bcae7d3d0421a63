"""Arrow IPC in and out: what pyarrow and polars write is read, and what is written they read back equal."""

import subprocess

import polars
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

import tables
from polysome_service import PROGRAM, running

NASTY = ["plain", "", None, 'a "quoted", one', "two\nlines", "tab\there", "ünïcode 基因 🧬", "NA", " padded "]


def nasty_table():
    """Every type that has a name of its own, with the values that do not survive careless writers."""
    return pa.table(
        {
            "name": pa.array(NASTY, pa.string()),
            "whole": pa.array([0, -1, 2**53 + 1, -(2**63), 2**63 - 1, None, 7, 8, 9], pa.int64()),
            "real": pa.array([0.1, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf"), None, 1 / 3, -0.5, 2.0]),
            "flag": pa.array([True, False, None] * 3),
            "day": pa.array([0, -719162, 2932896, None, 1, 2, 3, 4, 5], pa.int32()).cast(pa.date32()),
            "moment": pa.array([0, 1, -1, 1234567890123456, None, 2, 3, 4, 5], pa.timestamp("us")),
            'odd "name",\n基因': pa.array(list(range(9)), pa.int64()),
        }
    )


def write_stream(table, path, **options):
    with pa.ipc.new_stream(path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as out:
        out.write_table(table, max_chunksize=4)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with running(tmp_path_factory.mktemp("arrow"), 1, 2) as service:
        yield service


def download(service, job, format_):
    answer = service.request("GET", f"jobs/{job['job_id']}/result?format={format_}")
    assert answer.status_code == 200, answer.text
    return answer


def test_files_and_streams_of_every_writer_are_read(service):
    table = nasty_table()
    feather = service.data / "feather.feather"
    pyarrow.feather.write_feather(table, feather, compression="lz4", chunksize=3)
    write_stream(table, service.data / "stream.arrows", compression="zstd")
    polars.from_arrow(table).write_ipc(service.data / "polars.ipc", compression="zstd")
    encoded = table.set_column(0, "name", table["name"].dictionary_encode())
    pyarrow.feather.write_feather(encoded, service.data / "encoded.arrow", compression="uncompressed", chunksize=4)
    for name in ("feather", "stream", "polars", "encoded"):
        job = service.run("convert", name, {"format": "arrow"}, partition_size="200B")
        answer = download(service, job, "arrow")
        assert answer.headers["Content-Type"].startswith("application/vnd.apache.arrow.file"), answer.headers
        found = pa.ipc.open_file(answer.content).read_all()
        assert found.column_names == table.column_names, name
        for column in table.column_names:
            assert found[column].to_pylist() == table[column].to_pylist(), (name, column)


def test_an_arrow_dataset_aggregates_as_the_same_table_in_parquet(service):
    table = tables.expression_table()
    tables.write(table, service.data / "pq.parquet")
    pyarrow.feather.write_feather(table, service.data / "ipc.arrow", chunksize=len(table) // 20)
    asked = {"column": "expression", "group_by": "gene", "operation": ["mean", "std", "count", "median"]}
    wanted = download(service, service.run("aggregate", "pq", asked), "csv").content
    for size in ("10MB", "10kB"):
        job = service.run("aggregate", "ipc", asked, partition_size=size)
        assert download(service, job, "csv").content == wanted


@pytest.mark.parametrize("format_", ["arrow", "parquet"])
def test_what_is_written_reads_back_with_its_types(tmp_path, format_):
    table = nasty_table()
    pyarrow.feather.write_feather(table, tmp_path / "in.feather")
    out = tmp_path / f"out.{format_}"
    done = subprocess.run(
        [PROGRAM, "run", "convert", tmp_path / "in.feather", "--out", out, "--workers", "1", "--fresh"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr
    found = pa.ipc.open_file(out).read_all() if format_ == "arrow" else pa.parquet.read_table(out)
    assert found.schema.types == table.schema.types
    assert found.to_pylist() == table.to_pylist()


def test_gzip_of_arrow_is_refused_with_the_way_out(tmp_path):
    pyarrow.feather.write_feather(nasty_table(), tmp_path / "in.feather")
    done = subprocess.run(
        [PROGRAM, "run", "convert", tmp_path / "in.feather", "format=arrow", "compression=gzip", "--out", "x.arrow"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )
    assert done.returncode != 0
    assert "zstd" in done.stderr and not (tmp_path / "x.arrow").exists()
