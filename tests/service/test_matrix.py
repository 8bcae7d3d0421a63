"""Matrices: labels, orientation, GCT, and where what is told of them comes from."""

import pandas as pd
import pytest

from polysome_service import Service
from references import same


@pytest.fixture(scope="module")
def real_service(tmp_path_factory, real_data):
    service = Service(tmp_path_factory.mktemp("matrix"), data_dirs=[real_data])
    service.start()
    try:
        service.start_cluster(2, 1)
        yield service
    finally:
        service.stop()


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
