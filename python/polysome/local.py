"""One job on this machine with no service: drives the program `polysome run`."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
from typing import Any, Dict, List, Optional, Union

from . import tables
from .connection import plain
from .errors import InvalidRequest, JobCancelled, JobFailed, PolysomeError, ServiceError, error_of
from .progress import in_notebook

File = Union[str, "os.PathLike[str]"]
# Flags of the program, beside what goes into the job's own body.
_FLAGS = {"workers": "--workers", "memory": "--memory", "scratch": "--scratch", "fresh": "--fresh"}


def find_program() -> str:
    """The program: POLYSOME_PROGRAM, else the one of the source tree this package lies in, else by PATH."""
    named = os.environ.get("POLYSOME_PROGRAM")
    if named:
        return named
    root = pathlib.Path(__file__).resolve().parents[2]
    for place in (root / "bin" / "polysome", root / "build" / "release" / "polysome"):
        if os.access(place, os.X_OK):
            return str(place)
    found = shutil.which("polysome")
    if found:
        return found
    problem = {
        "code": "not_found",
        "detail": "the program polysome is not there",
        "hint": "scripts/setup.sh builds it; put it on PATH or name it in POLYSOME_PROGRAM",
    }
    raise ServiceError(problem)


def _absolute(file: File) -> str:
    """Files go as absolute paths, so that none can be taken for a flag or a parameter."""
    return os.path.abspath(os.fspath(file))


def run(
    operation: str,
    /,
    *files: File,
    job: Optional[Dict[str, Any]] = None,
    out: Optional[File] = None,
    as_: Optional[str] = None,
    **parameters: Any,
) -> Any:
    """Runs one job here and answers its table: a pandas DataFrame when pandas is there, else Arrow.

    `files`: files, folders or globs; several are layers for operations over several, else one dataset.
    `as_`: "pandas", "arrow", "polars", "rows" (dicts), or "value" for the one number of an answer.
    `out`: write the result to this file (its ending says the format) and answer its path.
    `job`: `workers`, `memory`, `scratch`, `fresh`, and what jobs/submit takes, such as `layout`.
    Work is kept in .polysome/ until it succeeds: the same call goes on where it stopped. Raises
    `JobFailed` with `error`; Ctrl-C ends the job, and raises KeyboardInterrupt."""
    kind = as_ if as_ == "value" or out is not None else tables.choose(as_)
    body: Dict[str, Any] = {"parameters": parameters}
    command: List[str] = [find_program(), "run", operation]
    for file in files:
        if not isinstance(file, (str, os.PathLike)):
            raise TypeError(f"files are named by their paths, not given as {type(file).__name__}")
        command.append(_absolute(file))
    for key, value in (job or {}).items():
        if key not in _FLAGS:
            body[key] = value
        elif value is True:
            command.append(_FLAGS[key])
        elif value is not False and value is not None:
            command += [_FLAGS[key], str(value)]
    if kind == "rows":
        ending = ".ndjson"
    elif kind == "value":
        ending = ""
    else:
        ending = ".parquet"
    mine: Optional[pathlib.Path] = None
    if out is not None:
        command += ["--out", _absolute(out)]
    elif ending:
        # The same call must name the same file, so that it can go on where it stopped.
        call = json.dumps([operation, command[3:], body], sort_keys=True, default=str)
        folder = pathlib.Path(".polysome")
        folder.mkdir(exist_ok=True)
        mine = folder / f"result-{hashlib.sha256(call.encode()).hexdigest()[:16]}{ending}"
        command += ["--out", str(mine), "--replace"]
    try:
        result = _drive(command, body)
        if out is not None:
            return pathlib.Path(out)
        if mine is None:
            return tables.answer_of(result)
        return _table(mine, kind or "", result)
    finally:
        if mine is not None:
            mine.unlink(missing_ok=True)
            try:
                mine.parent.rmdir()  # only if nothing else is kept there
            except OSError:
                pass


def _table(path: pathlib.Path, kind: str, result: Dict[str, Any]) -> Any:
    if not path.exists():
        problem = {
            "code": "invalid",
            "detail": f"the job gave no table; its answer: {json.dumps(result)[:500]}",
            "hint": 'as_="value" gives the number of an answer',
        }
        raise InvalidRequest(problem)
    if kind != "rows":
        return tables.from_parquet(path.read_bytes(), kind)
    columns = (result.get("tables") or [{}])[0].get("columns") or []
    with open(path, encoding="utf-8") as lines:
        return tables.rows_of({"columns": columns, "rows": [json.loads(line) for line in lines]})


def _drive(command: List[str], body: Dict[str, Any]) -> Dict[str, Any]:
    """Runs the program to its end; the result object it prints."""
    with tempfile.TemporaryDirectory(prefix="polysome-") as folder:
        params = pathlib.Path(folder, "params.json")
        params.write_text(json.dumps(body, default=plain), encoding="utf-8")
        command = [*command, "--params", f"@{params}", "-o", "json"]
        # In a terminal the program draws its own progress; elsewhere its lines are kept for errors.
        terminal = sys.__stderr__ is not None and sys.stderr is sys.__stderr__ and sys.__stderr__.isatty()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if terminal else subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        said: List[str] = []
        reader = threading.Thread(target=_listen, args=(process, said), daemon=True)
        reader.start()
        try:
            assert process.stdout is not None
            printed = process.stdout.read()
            code = process.wait()
        except KeyboardInterrupt:
            # The program has had the same Ctrl-C where it shares our terminal; it stops by itself.
            process.terminate()
            process.wait()
            raise
        reader.join()
    try:
        answer = json.loads(printed)
    except ValueError:
        answer = None
    if code == 0 and isinstance(answer, dict):
        return answer
    raise _error(code, answer if isinstance(answer, dict) else None, said)


def _listen(process: "subprocess.Popen[str]", said: List[str]) -> None:
    if process.stderr is None:
        return
    handle: Any = None
    for line in process.stderr:
        said.append(line.rstrip("\n"))
        if not in_notebook():
            continue
        display = sys.modules["IPython"].display
        if handle is None:
            handle = display.display(display.Pretty(said[-1]), display_id=True)
        else:
            handle.update(display.Pretty(said[-1]))


def _error(code: int, problem: Optional[Dict[str, Any]], said: List[str]) -> PolysomeError:
    if problem is None or "detail" not in problem:
        text = "\n".join(said[-5:]) or f"polysome run ended with {code}"
        return ServiceError({"code": "internal", "detail": text})
    if code == 3:
        return JobCancelled(problem)
    if problem.get("job_id"):
        return JobFailed(problem)
    return error_of(int(problem.get("status", 500)), problem)

