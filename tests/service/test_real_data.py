"""Tables as they are met outside: words for missing, values that are wrong, and public data sets, read
in place and compared with pandas."""

import math

import pandas as pd
import pytest

from polysome_service import LONG, running
from references import QUANTILES, STATISTICS, check_columns, same


def test_words_for_missing(shared_service):
    words = ["", "NA", "NaN", "nan", "null", "NULL", ".", "-", "n/a", "#N/A", "None", "#DIV/0!", "#VALUE!"]
    lines = ["gene,value"] + [f"g{i},{w}" for i, w in enumerate(words)] + ["NA,1.5", "nan,2.5", ",4"]
    (shared_service.data / "missing.csv").write_text("\n".join(lines) + "\n")
    row = shared_service.rows(
        shared_service.run(
            "aggregate", "missing", {"column": "value", "operation": ["count", "missing", "sum"]}
        )["job_id"]
    )[0]
    assert (row["count"], row["missing"], row["sum"]) == (3, len(words), 8.0)
    genes = shared_service.rows(
        shared_service.run("aggregate", "missing", {"column": "gene", "operation": ["count", "missing"]})[
            "job_id"
        ]
    )[0]
    assert (genes["count"], genes["missing"]) == (len(words) + 2, 1), "a gene may be called NA"


def test_a_bad_value_names_its_place(shared_service):
    lines = ["gene,value"] + [f"g{i},{i}" for i in range(20_000)]
    lines[15_000] = "g_bad,1.2.3"
    (shared_service.data / "bad.csv").write_text("\n".join(lines) + "\n")
    body = {"column": "value", "operation": "sum"}
    layout = {"layout": {"types": {"value": "double"}}}
    status = shared_service.wait(
        shared_service.submit("aggregate", "bad", body, partition_size="20kB", **layout)
    )
    assert status["status"] == "failed" and status["error"]["class"] == "user"
    place = status["error"]["errors"][0]
    assert place["file"].endswith("bad.csv") and place["line"] == 15_001
    assert place["column"] == "value" and place["value"] == "1.2.3"
    counted = shared_service.run(
        "aggregate", "bad", body, partition_size="20kB", on_bad_value="null", **layout
    )
    assert counted["result"]["value"] == sum(range(20_000)) - 14_999
    assert any(w["count"] == 1 for w in counted["warnings"] + counted["result"]["warnings"])


def test_empty_and_constant_columns(shared_service):
    pd.DataFrame({"nothing": [None] * 5, "same": [2.5] * 5, "one": [1.0, None, None, None, None]}).to_csv(
        shared_service.data / "corner.csv", index=False
    )
    layout = {"layout": {"types": {"nothing": "double", "one": "double"}}}
    status = shared_service.run(
        "aggregate",
        "corner",
        {"columns": ["nothing", "same", "one"], "operation": STATISTICS, "q": QUANTILES},
        **layout,
    )
    check_columns(
        shared_service.rows(status["job_id"]),
        pd.read_csv(shared_service.data / "corner.csv"),
        ["nothing", "same", "one"],
    )


@pytest.fixture(scope="module")
def real_service(tmp_path_factory, real_data):
    with running(tmp_path_factory.mktemp("real"), 2, 2, data_dirs=[real_data]) as service:
        yield service


@pytest.mark.parametrize(
    "name",
    [
        "breast-tcga/mrna.tsv",
        "breast-tcga/protein.tsv",
        "nutrimouse/lipid.tsv",
        "liver-toxicity/clinic.tsv",
        "liver-toxicity/gene.tsv",
        "vcf-1000g/covariates.csv.gz",
    ],
)
def test_real_tables_equal_pandas_in_any_cut(real_service, real_data, name):
    path = real_data / name
    table = pd.read_csv(path, sep="\t" if ".tsv" in name else ",")
    numeric = [c for c in table.columns if pd.api.types.is_numeric_dtype(table[c])]
    statistics = ["count", "sum", "mean", "std", "min", "max", "median"]
    expected = {c: {s: float(getattr(table[c], s)()) for s in statistics} for c in numeric}
    additive = set()
    for workers in (1, 3):
        real_service.post("cluster/scale?wait=60", {"n_workers": workers})
        for cuts in (1, 2, 7, 50) if LONG or len(numeric) < 1000 else (1, 7):
            parameters = {"columns": numeric, "operation": statistics}
            size = math.ceil(path.stat().st_size / cuts)
            status = real_service.run("aggregate", str(path), parameters, partition_size=size)
            rows = real_service.rows(status["job_id"])
            assert [r["column"] for r in rows] == numeric
            for row in rows:
                for statistic, value in expected[row["column"]].items():
                    same(row[statistic], value, f"{name} {row['column']}.{statistic}, {cuts} partitions")
            additive.add(tuple((r["sum"], r["mean"], r["std"]) for r in rows))
    assert len(additive) == 1, "the same bits in any cut and on any number of workers"


def test_ragged_reports_are_refused_with_their_first_line(real_service, real_data):
    path = real_data / "maxquant-proteingroups" / "proteinGroups.txt"
    lines = path.read_text().split("\n")
    header, first = (len(line.split("\t")) for line in lines[:2])
    assert header != first, "the report's rows are shorter than its header"
    job = real_service.submit("aggregate", str(path), {"operation": "count"})
    status = real_service.wait(job)
    assert status["status"] == "failed" and status["error"]["class"] == "user"
    for word in ("proteinGroups.txt", "line 2", str(first), str(header)):
        assert word in status["error_message"], status["error_message"]


def test_ragged_reports_are_repaired_when_asked_and_counted(real_service, real_data):
    path = real_data / "maxquant-proteingroups" / "proteinGroups.txt"
    lines = path.read_text().rstrip("\n").split("\n")
    header = lines[0].split("\t")
    rows = [line.split("\t") for line in lines[1:]]
    shorter = sum(len(r) < len(header) for r in rows)
    table = pd.DataFrame([r + [""] * (len(header) - len(r)) for r in rows], columns=header)
    lfq = [c for c in header if c.startswith("LFQ intensity")]
    last = header[-1]
    for size in ("100kB", "2MB"):
        status = real_service.run(
            "aggregate",
            str(path),
            {"columns": lfq, "operation": ["count", "sum"]},
            layout={"ragged": "repair"},
            partition_size=size,
        )
        found = {r["column"]: r for r in real_service.rows(status["job_id"])}
        for c in lfq:
            numbers = pd.to_numeric(table[c])
            same(found[c]["sum"], float(numbers.sum()), c)
            assert found[c]["count"] == numbers.count()
        warnings = {w["code"]: w["count"] for w in status["result"]["warnings"]}
        assert warnings["short_rows"] == shorter and "long_rows" not in warnings
    parameters = {"column": last, "operation": "count"}
    status = real_service.run("aggregate", str(path), parameters, layout={"ragged": "repair"})
    assert status["result"]["value"] == (table[last] != "").sum(), "what a short row lacks is missing"


def test_a_ragged_report_is_loaded_when_its_rows_may_be_repaired(real_service, real_data):
    source = str(real_data / "maxquant-proteingroups" / "proteinGroups.txt")
    answer = real_service.request("POST", "data/load", json={"dataset_id": "strict", "source": source})
    assert answer.status_code == 422 and "layout.ragged" in answer.json()["hint"], answer.text
    record = real_service.post(
        "data/load", {"dataset_id": "report", "source": source, "layout": {"ragged": "repair"}}
    )
    assert record["n_rows"] == 882 and record["layout"]["ragged"]["value"] == "repair"
    assert 0 < record["missing_values"]["short_rows"] <= record["missing_values"]["rows_looked_at"]
    assert real_service.run("aggregate", "report", {"operation": "count"})["result"]["value"] == 882


def test_the_quantities_of_a_ragged_report_are_a_matrix(real_service, real_data):
    source = real_data / "maxquant-proteingroups" / "proteinGroups.txt"
    lines = source.read_text().rstrip("\n").split("\n")
    header = lines[0].split("\t")
    rows = [line.split("\t") for line in lines[1:]]
    lfq = [c for c in header if c.startswith("LFQ intensity")]
    wanted = pd.DataFrame(
        [[float(r[header.index(c)]) for c in lfq] for r in rows], [r[0] for r in rows], lfq
    )
    layout = {"kind": "matrix", "ragged": "repair", "orientation": "features_as_rows"}
    columns = ["Protein IDs", *lfq]
    body = {"dataset_id": "lfq", "source": str(source), "columns": columns, "layout": layout, "replace": True}
    record = real_service.post("data/load", body)
    assert record["n_columns"] == 11 and record["layout"]["label_columns"]["value"] == ["Protein IDs"]
    place = "lfq.csv"
    output = {"path": place, "if_exists": "replace"}
    status = real_service.run("convert", "lfq", {"orientation": "samples_as_rows"}, output=output)
    turned = pd.read_csv(real_service.state / "results" / place, index_col=0)
    assert list(turned.index) == lfq and list(turned.columns) == list(wanted.index)
    assert (turned.to_numpy() == wanted.T.to_numpy()).all()
    shorter = sum(len(r) < len(header) for r in rows)
    assert {w["code"]: w["count"] for w in status["result"]["warnings"]}["short_rows"] == shorter
    for operation, parameters in (("aggregate", {"columns": "*", "operation": ["mean", "min"]}), ("describe", {})):
        status = real_service.run(operation, "lfq", parameters)
        found = {r["column"]: r for r in real_service.rows(status["job_id"])}
        assert set(found) >= set(lfq)
        for c in lfq:
            same(found[c]["mean"], float(wanted[c].mean()), c)
            assert found[c]["min"] == wanted[c].min()


def test_groups_of_a_real_sheet(real_service, real_data):
    table = pd.read_csv(real_data / "breast-tcga" / "samples.tsv", sep="\t")
    column = "subtype"
    status = real_service.run(
        "aggregate",
        str(real_data / "breast-tcga" / "samples.tsv"),
        {"operation": "count", "group_by": column},
    )
    rows = real_service.rows(status["job_id"])
    counts = table[column].value_counts()
    assert [(r[column], r["count"]) for r in rows] == [(k, counts[k]) for k in sorted(counts.index)]
