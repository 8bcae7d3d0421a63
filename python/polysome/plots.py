"""Figures of results with matplotlib, which the caller has installed."""

from __future__ import annotations

import importlib
import importlib.util
import io
import math
from typing import Any, Dict, List, Optional

Rows = List[Dict[str, Any]]
KINDS = ("volcano", "pca", "histogram")
_MOST_HISTOGRAMS = 9
_SIGNIFICANT = 0.05


def numeric_columns(rows: Rows) -> List[str]:
    """Columns whose values are numbers, in order."""
    if not rows:
        return []
    numbers = (int, float)
    return [
        name
        for name in rows[0]
        if any(r[name] is not None for r in rows)
        and all(r[name] is None or (isinstance(r[name], numbers) and not isinstance(r[name], bool)) for r in rows)
    ]


def kind_of(columns: List[str]) -> str:
    """The figure that fits a table with these columns."""
    if "log2_fold_change" in columns and ("p_value" in columns or "p_adjusted" in columns):
        return "volcano"
    if "PC1" in columns and "PC2" in columns:
        return "pca"
    return "histogram"


def plot(rows: Rows, kind: Optional[str] = None) -> Any:
    """The figure (a matplotlib Figure)."""
    columns = list(rows[0]) if rows else []
    kind = kind or kind_of(columns)
    if kind not in KINDS:
        raise ValueError(f'kind="{kind}" is not known; one of {", ".join(KINDS)}')
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("job.plot() needs matplotlib: pip install matplotlib")
    figures = importlib.import_module("matplotlib.figure")
    figure = figures.Figure(figsize=(7, 5), layout="tight")
    if kind == "volcano":
        _volcano(figure, rows, "p_adjusted" if "p_adjusted" in columns else "p_value")
    elif kind == "pca":
        _scatter(figure, rows)
    else:
        _histograms(figure, rows)
    # Notebooks show it also where pyplot was never imported.
    figure._repr_png_ = lambda: _png(figure)
    return figure


def _png(figure: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()


def _volcano(figure: Any, rows: Rows, p: str) -> None:
    axes = figure.subplots()
    known = [r for r in rows if r[p] is not None and r["log2_fold_change"] is not None]
    known = [r for r in known if math.isfinite(r[p]) and math.isfinite(r["log2_fold_change"])]
    least = min((r[p] for r in known if r[p] > 0), default=1.0)
    for significant, colour in ((False, "0.7"), (True, "C3")):
        part = [r for r in known if (r[p] < _SIGNIFICANT) == significant]
        axes.scatter(
            [r["log2_fold_change"] for r in part],
            [-math.log10(max(r[p], least)) for r in part],
            s=8,
            color=colour,
        )
    axes.set_xlabel("log2 fold change")
    axes.set_ylabel(f"-log10 {p}")


def _scatter(figure: Any, rows: Rows) -> None:
    axes = figure.subplots()
    axes.scatter([r["PC1"] for r in rows], [r["PC2"] for r in rows], s=14)
    axes.set_xlabel("PC1")
    axes.set_ylabel("PC2")


def _histograms(figure: Any, rows: Rows) -> None:
    names = numeric_columns(rows)[:_MOST_HISTOGRAMS]
    if not names:
        raise ValueError("the table has no numeric column to plot")
    wide = math.ceil(math.sqrt(len(names)))
    grid = figure.subplots(math.ceil(len(names) / wide), wide, squeeze=False)
    for axes, name in zip(grid.flat, names):
        values = [r[name] for r in rows if r[name] is not None and math.isfinite(r[name])]
        axes.hist(values, bins=min(50, max(5, int(math.sqrt(len(values) or 1)))))
        axes.set_title(name)
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
