"""Tables that tests make: a seeded long expression table with everything that goes wrong in real ones,
written in each format the service reads."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def expression_table(rows=4000, seed=7):
    """sample, gene, condition, batch, count (integer), expression (double with missing values and a wide
    range of magnitudes, so that sums in another order show in the last bits)."""
    rng = np.random.default_rng(seed)
    magnitude = 10.0 ** rng.integers(-6, 7, rows)
    expression = rng.normal(1.0, 2.0, rows) * magnitude
    expression[rng.random(rows) < 0.05] = np.nan
    condition = rng.choice(np.array(["control", "treated", "treated, late", 'so "called"']), rows)
    table = pd.DataFrame(
        {
            "sample": [f"S{i:03d}" for i in rng.integers(0, 40, rows)],
            "gene": [f"GENE{i}" for i in rng.integers(0, 60, rows)],
            "condition": condition.astype(object),
            "batch": rng.integers(1, 4, rows),
            "count": rng.integers(0, 5000, rows),
            "expression": expression,
        }
    )
    table.loc[rng.random(rows) < 0.02, "condition"] = None
    return table


def zstd_bytes(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


def csv_text(table, separator=","):
    # repr of a double is its shortest exact form, so what is read equals what was written.
    return table.to_csv(index=False, sep=separator, lineterminator="\n")


def records(table):
    for row in table.itertuples(index=False):
        yield {
            name: (None if pd.isna(value) else value.item() if isinstance(value, np.generic) else value)
            for name, value in zip(table.columns, row)
        }


def write(table, path):
    """Writes by the endings of `path`: csv tsv ndjson json parquet, then gz or zst."""
    endings = path.name.split(".")[1:]
    compression = endings[-1] if endings[-1] in ("gz", "zst") else None
    kind = endings[0]
    if kind == "parquet":
        pq.write_table(
            pa.Table.from_pandas(table, preserve_index=False), path, row_group_size=max(1, len(table) // 60)
        )
        return path
    if kind in ("csv", "tsv"):
        text = csv_text(table, "," if kind == "csv" else "\t")
    elif kind == "ndjson":
        text = "".join(json.dumps(r) + "\n" for r in records(table))
    else:
        text = json.dumps(list(records(table)))
    data = text.encode()
    if compression == "gz":
        data = gzip.compress(data)
    elif compression == "zst":
        data = zstd_bytes(data)
    path.write_bytes(data)
    return path
