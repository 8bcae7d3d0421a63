"""What can go wrong, as exceptions. Each carries the problem object of the service (RFC 9457) and
prints as a person would want to read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional

if TYPE_CHECKING:
    from .job import Job

Problem = Dict[str, Any]
_MOST_PLACES = 5


def _place(item: Dict[str, Any]) -> str:
    """One entry of `errors`: a place in the request or in a data file."""
    if item.get("file"):
        where = str(item["file"])
        if item.get("line"):
            where += f", line {item['line']:,}"
        if item.get("column"):
            where += f', column "{item["column"]}"'
        text = f'"{item["value"]}"' if item.get("value") not in (None, "") else ""
        return ": ".join(part for part in (where, text or str(item.get("message", ""))) if part)
    return ": ".join(part for part in (str(item.get("pointer", "")), str(item.get("message", ""))) if part)


def describe(problem: Problem) -> str:
    """The problem as text: what and why, then the places, then what to try."""
    lines = [str(problem.get("detail") or problem.get("title") or "the service gave no reason")]
    errors: List[Dict[str, Any]] = problem.get("errors") or []
    places = [_place(e) for e in errors if e.get("message") != problem.get("detail")]
    lines += [f"  {place}" for place in places[:_MOST_PLACES]]
    if len(places) > _MOST_PLACES:
        lines.append(f"  and {len(places) - _MOST_PLACES} more")
    if problem.get("hint"):
        lines.append(f"hint: {problem['hint']}")
    return "\n".join(lines)


class PolysomeError(Exception):
    """Anything the service refuses or fails at. `problem` is its own object, `hint` the next thing to try."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(describe(problem))
        self.problem = problem

    @property
    def code(self) -> str:
        """The error's name in the closed list of /docs/problems, such as "invalid"."""
        return str(self.problem.get("code", ""))

    @property
    def status(self) -> Optional[int]:
        """The HTTP status, None when there was no answer."""
        status = self.problem.get("status")
        return int(status) if status is not None else None

    @property
    def hint(self) -> str:
        return str(self.problem.get("hint", ""))

    @property
    def errors(self) -> List[Dict[str, Any]]:
        """The places that are wrong: `pointer` into the request, or `file`, `line`, `column`, `value`."""
        return list(self.problem.get("errors") or [])

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return bool(self.problem.get("retryable", False))


class InvalidRequest(PolysomeError):
    """400, 413, 415, 422: the request is wrong; `errors` say where."""


class NotAllowed(PolysomeError):
    """401, 403: who calls is not known, or may not do this."""


class NotFound(PolysomeError):
    """404, 410: there is no such job, dataset or table, or no longer."""


class Conflict(PolysomeError):
    """409: the request does not fit how things are now."""


class Unavailable(PolysomeError):
    """Nobody answers, or the service can't take more just now (429, 503, 507)."""


class ServiceError(PolysomeError):
    """500: a defect of the service, or an answer that is not Polysome's."""


class StillRunning(PolysomeError, TimeoutError):
    """`wait` gave up before the job's end; the job goes on."""


class JobFailed(PolysomeError):
    """The job came to an end without a result. `error` is the job's problem object, `job` the job
    (None when it ran without a service)."""

    def __init__(self, problem: Problem, job: Optional["Job"] = None) -> None:
        super().__init__(problem)
        self.error = problem
        self.job = job


class JobCancelled(JobFailed):
    """The job was cancelled."""


def error_of(status: int, problem: Problem) -> PolysomeError:
    """The exception for an answer of this HTTP status."""
    if status in (401, 403):
        return NotAllowed(problem)
    if status in (404, 410):
        return NotFound(problem)
    if status == 409:
        return Conflict(problem)
    if status in (408, 429, 503, 507):
        return Unavailable(problem)
    if status >= 500:
        return ServiceError(problem)
    return InvalidRequest(problem)
