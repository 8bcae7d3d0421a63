"""Polysome from Python: hand in jobs, follow them, take their results as tables.

    import polysome

    c = polysome.Client()
    job = c.submit("aggregate", "my_dataset", column="expression", operation="mean")
    job.wait()
    job.value

`polysome.run` does one job on this machine with no service. Every error of the service is a
`PolysomeError` that says what, where, why and what to try; its `problem` is the object the REST
interface answers.
"""

from ._version import __version__
from .client import Client, Cluster
from .errors import (
    Conflict,
    InvalidRequest,
    JobCancelled,
    JobFailed,
    NotAllowed,
    NotFound,
    PolysomeError,
    ServiceError,
    StillRunning,
    Unavailable,
)
from .job import Job
from .local import run

__all__ = [
    "Client",
    "Cluster",
    "Conflict",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobFailed",
    "NotAllowed",
    "NotFound",
    "PolysomeError",
    "ServiceError",
    "StillRunning",
    "Unavailable",
    "__version__",
    "run",
]
