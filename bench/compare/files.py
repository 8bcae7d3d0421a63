"""The files that all programs read: made once in a temporary folder, from fixed seeds."""

import gzip
import os
import shutil
from pathlib import Path

import numpy as np


def wide(path, rows, columns, seed=1):
    """A label and `columns` numbers with four decimals a row, as expression matrices are written."""
    random = np.random.default_rng(seed)
    with open(path, "wb") as f:
        f.write(b"sample_id," + b",".join(b"g%05d" % i for i in range(columns)) + b"\n")
        for r in range(rows):
            values = random.gamma(2.0, 3.0, columns).tolist()
            f.write(b"S%04d," % r + ",".join([f"{v:.4f}" for v in values]).encode() + b"\n")


def long(path, rows, seed=2, step=500_000):
    """gene, sample, expression, count, batch: one measurement a row, 20,000 genes."""
    random = np.random.default_rng(seed)
    with open(path, "wb") as f:
        f.write(b"gene,sample,expression,count,batch\n")
        for done in range(0, rows, step):
            n = min(step, rows - done)
            columns = zip(
                random.integers(0, 20000, n).tolist(),
                random.integers(0, 1000, n).tolist(),
                random.gamma(2.0, 3.0, n).tolist(),
                random.poisson(50, n).tolist(),
                random.integers(0, 8, n).tolist(),
            )
            lines = [f"ENSG{g:08d},S{s:04d},{x:.6f},{c},{b}\n" for g, s, x, c, b in columns]
            f.write("".join(lines).encode())


def cut_to(source, target, size):
    """The first `size` bytes of a file, up to the end of a row, repeated rows if it is too short."""
    with open(source, "rb") as f, open(target, "wb") as out:
        header = f.readline()
        out.write(header)
        while out.tell() < size:
            block = f.read(min(size - out.tell() + 1000, 16_000_000))
            if not block:
                f.seek(len(header))
                continue
            out.write(block[: block.rindex(b"\n") + 1])
            f.seek(-(len(block) - block.rindex(b"\n") - 1), os.SEEK_CUR)


def packed(source, target):
    with open(source, "rb") as f, gzip.open(target, "wb", compresslevel=3) as out:
        shutil.copyfileobj(f, out, 16_000_000)


def parquet(source, target):
    import polars as pl

    pl.scan_csv(source).sink_parquet(target)


def make(folder, wide_shape, tall_shape, long_rows):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = wide_shape
    files = {
        "wide": folder / f"wide-{rows}x{columns}.csv",
        "wideparquet": folder / f"wide-{rows}x{columns}.parquet",
        "tall": folder / f"wide-{tall_shape[0]}x{tall_shape[1]}.csv",
        "long": folder / f"long-{long_rows}.csv",
        "gzip": folder / f"long-{long_rows}.csv.gz",
        "parquet": folder / f"long-{long_rows}.parquet",
    }
    for name, path in files.items():
        if path.exists():
            continue
        part = path.with_suffix(".part")
        if name == "wide":
            wide(part, rows, columns)
        elif name == "tall":
            wide(part, *tall_shape)
        elif name == "wideparquet":
            parquet(files["wide"], part)
        elif name == "long":
            long(part, long_rows)
        elif name == "parquet":
            parquet(files["long"], part)
        else:
            packed(files["long"], part)
        part.rename(path)
    return files
