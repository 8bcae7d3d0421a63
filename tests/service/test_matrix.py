"""Matrices: labels, orientation, GCT, and where what is told of them comes from."""

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from polysome_service import Service, running
from references import same


@pytest.fixture(scope="module")
def real_service(tmp_path_factory, real_data):
    with running(tmp_path_factory.mktemp("matrix"), 2, 1, data_dirs=[real_data]) as service:
        yield service


def test_a_gct_says_itself_how_it_lies(real_service, real_data):
    path = real_data / "leukemia-gct" / "leukemia_hgu95av2.gct"
    table = pd.read_csv(path, sep="\t", skiprows=2)
    record = real_service.post("data/load", {"dataset_id": "leukemia", "source": str(path)})
    assert record["format"] == "gct" and record["n_rows"] == len(table) == 12_564
    layout = real_service.get("data/datasets/leukemia")["layout"]
    told = {k: layout[k]["value"] for k in ("kind", "orientation", "label_columns")}
    assert told == {
        "kind": "matrix",
        "orientation": "features_as_rows",
        "label_columns": ["NAME", "Description"],
    }
    assert {layout[k]["from"] for k in (*told, "delimiter")} == {"format"}
    samples = list(table.columns[2:])
    for size in (100_000_000, 300_000):
        job = real_service.run(
            "aggregate", "leukemia", {"columns": samples, "operation": "mean"}, partition_size=size
        )
        for row in real_service.rows(job["job_id"]):
            same(row["mean"], float(table[row["column"]].mean()), f"{row['column']}, partitions of {size}")


def test_what_the_format_told_outlives_it(real_service, real_data):
    path = real_data / "leukemia-gct" / "leukemia_hgu95av2.gct"
    record = real_service.post(
        "data/load", {"dataset_id": "leukemia_fast", "source": str(path), "materialize": True}
    )
    real_service.complete(record["job_id"])
    shown = real_service.get("data/datasets/leukemia_fast")
    assert shown["format"] == "parquet"
    assert shown["layout"]["orientation"] == {"value": "features_as_rows", "from": "declared"}
    assert shown["layout"]["label_columns"]["value"] == ["NAME", "Description"]


def test_each_key_of_a_layout_says_where_it_is_from(service):
    (service.data / "merged.tsv").write_text(
        "gene_id\tgene_name\tS1\tS2\nENSG1\tTP53\t1.5\t2\nENSG2\tNA\t3\t4\n"
    )
    layout = service.get("data/datasets/merged")["layout"]
    assert layout["label_columns"] == {"value": ["gene_id", "gene_name"], "from": "guessed"}
    assert layout["delimiter"] == {"value": "\t", "from": "guessed"}
    assert layout["orientation"] == {"value": None, "from": None}, "never guessed"
    service.post(
        "data/load",
        {
            "dataset_id": "counts",
            "source": "merged.tsv",
            "layout": {"orientation": "features_as_rows", "label_columns": ["gene_name"], "scale": "raw"},
        },
    )
    layout = service.get("data/datasets/counts")["layout"]
    for key, value in (
        ("orientation", "features_as_rows"),
        ("label_columns", ["gene_name"]),
        ("scale", "raw"),
    ):
        assert layout[key] == {"value": value, "from": "declared"}
    assert layout["header"] == {"value": True, "from": "guessed"}


def turned(service, dataset, orientation, path, **more):
    """convert's answer as it was delivered, with the job's result."""
    job = service.run(
        "convert", dataset, {"orientation": orientation}, output={"path": path, "if_exists": "replace"}, **more
    )
    return job["result"]["output"][0]["path"], job["result"]


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv.gz", "ndjson"])
def test_a_turned_matrix_equals_that_of_pandas(real_service, real_data, ending):
    path = real_data / "leukemia-gct" / "leukemia_hgu95av2.gct"
    expected = pd.read_csv(path, sep="\t", skiprows=2).drop(columns="Description").set_index("NAME").T
    for size in (100_000_000, 700_000):
        out, result = turned(real_service, str(path), "samples_as_rows", f"turned.{ending}", partition_size=size)
        if ending == "parquet":
            # Another library reads it too.
            found = pq.read_table(out).to_pandas()
        elif ending == "ndjson":
            with open(out, encoding="utf-8") as lines:
                found = pd.DataFrame([json.loads(line) for line in lines])
        else:
            found = pd.read_csv(out, sep="\t" if "tsv" in ending else ",")
        assert list(found.columns) == ["sample", *expected.columns]
        assert list(found["sample"]) == list(expected.index)
        assert (found.set_index("sample").to_numpy(float) == expected.to_numpy(float)).all()
        assert (result["rows"], result["columns"]) == (48, 12_565)
        assert [w["code"] for w in result["warnings"]] == ["label_left_out"]


def test_samples_as_rows_become_features_as_rows_and_come_back(real_service, real_data):
    path = real_data / "liver-toxicity" / "gene.tsv"
    job = real_service.run(
        "convert",
        str(path),
        {"orientation": "features_as_rows", "format": "parquet"},
        layout={"orientation": "samples_as_rows"},
    )
    table = pd.read_csv(path, sep="\t", index_col=0)
    found = pq.read_table(job["result"]["output"][0]["path"]).to_pandas().set_index("feature")
    assert list(found.columns) == [str(name) for name in table.index]
    assert (found.T.to_numpy() == table.to_numpy()).all()
    back = real_service.run(
        "convert",
        f"job:{job['job_id']}",
        {"orientation": "samples_as_rows", "format": "csv"},
        layout={"orientation": "features_as_rows"},
    )
    again = pd.read_csv(back["result"]["output"][0]["path"], index_col=0)
    assert (again.to_numpy() == table.to_numpy()).all() and list(again.columns) == list(table.columns)


def test_which_way_a_text_lies_is_asked_never_guessed(real_service, real_data):
    path = real_data / "breast-tcga" / "mrna.tsv"
    job = real_service.submit("convert", str(path), {"orientation": "features_as_rows", "format": "csv"})
    status = real_service.wait(job)
    assert status["status"] == "failed" and status["error"]["class"] == "user"
    assert "220 rows and 200 numeric columns. Say which way it lies" in status["error_message"]


def test_thousands_of_columns_are_described_on_a_small_grant(tmp_path, real_data):
    path = real_data / "liver-toxicity" / "gene.tsv"
    service = Service(tmp_path, data_dirs=[real_data])
    service.start()
    try:
        service.start_cluster(1, 1, memory="100MB")
        job = service.run("describe", str(path))
        rows = {row["column"]: row for row in service.rows(job["job_id"])}
    finally:
        service.stop()
    table = pd.read_csv(path, sep="\t")
    assert len(rows) == len(table.columns) == 3117
    for name in list(table.columns[1::97]):
        column = table[name]
        for key, value in (
            ("mean", column.mean()),
            ("std", column.std()),
            ("median", column.median()),
            ("quantile_0.25", column.quantile(0.25)),
            ("distinct", column.nunique()),
        ):
            same(rows[name][key], float(value), f"{name}.{key}")
