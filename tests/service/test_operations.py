"""Every table operation equals pandas and numpy on the same data, however it is stored, cut and spread."""

import gzip
import io
import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tables
from polysome_service import Service
from references import QUANTILES, STATISTICS, check_columns, same

SPLITTABLE = ["csv", "tsv", "ndjson", "parquet"]
WHOLE = ["json", "csv.gz", "tsv.zst", "ndjson.gz", "json.zst", "csv.zst"]
CUTS = [1, 2, 7, 50]
# The order-independent sums: the same bits whatever the storage, the cuts and the workers.
ADDITIVE = ["sum", "mean", "var", "std"]
TABLE = tables.expression_table()


@pytest.fixture(scope="module")
def one_service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("operations")
    service = Service(folder)
    service.start()
    try:
        for kind in (*SPLITTABLE, *WHOLE):
            name = kind.replace(".", "_")
            tables.write(TABLE, service.data / f"long_{name}.{kind}")
        service.start_cluster(1, 2)
        yield service
    finally:
        service.stop()


@pytest.fixture(scope="module", params=[1, 3], ids=["1worker", "3workers"])
def service(one_service, request):
    one_service.post("cluster/scale?wait=60", {"n_workers": request.param})
    return one_service


def dataset(kind):
    return "long_" + kind.replace(".", "_")


def partition_size(service, kind, cuts):
    """Bytes a partition so that there are about `cuts` of them; inside compression: by the plain text."""
    path = service.data / f"{dataset(kind)}.{kind}"
    size = path.stat().st_size
    if kind.endswith((".gz", ".zst")):
        size = len(tables.csv_text(TABLE))
    return max(1, math.ceil(size / cuts))


def scan_tasks(status):
    return max(s["tasks_total"] for s in status["stages"])


bits = {}


def same_bits(key, rows):
    """Additive statistics of all runs of one question must be one value, bit for bit."""
    found = {(r.get("column"), name): r[name] for r in rows for name in ADDITIVE}
    first = bits.setdefault(key, found)
    assert found == first


def aggregate_all(service, kind, cuts):
    columns = ["expression", "count", "batch"]
    status = service.run(
        "aggregate",
        dataset(kind),
        {"columns": columns, "operation": STATISTICS, "q": QUANTILES},
        partition_size=partition_size(service, kind, cuts),
    )
    rows = service.rows(status["job_id"])
    check_columns(rows, TABLE, columns)
    same_bits("aggregate", rows)
    return status


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("kind", SPLITTABLE)
def test_aggregate_equals_pandas_in_any_cut(service, kind, cuts):
    status = aggregate_all(service, kind, cuts)
    if kind == "parquet":  # row groups are never cut
        assert scan_tasks(status) > 1 or cuts == 1
    else:
        assert cuts <= scan_tasks(status) <= cuts + 1


@pytest.mark.parametrize("kind", WHOLE)
def test_aggregate_equals_pandas_after_unpacking(service, kind):
    aggregate_all(service, kind, 7)


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_groups_equal_pandas_and_come_in_order(service, kind, cuts):
    keys = ["condition", "batch"]
    status = service.run(
        "aggregate",
        dataset(kind),
        {
            "columns": ["expression", "count"],
            "operation": ["count", "sum", "mean", "std", "median", "max", "count_distinct"],
            "group_by": keys,
        },
        partition_size=partition_size(service, kind, cuts),
    )
    rows = service.rows(status["job_id"])
    grouped = TABLE.groupby(keys, dropna=False, sort=True)
    expected_keys = [tuple(None if pd.isna(k) else k for k in key) for key in grouped.groups]
    assert [tuple(r[k] for k in keys) for r in rows] == sorted(expected_keys, key=lambda k: (k[0] is None, k))
    for row in rows:
        group = TABLE[
            (
                TABLE["condition"].isna()
                if row["condition"] is None
                else TABLE["condition"] == row["condition"]
            )
            & (TABLE["batch"] == row["batch"])
        ]
        for column in ("expression", "count"):
            values = group[column].dropna().to_numpy(dtype=float)
            expected = {
                "count": len(values),
                "sum": math.fsum(values),
                "mean": values.mean(),
                "std": values.std(ddof=1),
                "median": np.median(values),
                "max": values.max(),
                "count_distinct": len(np.unique(values)),
            }
            for name, value in expected.items():
                same(row[f"{column}_{name}"], float(value), f"{row} {column}_{name}")
    found = [(r["expression_sum"], r["expression_mean"], r["expression_std"]) for r in rows]
    assert bits.setdefault("groups", found) == found


@pytest.mark.parametrize("cuts", [1, 7])
def test_many_groups_of_text(service, cuts):
    status = service.run(
        "aggregate",
        "long_csv",
        {
            "column": "expression",
            "operation": ["mean", "quantile"],
            "q": 0.75,
            "group_by": ["sample", "gene"],
        },
        partition_size=partition_size(service, "csv", cuts),
    )
    rows = service.rows(status["job_id"])
    grouped = TABLE.groupby(["sample", "gene"])["expression"]
    means, quantiles = grouped.mean(), grouped.quantile(0.75)
    assert [(r["sample"], r["gene"]) for r in rows] == list(means.index)
    for row in rows:
        key = (row["sample"], row["gene"])
        same(row["expression_mean"], float(means[key]), f"mean of {key}")
        same(row["expression_quantile_0.75"], float(quantiles[key]), f"quantile of {key}")


@pytest.mark.parametrize("cuts", [1, 7])
def test_where_keeps_only_rows_for_which_it_is_true(service, cuts):
    status = service.run(
        "aggregate",
        "long_csv",
        {
            "column": "expression",
            "operation": ["count", "sum"],
            "where": "batch = 2 AND condition = 'control'",
        },
        partition_size=partition_size(service, "csv", cuts),
    )
    chosen = TABLE[(TABLE["batch"] == 2) & (TABLE["condition"] == "control")]["expression"].dropna()
    row = service.rows(status["job_id"])[0]
    same(row["count"], len(chosen), "count")
    same(row["sum"], math.fsum(chosen), "sum")


@pytest.mark.parametrize("kind,cuts", [("csv", 1), ("csv", 50), ("parquet", 7), ("json.zst", 2)])
def test_describe_equals_pandas(service, kind, cuts):
    status = service.run("describe", dataset(kind), {}, partition_size=partition_size(service, kind, cuts))
    rows = {r["column"]: r for r in service.rows(status["job_id"])}
    assert list(rows) == list(TABLE.columns)
    for name, row in rows.items():
        values = TABLE[name]
        same(row["count"], int(values.count()), f"{name}.count")
        same(row["missing"], int(values.isna().sum()), f"{name}.missing")
        same(row["distinct"], int(values.nunique()), f"{name}.distinct")
        if pd.api.types.is_numeric_dtype(values):
            expected = values.describe()
            for ours, theirs in {
                "mean": "mean",
                "std": "std",
                "quantile_0.25": "25%",
                "median": "50%",
                "quantile_0.75": "75%",
            }.items():
                same(row[ours], float(expected[theirs]), f"{name}.{ours}")
            for bound in ("min", "max"):
                same(float(row[bound]), float(expected[bound]), f"{name}.{bound}")


@pytest.mark.parametrize("cuts", CUTS)
def test_filter_keeps_the_order(service, cuts):
    status = service.run(
        "filter",
        "long_csv",
        {"where": "expression > 0.5 AND gene <> 'GENE7'", "columns": ["sample", "expression"]},
        partition_size=partition_size(service, "csv", cuts),
    )
    chosen = TABLE[(TABLE["expression"] > 0.5) & (TABLE["gene"] != "GENE7")]
    assert service.rows(status["job_id"]) == [
        {"sample": s, "expression": e} for s, e in zip(chosen["sample"], chosen["expression"])
    ]

    first = service.run(
        "filter",
        "long_csv",
        {"where": "batch = 1", "limit": 17, "columns": "count"},
        partition_size=partition_size(service, "csv", cuts),
    )
    assert [r["count"] for r in service.rows(first["job_id"])] == list(
        TABLE[TABLE["batch"] == 1]["count"][:17]
    )


@pytest.mark.parametrize("cuts", CUTS)
def test_sql_equals_pandas(service, cuts):
    query = 'SELECT gene, count(*) AS n, sum("count") AS total, min(expression) AS low FROM {table} WHERE batch < 3 GROUP BY gene ORDER BY gene'
    status = service.run(
        "sql", "long_csv", {"query": query}, partition_size=partition_size(service, "csv", cuts)
    )
    chosen = TABLE[TABLE["batch"] < 3].groupby("gene")
    rows = service.rows(status["job_id"])
    assert [r["gene"] for r in rows] == sorted(chosen.groups)
    for row in rows:
        group = chosen.get_group(row["gene"])
        assert row["n"] == len(group)
        assert float(row["total"]) == group["count"].sum()
        same(row["low"], float(group["expression"].min()), f"{row['gene']}.low")


def test_sql_joins_datasets_by_name(service):
    pd.DataFrame({"batch": [1, 2, 3], "centre": ["Basel", "Lund", "Kyoto"]}).to_csv(
        service.data / "centres.csv", index=False
    )
    query = "SELECT centre, count(*) AS n FROM long_csv JOIN centres USING (batch) GROUP BY centre ORDER BY centre"
    rows = service.rows(service.run("sql", ["long_csv", "centres"], {"query": query})["job_id"])
    named = TABLE["batch"].map({1: "Basel", 2: "Lund", 3: "Kyoto"}).value_counts()
    assert [(r["centre"], r["n"]) for r in rows] == [(c, named[c]) for c in sorted(named.index)]


def same_rows(rows, expected):
    assert len(rows) == len(expected)
    for name in expected.columns:
        for i, value in enumerate(expected[name].tolist()):
            same(rows[i][name], value, f"row {i}, {name}")


@pytest.mark.parametrize("cuts", [1, 7, 50])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_sort_equals_pandas(service, kind, cuts):
    by = {"gene": True, "expression": False, "condition": True}
    done = service.run(
        "sort",
        dataset(kind),
        {"by": [name if up else "-" + name for name, up in by.items()]},
        partition_size=partition_size(service, kind, cuts),
    )
    expected = TABLE.sort_values(
        list(by), ascending=list(by.values()), kind="stable", na_position="last"
    ).reset_index(drop=True)
    same_rows(service.rows(done["job_id"]), expected)


@pytest.mark.parametrize("cuts", [1, 7])
@pytest.mark.parametrize("how", ["inner", "left", "outer"])
def test_join_equals_pandas(one_service, how, cuts):
    samples = sorted(TABLE["sample"].dropna().unique())
    sheet = pd.DataFrame(
        {
            "sample_id": [*samples[::2], samples[0], "nowhere"],
            "age": range(len(samples[::2]) + 2),
            "gene": "of the sheet",
        }
    )
    sheet.to_csv(one_service.data / "sheet.csv", index=False)
    done = one_service.run(
        "join",
        ["long_csv", "sheet"],
        {"on": "sample", "right_on": "sample_id", "how": how},
        partition_size=partition_size(one_service, "csv", cuts),
    )
    # pandas' outer joins are in the order of keys: rows without a match come after the left ones here.
    keyed = sheet.rename(columns={"sample_id": "sample"})
    expected = TABLE.merge(keyed, on="sample", how="left" if how == "outer" else how)
    if how == "outer":
        missing = keyed[~keyed["sample"].isin(TABLE["sample"])].rename(columns={"gene": "gene_y"})
        expected = pd.concat([expected, missing], ignore_index=True)
    same_rows(one_service.rows(done["job_id"]), expected)


def read_back(path, kind):
    compression = "gzip" if kind.endswith(".gz") else "zstd" if kind.endswith(".zst") else None
    data = path.read_bytes()
    if compression == "gzip":
        data = gzip.decompress(data)
    elif compression == "zstd":
        data = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    kind = kind.split(".")[0]
    if kind == "parquet":
        return pq.read_table(path).to_pandas()
    text = data.decode()
    if kind in ("csv", "tsv"):
        return pd.read_csv(io.StringIO(text), sep="," if kind == "csv" else "\t")
    rows = [json.loads(line) for line in text.splitlines()] if kind == "ndjson" else json.loads(text)
    return pd.DataFrame(rows, columns=TABLE.columns)


@pytest.mark.parametrize("target", ["csv", "tsv", "ndjson", "json", "parquet", "csv.gz", "ndjson.zst"])
@pytest.mark.parametrize("source,cuts", [("csv", 7), ("parquet", 7), ("json", 1)])
def test_convert_keeps_every_value(service, source, cuts, target):
    place = f"converted/{source}_{cuts}.{target}"
    status = service.run(
        "convert",
        dataset(source),
        {"format": target.split(".")[0]},
        partition_size=partition_size(service, source, cuts),
        output={"path": place, "if_exists": "replace"},
    )
    path = service.state / "results" / place
    assert status["result"]["rows"] == len(TABLE)
    back = read_back(path, target)
    assert list(back.columns) == list(TABLE.columns) and len(back) == len(TABLE)
    for name in TABLE.columns:
        mine, theirs = back[name], TABLE[name]
        assert (mine.isna() == theirs.isna()).all(), name
        assert (mine.dropna().to_numpy() == theirs.dropna().to_numpy()).all(), f"{name}: not the same values"


def test_result_downloads_hold_the_whole_table(one_service):
    job = one_service.run("filter", "long_csv", {"where": "batch = 3"})["job_id"]
    chosen = TABLE[TABLE["batch"] == 3]
    for kind in ("csv", "tsv", "ndjson", "parquet"):
        answer = one_service.request("GET", f"jobs/{job}/result", params={"format": kind})
        assert answer.status_code == 200 and f".{kind}" in answer.headers["content-disposition"]
        if kind == "parquet":
            found = pq.read_table(io.BytesIO(answer.content)).to_pandas()
        elif kind == "ndjson":
            found = pd.DataFrame([json.loads(line) for line in answer.text.splitlines()])
        else:
            found = pd.read_csv(io.StringIO(answer.text), sep="," if kind == "csv" else "\t")
        np.testing.assert_array_equal(
            found["expression"].to_numpy(dtype=float), chosen["expression"].to_numpy()
        )
    few = one_service.get(f"jobs/{job}/result", params={"limit": 5, "columns": "gene,expression"})
    assert (
        len(few["rows"]) == 5
        and [c["name"] for c in few["columns"]] == ["gene", "expression"]
        and few["n_rows"] == len(chosen)
    )


def test_a_job_reads_the_result_of_another(one_service):
    job = one_service.run("filter", "long_csv", {"where": "batch = 3"})["job_id"]
    status = one_service.run("aggregate", f"job:{job}", {"column": "expression", "operation": "sum"})
    same(status["result"]["value"], math.fsum(TABLE[TABLE["batch"] == 3]["expression"].dropna()), "sum")


@pytest.mark.parametrize("how", ["folder", "glob"])
@pytest.mark.parametrize("kind", ["csv", "parquet", "ndjson.gz"])
def test_folders_and_globs_are_one_dataset(service, kind, how):
    folder = service.data / f"parts_{kind.replace('.', '_')}"
    if not folder.exists():
        folder.mkdir()
        for i, part in enumerate(np.array_split(np.arange(len(TABLE)), 4)):
            tables.write(TABLE.iloc[part], folder / f"part_{i}.{kind}")
        (folder / ".hidden").write_text("not data")
    name = folder.name if how == "folder" else f"{folder.name}/part_*.{kind}"
    status = service.run(
        "aggregate",
        name,
        {"columns": ["expression", "count", "batch"], "operation": STATISTICS, "q": QUANTILES},
        partition_size="20kB",
    )
    rows = service.rows(status["job_id"])
    check_columns(rows, TABLE, ["expression", "count", "batch"])
    same_bits("aggregate", rows)


@pytest.mark.parametrize("cuts", CUTS)
def test_quoted_newlines_at_partition_borders(service, cuts):
    rng = np.random.default_rng(3)
    notes = np.array(
        ["plain", "two\nlines", 'a "quote"', '"', ",", '"\n"', 'x,"\n,"y', "\n\n\n", "it's", '5" of rain']
    )
    table = pd.DataFrame(
        {"note": rng.choice(notes, 3000), "value": rng.normal(size=3000), "id": np.arange(3000)}
    )
    path = service.data / "quotes.csv"
    if not path.exists():
        table.to_csv(path, index=False, lineterminator="\n")
    status = service.run(
        "aggregate",
        "quotes",
        {"columns": ["value", "id"], "operation": ["count", "sum"]},
        partition_size=math.ceil(path.stat().st_size / cuts),
    )
    rows = service.rows(status["job_id"])
    assert [r["count"] for r in rows] == [3000, 3000]
    same(rows[0]["sum"], math.fsum(table["value"]), "sum")
    assert rows[1]["sum"] == 3000 * 2999 // 2
    by_note = service.rows(
        service.run(
            "aggregate",
            "quotes",
            {"column": "id", "operation": ["count", "sum"], "group_by": "note"},
            partition_size=math.ceil(path.stat().st_size / cuts),
        )["job_id"]
    )
    expected = table.groupby("note")["id"].agg(["count", "sum"])
    assert {r["note"]: (r["id_count"], r["id_sum"]) for r in by_note} == {
        n: (c, s) for n, c, s in expected.itertuples()
    }
