"""Tables of results in the caller's own library: pandas, polars, Arrow, or plain rows. Whole tables
travel as Parquet, exact in types and missing values; rows need nothing installed."""

from __future__ import annotations

import importlib
import importlib.util
import io
import math
from typing import Any, Dict, List, Optional

KINDS = ("pandas", "arrow", "polars", "rows")
_NEEDS = {"pandas": ("pandas", "pyarrow"), "arrow": ("pyarrow",), "polars": ("polars",), "rows": ()}
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_FLOATS = {"double", "float", "DOUBLE", "FLOAT"}
_WHOLE = ("int", "INT", "uint", "BIGINT", "HUGEINT", "UBIGINT", "hugeint", "bigint")


def _there(*modules: str) -> bool:
    return all(importlib.util.find_spec(m) is not None for m in modules)


def choose(as_: Optional[str]) -> str:
    """The kind of table to give: as asked, else pandas, else Arrow, else polars, by what is installed."""
    if as_ is None:
        for kind in ("pandas", "arrow", "polars"):
            if _there(*_NEEDS[kind]):
                return kind
        raise ImportError('no library for tables is installed: pip install pandas pyarrow, or ask for as_="rows"')
    if as_ not in KINDS:
        raise ValueError(f'as_="{as_}" is not known; one of {", ".join(KINDS)}')
    if not _there(*_NEEDS[as_]):
        raise ImportError(f'as_="{as_}" needs {" and ".join(_NEEDS[as_])}: pip install {" ".join(_NEEDS[as_])}')
    return as_


def from_parquet(content: bytes, kind: str) -> Any:
    """The table of a whole Parquet file."""
    if kind == "polars":
        return importlib.import_module("polars").read_parquet(io.BytesIO(content))
    parquet = importlib.import_module("pyarrow.parquet")
    table = parquet.read_table(importlib.import_module("pyarrow").BufferReader(content))
    return table if kind == "arrow" else table.to_pandas()


def value_of(value: Any, type_: str) -> Any:
    """A JSON value as Python has it: the words for NaN and infinities, and integers beyond 2^53, are numbers."""
    if not isinstance(value, str):
        return value
    if type_ in _FLOATS and value in _WORDS:
        return _WORDS[value]
    if type_.startswith(_WHOLE):
        try:
            return int(value)
        except ValueError:
            return value
    return value


def rows_of(page: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The rows of one page of jobs/{id}/result."""
    special = {c["name"]: c["type"] for c in page["columns"] if c["type"] in _FLOATS or c["type"].startswith(_WHOLE)}
    rows: List[Dict[str, Any]] = page["rows"]
    for row in rows:
        for name, type_ in special.items():
            if isinstance(row.get(name), str):
                row[name] = value_of(row[name], type_)
    return rows


def answer_of(result: Optional[Dict[str, Any]]) -> Any:
    """The one number of a result; None when the answer is a table."""
    if not result or "value" not in result:
        return None
    value = result["value"]
    if isinstance(value, str):
        if value in _WORDS and _is_number(result):
            return _WORDS[value]
        if value.lstrip("-").isdigit() and _is_number(result):
            return int(value)
    return value


def _is_number(result: Dict[str, Any]) -> bool:
    """Whether the value's own column, the last of the only table, holds numbers."""
    tables = result.get("tables") or []
    columns = tables[0].get("columns") or [] if tables else []
    return not columns or columns[-1]["type"] in _FLOATS or columns[-1]["type"].startswith(_WHOLE)
