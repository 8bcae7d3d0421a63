"""What pandas and numpy answer, and how an answer is compared with theirs."""

import math

import numpy as np
import pytest

STATISTICS = [
    "count",
    "missing",
    "count_distinct",
    "sum",
    "mean",
    "min",
    "max",
    "var",
    "std",
    "median",
    "mode",
    "quantile",
]
QUANTILES = [0, 0.1, 0.25, 0.9, 1]


def same(found, expected, what):
    if expected is None or (isinstance(expected, float) and math.isnan(expected)):
        assert found is None, f"{what}: {found!r}, expected missing"
    elif isinstance(expected, str):
        assert found == expected, f"{what}: {found!r}, expected {expected!r}"
    else:
        assert isinstance(found, (int, float)), f"{what}: {found!r}, expected {expected!r}"
        assert found == pytest.approx(expected, rel=1e-10, abs=1e-300), what


def expected_statistics(values):
    """pandas' and numpy's answers for one numeric column."""
    present = values.dropna()
    if len(present) == 0:
        blank = {name: None for name in (*STATISTICS[3:11], *(f"quantile_{q:g}" for q in QUANTILES))}
        return {"count": 0, "missing": len(values), "count_distinct": 0, **blank, "sum": 0}
    array = present.to_numpy(dtype=float)
    answer = {
        "count": len(present),
        "missing": int(values.isna().sum()),
        "count_distinct": present.nunique(),
        "sum": math.fsum(array),
        "mean": array.mean(),
        "min": array.min(),
        "max": array.max(),
        "var": float(present.var()),
        "std": float(present.std()),
        "median": np.quantile(array, 0.5),
        "mode": present.mode().iloc[0],
    }
    for q in QUANTILES:
        answer[f"quantile_{q:g}"] = np.quantile(array, q)
    return {k: (v.item() if isinstance(v, np.generic) else v) for k, v in answer.items()}


def check_columns(rows, table, columns):
    assert [r["column"] for r in rows] == columns
    for row in rows:
        for name, expected in expected_statistics(table[row["column"]]).items():
            same(row[name], expected, f"{row['column']}.{name}")
