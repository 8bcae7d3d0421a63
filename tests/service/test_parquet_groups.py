"""Groups of Parquet as other programs write it: every encoding, pages of several encodings in one column,
files without missing values. The rows are those that SQL gives (`where` is only done in SQL), bit for bit."""

import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import measures
from polysome_service import Service, running

ROWS = 30_000


def table():
    rng = np.random.default_rng(11)
    gene = pa.array([f"GENE{i:05d}" for i in rng.integers(0, 3000, ROWS)])
    return pa.table(
        {
            "gene": gene,
            "site": pa.array([None if i % 7 == 0 else f"site {i % 5}" for i in range(ROWS)]),
            "batch": pa.array(rng.integers(-3, 4, ROWS)),
            "probe": pa.array([None if i % 9 == 0 else int(i) * 7919 % 4001 for i in range(ROWS)], pa.int32()),
            "x": pa.array(
                [None if i % 13 == 0 else v for i, v in enumerate(rng.normal(0, 1, ROWS) * 10.0 ** rng.integers(-9, 9, ROWS))]
            ),
            "y": pa.array(rng.random(ROWS).astype(np.float32)),
            "count": pa.array([None if i % 4 == 0 else int(v) for i, v in enumerate(rng.integers(0, 900, ROWS))]),
        }
    )


WRITERS = {
    # The dictionary of a column is given up where it grows too large: its later pages are plain.
    "given_up": {"dictionary_pagesize_limit": 9000, "data_page_size": 4096, "compression": "zstd"},
    "small_pages": {"data_page_size": 700, "data_page_version": "2.0", "compression": "snappy"},
    "no_dictionary": {"use_dictionary": False, "compression": "gzip"},
    "deltas": {
        "use_dictionary": False,
        "column_encoding": {
            "gene": "DELTA_BYTE_ARRAY",
            "site": "DELTA_LENGTH_BYTE_ARRAY",
            "batch": "DELTA_BINARY_PACKED",
            "probe": "DELTA_BINARY_PACKED",
            "x": "BYTE_STREAM_SPLIT",
            "y": "BYTE_STREAM_SPLIT",
        },
        "data_page_version": "2.0",
    },
    "old": {"version": "1.0", "compression": "none"},
}
KEYS = ["gene", "batch", ["site", "batch"], ["gene", "site"], ["probe", "site"], "probe"]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with running(tmp_path_factory.mktemp("parquet_groups"), 2, 1) as service:
        whole = table()
        for name, options in WRITERS.items():
            pq.write_table(whole, service.data / f"{name}.parquet", row_group_size=12_000, **options)
        polars.from_arrow(whole).write_parquet(service.data / "polars.parquet", row_group_size=7000)
        required = pa.schema([pa.field(n, whole.schema.field(n).type, nullable=False) for n in ("gene", "batch", "y")])
        pq.write_table(
            whole.select(["gene", "batch", "y"]).cast(required), service.data / "required.parquet", row_group_size=9000
        )
        yield service


def rows(service, name, asked, **more):
    job = service.run("aggregate", name, asked, **more)
    answer = service.request("GET", f"jobs/{job['job_id']}/result?format=csv")
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_files_are_what_they_are_meant_to_be(service):
    chunk = pq.ParquetFile(service.data / "given_up.parquet").metadata.row_group(0).column(0)
    assert chunk.has_dictionary_page and {"PLAIN", "RLE_DICTIONARY"} <= set(chunk.encodings)
    assert pq.ParquetFile(service.data / "required.parquet").schema.column(0).max_definition_level == 0
    assert "DELTA_BYTE_ARRAY" in pq.ParquetFile(service.data / "deltas.parquet").metadata.row_group(0).column(0).encodings


@pytest.mark.parametrize("name", [*WRITERS, "polars", "required"])
def test_every_writer_and_encoding_gives_what_sql_gives(service, name):
    columns = ["y"] if name == "required" else ["x", "y", "count"]
    for keys in ["gene", ["gene", "batch"]] if name == "required" else KEYS:
        asked = {
            "columns": [c for c in columns if c not in keys],
            "operation": ["mean", "std", "sum", "min", "max", "count", "missing"],
            "group_by": keys,
        }
        wanted = rows(service, name, {**asked, "where": "true"})
        assert wanted.count("\n") > 5
        for size in ("100MB", "100kB"):
            assert rows(service, name, asked, partition_size=size) == wanted, (name, keys, size)


def test_means_are_those_of_pandas(service):
    frame = table().to_pandas()
    wanted = frame.groupby("gene")["x"].agg(["mean", "count"])
    found = polars.read_csv(
        rows(service, "given_up", {"column": "x", "operation": ["mean", "count"], "group_by": "gene"}).encode()
    )
    assert found["gene"].to_list() == list(wanted.index)
    assert found["x_count"].to_list() == list(wanted["count"])
    np.testing.assert_allclose(
        found["x_mean"].cast(polars.Float64).to_numpy().astype(float), wanted["mean"].to_numpy(), rtol=1e-9, atol=1e-4
    )


def test_many_groups_of_large_row_groups_on_small_grants(tmp_path):
    """More states than a grant of 64 MB holds, and pages of row groups of many rows beside them."""
    grant, n, groups = 64_000_000, 1_500_000, 75_000
    rng = np.random.default_rng(3)
    key = rng.integers(0, groups, n)
    x = rng.integers(0, 1000, n)
    service = Service(tmp_path).start()
    try:
        service.start_cluster(1, 1, memory="64MB")
        pq.write_table(
            pa.table({"key": pa.array(key).cast(pa.string()), "x": pa.array(x.astype(float))}),
            service.data / "many.parquet",
            row_group_size=750_000,
        )
        slots = service.slots(service.get("cluster/status")["workers"][0]["pid"])
        before = {slot: measures.memory(slot)["RssAnon"] for slot in slots}
        with measures.Watch(slots, every=0.05) as watch:
            status = service.run(
                "aggregate",
                "many",
                {"column": "x", "operation": ["sum", "count"], "group_by": "key"},
                output={"path": "many_out.parquet"},
            )
        assert [a for a in status["attempts"] if a["task"].startswith("scan")] == []
        for slot in slots:
            used = watch.most[slot]["RssAnon"] - before[slot]
            assert used <= grant, f"slot {slot} took {used / 1e6:.0f} MB"
        found = pq.read_table(status["result"]["tables"][0]["files"][0]["path"]).to_pandas()
    finally:
        service.stop()
    counts = np.bincount(key, minlength=groups)
    sums = np.bincount(key, weights=x, minlength=groups)
    place = found["key"].astype(int).to_numpy()
    assert sorted(place) == list(np.flatnonzero(counts))
    assert np.array_equal(found["x_count"], counts[place])
    assert np.array_equal(found["x_sum"], sums[place])
