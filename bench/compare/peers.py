"""One question to one program, in a process of its own: peers.py PROGRAM QUESTION FILE. Each is asked
as its documentation advises; two threads. Prints one line of JSON with what it found, to compare."""

import json
import sys

STATISTICS = ["mean", "std", "count"]


def is_parquet(file):
    return file.endswith(".parquet")


def turned(target):
    """What is compared of a transposed matrix: rows, columns, and the sum of one of its columns."""
    import pyarrow.compute as pc
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(target, columns=["S0007"])
    return [table.num_rows, pyarrow.parquet.read_metadata(target).num_columns, pc.sum(table["S0007"]).as_py()]


def polars(question, file):
    import polars as pl

    if question == "transpose":
        frame = pl.read_csv(file).transpose(include_header=True, header_name="feature", column_names="sample_id")
        frame.write_parquet("polars.parquet")
        return turned("polars.parquet")
    scan = pl.scan_parquet(file) if is_parquet(file) else pl.scan_csv(file)
    if question in ("all", "wideparquet"):
        frame = scan.select(pl.exclude("sample_id").mean()).collect()
        return [frame.width, float(sum(frame.row(0)))]
    if question == "one":
        return scan.select(pl.col("g10000").mean()).collect().item()
    x = pl.col("expression")
    frame = scan.group_by("gene").agg(x.mean().alias("m"), x.std().alias("s"), x.count().alias("n"))
    frame = frame.sort("gene").collect()
    return [frame.height, float(frame["m"].sum())]


def duckdb(question, file):
    import duckdb

    duckdb.execute("SET threads = 2")
    if question in ("all", "wideparquet"):
        found = duckdb.sql(f"SELECT avg(COLUMNS(* EXCLUDE sample_id)) FROM '{file}'").fetchall()[0]
        return [len(found), sum(found)]
    if question == "one":
        return duckdb.sql(f"SELECT avg(g10000) FROM '{file}'").fetchall()[0][0]
    found = duckdb.sql(
        "SELECT gene, avg(expression), stddev_samp(expression), count(expression) "
        f"FROM '{file}' GROUP BY gene ORDER BY gene"
    ).fetchall()
    return [len(found), sum(row[1] for row in found)]


def pandas(question, file):
    import pandas as pd

    if question == "transpose":
        pd.read_csv(file, index_col=0).T.to_parquet("pandas.parquet")
        return turned("pandas.parquet")
    if question in ("all", "wideparquet"):
        read = pd.read_parquet if is_parquet(file) else pd.read_csv
        means = read(file).drop(columns="sample_id").mean()
        return [len(means), float(means.sum())]
    if question == "one":
        return float(pd.read_csv(file, usecols=["g10000"])["g10000"].mean())
    wanted = ["gene", "expression"]
    read = pd.read_parquet(file, columns=wanted) if is_parquet(file) else pd.read_csv(file, usecols=wanted)
    groups = read.groupby("gene")["expression"]
    frame = groups.agg(STATISTICS)
    return [len(frame), float(frame["mean"].sum())]


def pyarrow(question, file):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet
    from pyarrow import csv

    pa.set_cpu_count(2)
    wanted = {"all": None, "one": ["g10000"]}.get(question, ["gene", "expression"])
    if question == "wideparquet":
        means = [pc.mean(c).as_py() for c in pyarrow.parquet.read_table(file).drop(["sample_id"]).columns]
        return [len(means), sum(means)]
    if question == "parquet":
        return arrow_groups(pyarrow.parquet.read_table(file, columns=["gene", "expression"]), pc)
    # Rows of 140 kB do not fit its usual blocks of 1 MB well.
    table = csv.read_csv(
        file,
        read_options=csv.ReadOptions(block_size=16 << 20),
        convert_options=csv.ConvertOptions(include_columns=wanted),
    )
    if question == "all":
        means = [pc.mean(c).as_py() for c in table.drop(["sample_id"]).columns]
        return [len(means), sum(means)]
    if question == "one":
        return pc.mean(table["g10000"]).as_py()
    return arrow_groups(table, pc)


def arrow_groups(table, pc):
    options = pc.VarianceOptions(ddof=1)
    found = table.group_by("gene").aggregate(
        [("expression", "mean"), ("expression", "stddev", options), ("expression", "count")]
    )
    return [found.num_rows, float(pc.sum(found["expression_mean"]).as_py())]


def dask(question, file):
    import dask
    import dask.dataframe as dd

    dask.config.set(scheduler="processes", num_workers=2)
    if question in ("all", "wideparquet"):
        frame = dd.read_parquet(file) if is_parquet(file) else dd.read_csv(file, sample=4_000_000)
        frame = frame.drop(columns="sample_id")
        means = frame.mean().compute()
        return [len(means), float(means.sum())]
    if question == "one":
        return float(dd.read_csv(file, sample=4_000_000, usecols=["g10000"])["g10000"].mean().compute())
    packed = {"blocksize": None} if file.endswith(".gz") else {}
    if question == "parquet":
        frame = dd.read_parquet(file, columns=["gene", "expression"])
    else:
        frame = dd.read_csv(file, usecols=["gene", "expression"], **packed)
    frame = frame.groupby("gene")["expression"].agg(STATISTICS).compute().sort_index()
    return [len(frame), float(frame["mean"].sum())]


if __name__ == "__main__":
    program, question, file = sys.argv[1:]
    print(json.dumps(globals()[program](question, file)))
