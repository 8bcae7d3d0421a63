"""One job of a service: wait for it, take its result, end it, do it again."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional

from . import tables
from .connection import segment
from .errors import JobCancelled, JobFailed, NotFound, StillRunning, Unavailable
from .progress import progress_for, short

if TYPE_CHECKING:
    from .client import Client

FINAL = ("completed", "failed", "cancelled")
_LONGEST_POLL = 30.0
# How long a service may be away (restarted, say) while we wait for a job.
_PATIENCE = 60.0


class Job:
    """A job, by its id. Made by `Client.submit`, `Client.job` and `Client.jobs`.

    `id` is the full id. Nothing is kept of the job's state but its end, which never changes."""

    def __init__(self, client: "Client", job_id: str) -> None:
        self._client = client
        self.id = job_id
        self._end: Optional[Dict[str, Any]] = None

    def __repr__(self) -> str:
        state = f" {self._end['status']}" if self._end else ""
        return f"<polysome.Job {self.id}{state}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id and other._client.url == self._client.url

    def __hash__(self) -> int:
        return hash(self.id)

    def _path(self, rest: str = "") -> str:
        return f"jobs/{segment(self.id)}{rest}"

    def _note(self, status: Dict[str, Any]) -> Dict[str, Any]:
        if status["status"] in FINAL:
            self._end = status
        return status

    # ---- how it stands ----
    def status(self) -> Dict[str, Any]:
        """Everything known of the job now: the object of GET jobs/{id}/status."""
        return self._end or self._note(self._client._http.get(self._path("/status")))

    @property
    def done(self) -> bool:
        """Whether the job has come to its end, good or bad."""
        return bool(self.status()["status"] in FINAL)

    @property
    def progress(self) -> float:
        """0 to 100."""
        return float(self.status()["progress"])

    @property
    def error(self) -> Optional[Dict[str, Any]]:
        """Why it failed, as the problem object; None for a job that did not."""
        error: Optional[Dict[str, Any]] = self.status()["error"]
        return error

    def wait(self, timeout: Optional[float] = None, *, progress: Optional[bool] = None) -> "Job":
        """Waits for the job's end and answers the job, so that calls can be chained.

        A bar shows how it comes on in terminals and notebooks (`progress` True or False decides
        instead). Ctrl-C leaves the job running. Raises `JobFailed` (with `error`), `JobCancelled`,
        or `StillRunning` after `timeout` seconds. A service that is restarted meanwhile is waited for.
        """
        until = None if timeout is None else time.monotonic() + timeout
        shown = progress_for(progress)
        try:
            status = self._follow(until, shown.update)
        except KeyboardInterrupt:
            shown.finish(None)
            print(f'the job goes on; come back with: client.job("{self.id}").wait()', file=sys.stderr)
            raise
        if status["status"] not in FINAL:
            shown.finish(None)
            problem = {
                "code": "timeout",
                "detail": f"job {short(self.id)} is still {status['status']} after {timeout:g} s",
                "hint": "it goes on; wait() again, or cancel()",
            }
            raise StillRunning(problem)
        shown.finish(status)
        return self._finished(status)

    def _follow(self, until: Optional[float], update: Any) -> Dict[str, Any]:
        """The final status, or the newest when the time is up."""
        version: Optional[int] = None
        lost: Optional[float] = None
        while True:
            left = _LONGEST_POLL if until is None else max(0.0, min(_LONGEST_POLL, until - time.monotonic()))
            query = {"wait": f"{left:.3f}", "after": version} if version is not None else {}
            try:
                status = self._note(self._client._http.json("GET", self._path("/status"), query=query))
            except Unavailable:
                lost = lost or time.monotonic()
                now = time.monotonic()
                if now - lost > _PATIENCE or (until is not None and now > until):
                    raise
                time.sleep(0.5)
                continue
            lost = None
            if status["status"] in FINAL:
                return status
            update(status)
            version = status["version"]
            if until is not None and time.monotonic() >= until:
                return status

    def _finished(self, status: Dict[str, Any]) -> "Job":
        if status["status"] == "completed":
            return self
        problem = status["error"] or {
            "code": "cancelled",
            "detail": f"job {short(self.id)} was cancelled",
            "job_id": self.id,
        }
        raise (JobCancelled if status["status"] == "cancelled" else JobFailed)(problem, self)

    # ---- what it gives ----
    @property
    def value(self) -> Any:
        """The answer when it is one number, else None. Waits for the job."""
        return tables.answer_of(self._ended()["result"])

    @property
    def summary(self) -> Dict[str, Any]:
        """The result object: tables, files, definitions, warnings. Waits for the job."""
        result: Dict[str, Any] = self._ended()["result"] or {}
        return result

    def result(
        self,
        table: Optional[str] = None,
        *,
        as_: Optional[str] = None,
        columns: Optional[List[str]] = None,
        limit: Optional[int] = None,
    ) -> Any:
        """A whole table of the result; the main one, or by name. Waits for the job.

        `as_`: "pandas", "arrow", "polars" or "rows" (a list of dicts); by default a pandas DataFrame
        when pandas is there, else an Arrow table. `columns` and `limit` take a part of it."""
        kind = tables.choose(as_)
        self._ended()
        query: Dict[str, Any] = {"table": table, "columns": ",".join(columns) if columns else None, "limit": limit}
        if kind == "rows":
            return list(self.rows(table, columns=columns, limit=limit))
        answer = self._client._http.send(
            "GET", self._path("/result"), query={**query, "format": "parquet"}, again=True, timeout=600
        )
        return tables.from_parquet(answer.content, kind)

    def rows(
        self, table: Optional[str] = None, *, columns: Optional[List[str]] = None, limit: Optional[int] = None
    ) -> Iterator[Dict[str, Any]]:
        """The rows of a table as dicts, fetched in pages: needs no library and little memory."""
        self._ended()
        query: Dict[str, Any] = {"table": table, "columns": ",".join(columns) if columns else None}
        left = limit
        while left is None or left > 0:
            query["limit"] = 1000 if left is None else min(left, 1000)
            page = self._client._http.get(self._path("/result"), query)
            rows = tables.rows_of(page)
            yield from rows
            left = None if left is None else left - len(rows)
            query["page_token"] = page["next_page_token"]
            if not query["page_token"]:
                return

    def download(self, path: str, table: Optional[str] = None, *, format: Optional[str] = None) -> str:
        """Writes a whole table to a file as csv, tsv, ndjson or parquet, by its ending or `format`."""
        ending = format or path.rsplit(".", 1)[-1].lower()
        self._ended()
        query = {"table": table, "format": ending}
        answer = self._client._http.send(
            "GET", self._path("/result"), query=query, stream=True, again=True, timeout=600
        )
        with answer, open(path, "wb") as out:
            for piece in answer.iter_content(1 << 20):
                out.write(piece)
        return path

    def _ended(self) -> Dict[str, Any]:
        if self._end is None:
            self.wait()
        assert self._end is not None
        self._finished(self._end)
        return self._end

    # ---- what can be done to it ----
    def cancel(self, reason: str = "") -> Dict[str, Any]:
        """Ends the job's work, within a second; the status afterwards."""
        status = self._client._http.json(
            "POST", self._path("/cancel"), body={"reason": reason} if reason else {}, again=True
        )
        return self._note(status)

    def retry(self, *, job: Optional[Dict[str, Any]] = None, **parameters: Any) -> "Job":
        """A new job like this one; finished tasks that need not be done again are taken over.

        `parameters` change the operation's own, `job` what was asked beside (`priority`,
        `max_memory_gb`, `on_bad_value`)."""
        body: Dict[str, Any] = dict(job or {})
        if parameters:
            body["parameters"] = parameters
        return self._client._new_job(self._path("/retry"), body)

    # ---- what is told about it ----
    def events(self, after: Optional[int] = None) -> Iterator[Dict[str, Any]]:
        """The job's events from its first (or after an id) to its end, live."""
        for _, envelope in self._client._http.events(self._path("/events"), last=after):
            yield envelope

    def logs(self, task: Optional[str] = None, *, follow: bool = False) -> Iterator[Dict[str, Any]]:
        """What tasks said: `time`, `level`, `worker`, `task`, `attempt`, `message`. `follow` goes on to the job's end."""
        yield from self._client._logs(self._path("/logs"), task, follow)

    def tasks(self) -> Iterator[Dict[str, Any]]:
        """The job's tasks and how far each is."""
        yield from self._client._pages(self._path("/tasks"), "tasks", {})

    def plot(self, kind: Optional[str] = None, table: Optional[str] = None) -> Any:
        """A figure of the result with matplotlib: a volcano plot of a test's table, the scores of a
        PCA, else histograms of the numeric columns. `kind`: "volcano", "pca" or "histogram"."""
        from .plots import plot

        names = [t["name"] for t in self.summary.get("tables", [])]
        chosen = table or ("scores" if kind in (None, "pca") and "scores" in names else None)
        if not names:
            raise NotFound({"code": "not_found", "detail": f"job {short(self.id)} gave no table to plot"})
        return plot(self.result(chosen, as_="rows"), kind)
