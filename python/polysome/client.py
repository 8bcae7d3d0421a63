"""The service: hand in jobs, name datasets, look at queue and cluster."""

from __future__ import annotations

import json
import pathlib
import types
import uuid
from typing import Any, Dict, Iterator, List, Optional, Sequence, Type, Union

from .connection import Connection, segment
from .errors import NotFound
from .job import Job

Dataset = Union[str, Job, "pathlib.PurePath"]
# Members of a data/load body; all else that `load` is given is the dataset's layout.
_LOAD = ("format", "columns", "replace", "materialize", "partition_size")
_SHORTEST_END = 6


def name_of(dataset: Dataset) -> str:
    """How a dataset is named in a request: a job stands for its result."""
    if isinstance(dataset, Job):
        return f"job:{dataset.id}"
    return str(dataset)


def submit_body(
    operation: str,
    dataset: Union[None, Dataset, Sequence[Dataset]],
    job: Optional[Dict[str, Any]],
    parameters: Dict[str, Any],
) -> Dict[str, Any]:
    """The body of jobs/submit."""
    body: Dict[str, Any] = {"operation": operation}
    if isinstance(dataset, (list, tuple)):
        body["dataset_id"] = [name_of(d) for d in dataset]
    elif dataset is not None:
        body["dataset_id"] = name_of(dataset)  # type: ignore[arg-type]
    body["parameters"] = parameters
    for key, value in (job or {}).items():
        if key in body and key != "dataset_id":
            raise TypeError(f'job={{"{key}": …}}: {key} is an argument of its own')
        if key == "depends_on":
            value = [j.id if isinstance(j, Job) else j for j in (value if isinstance(value, (list, tuple)) else [value])]
        body[key] = value
    return body


class Cluster:
    """The workers of a service: `client.cluster`."""

    def __init__(self, http: Connection) -> None:
        self._http = http

    def start(self, *, wait: float = 30, **settings: Any) -> Dict[str, Any]:
        """Starts the workers (`n_workers`, `threads_per_worker`, `memory_limit`); answers the status
        when they are up or after `wait` seconds."""
        return self._answer("start", settings, wait)

    def stop(self, *, force: bool = False, wait: float = 30) -> Dict[str, Any]:
        """Stops them; running jobs go back to the queue and lose no finished task."""
        return self._answer("stop", {"mode": "force"} if force else {}, wait)

    def scale(self, n_workers: int, *, wait: float = 30) -> Dict[str, Any]:
        """More or fewer workers, 1 to 32; running tasks end first."""
        return self._answer("scale", {"n_workers": n_workers}, wait)

    def status(self) -> Dict[str, Any]:
        """State, size and each worker."""
        status: Dict[str, Any] = self._http.get("cluster/status")
        return status

    def _answer(self, action: str, body: Dict[str, Any], wait: float) -> Dict[str, Any]:
        answer: Dict[str, Any] = self._http.json(
            "POST", f"cluster/{action}", body=body, query={"wait": wait}, timeout=wait + 60
        )
        return answer


class Client:
    """A Polysome service.

    `url`: its address, else POLYSOME_URL, else http://localhost:8001. `token`: else POLYSOME_TOKEN or
    the file POLYSOME_TOKEN_FILE; on the service's own machine none is needed. A client is for one
    thread; make one for each. It may be used as a context manager."""

    def __init__(self, url: Optional[str] = None, *, token: Optional[str] = None, timeout: float = 60) -> None:
        self._http = Connection(url, token, timeout)
        self.cluster = Cluster(self._http)

    @property
    def url(self) -> str:
        return self._http.url

    def __repr__(self) -> str:
        return f"<polysome.Client {self.url}>"

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[types.TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; the client can be used on."""
        self._http.close()

    # ---- jobs ----
    def submit(
        self,
        operation: str,
        dataset: Union[None, Dataset, Sequence[Dataset]] = None,
        /,
        *,
        job: Optional[Dict[str, Any]] = None,
        **parameters: Any,
    ) -> Job:
        """Hands in a job and answers it at once; it is on the service's disk then.

        `dataset`: a dataset's name, a `Job` whose result to take, or a list of them. `job`: what is
        asked beside the operation's own `parameters`, such as `priority`, `max_memory_gb`,
        `max_cores`, `layout`, `output`, `depends_on`, `name`, `tags`."""
        return self._new_job("jobs/submit", submit_body(operation, dataset, job, parameters))

    def validate(
        self,
        operation: str,
        dataset: Union[None, Dataset, Sequence[Dataset]] = None,
        /,
        *,
        job: Optional[Dict[str, Any]] = None,
        **parameters: Any,
    ) -> Dict[str, Any]:
        """What `submit` would say and do, without doing it: `valid`, `errors`, `plan`, `estimate`."""
        body = submit_body(operation, dataset, job, parameters)
        answer: Dict[str, Any] = self._http.json("POST", "jobs/validate", body=body, again=True)
        return answer

    def job(self, name: str) -> Job:
        """A job by its id, the last 6 or more characters of it, a unique name, or "last"."""
        if len(name) == 36:
            return self._known(self._http.get(f"jobs/{segment(name)}"))
        if name == "last":
            for known in self.jobs(limit=1):
                return known
            raise NotFound({"code": "not_found", "detail": f"there is no job at {self.url} yet"})
        found = list(self.jobs(name=name, limit=2))
        if not found and len(name) >= _SHORTEST_END:
            found = [j for j in self.jobs() if j.id.endswith(name.lower())]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(j.id for j in found[:3])
            raise NotFound({"code": "not_found", "detail": f'"{name}" could be several jobs: {ids}'})
        # The service names the nearest there is.
        return self._known(self._http.get(f"jobs/{segment(name)}"))

    def jobs(self, *, limit: Optional[int] = None, **filters: Any) -> Iterator[Job]:
        """Jobs, newest first: by `status`, `user`, `operation`, `dataset_id`, `name`, `tag`, `priority`,
        `since`, `until`."""
        for n, status in enumerate(self._pages("jobs/list", "jobs", filters, limit)):
            if limit is not None and n >= limit:
                return
            yield Job(self, status["job_id"])

    def _known(self, status: Dict[str, Any]) -> Job:
        job = Job(self, status["job_id"])
        job._note(status)
        return job

    def _new_job(self, path: str, body: Dict[str, Any]) -> Job:
        # With a key a lost answer does not make a second job.
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        answer = self._http.json("POST", path, body=body, headers=headers, again=True)
        return Job(self, answer["job_id"])

    def _pages(
        self, path: str, key: str, query: Dict[str, Any], limit: Optional[int] = None
    ) -> Iterator[Dict[str, Any]]:
        asked = {**query, "limit": 1000 if limit is None else max(1, min(limit, 1000))}
        while True:
            page = self._http.get(path, asked)
            yield from page[key]
            asked["page_token"] = page["next_page_token"]
            if not asked["page_token"]:
                return

    def _logs(self, path: str, task: Optional[str], follow: bool) -> Iterator[Dict[str, Any]]:
        if not follow:
            yield from self._pages(path, "logs", {"task": task})
            return
        answer = self._http.send("GET", path, query={"task": task, "follow": "true"}, stream=True, again=True)
        with answer:
            for line in answer.iter_lines(chunk_size=1):
                if line.strip():
                    yield json.loads(line)

    # ---- data ----
    def load(self, dataset_id: str, source: Union[str, "pathlib.PurePath", List[Dict[str, Any]]], **more: Any) -> Dict[str, Any]:
        """Gives data a name: a path, folder or glob below a data folder of the service, a database
        address, or a list of rows (dicts). Answers the dataset's record.

        `format`, `columns`, `replace`, `materialize` go with it; all else is its layout, such as
        `orientation="features_as_rows"`, `label_columns`, `scale`, `delimiter`, `null_values`."""
        body: Dict[str, Any] = {"dataset_id": dataset_id}
        if isinstance(source, list):
            body["rows"] = source
        else:
            body["source"] = str(source)
        body.update({k: v for k, v in more.items() if k in _LOAD})
        layout = {k: v for k, v in more.items() if k not in _LOAD}
        if layout:
            body["layout"] = layout
        answer: Dict[str, Any] = self._http.json("POST", "data/load", body=body, timeout=600)
        return answer

    def datasets(self) -> List[Dict[str, Any]]:
        """The datasets the service knows."""
        return list(self._pages("data/datasets", "datasets", {}))

    def dataset(self, dataset_id: str) -> Dict[str, Any]:
        """One dataset: all its columns, layout, size, files."""
        path = f"data/datasets/{segment(dataset_id)}"
        answer: Dict[str, Any] = self._http.get(path)
        while token := answer.pop("next_page_token", None):
            page = self._http.get(path, {"page_token": token})
            answer["columns"] += page["columns"]
            answer["next_page_token"] = page["next_page_token"]
        return answer

    def forget(self, dataset_id: str) -> Dict[str, Any]:
        """Forgets a loaded name; files stay."""
        answer: Dict[str, Any] = self._http.json("DELETE", f"data/datasets/{segment(dataset_id)}")
        return answer

    def partition(self, dataset: Dataset, **more: Any) -> Dict[str, Any]:
        """How a dataset would be cut (`partition_size`, `n_workers`, `layout`)."""
        body = {"dataset_id": name_of(dataset), **more}
        answer: Dict[str, Any] = self._http.json("POST", "data/partition", body=body, timeout=600)
        return answer

    # ---- the service ----
    def operations(self) -> List[Dict[str, Any]]:
        """The operations there are: name, text, parameters."""
        found: List[Dict[str, Any]] = self._http.get("operations")["operations"]
        return found

    def operation(self, name: str) -> Dict[str, Any]:
        """One operation: the JSON Schema of its parameters, its tables, an example."""
        answer: Dict[str, Any] = self._http.get(f"operations/{segment(name)}")
        return answer

    def queue(self) -> Dict[str, Any]:
        """What waits, in the order it would start, and why."""
        answer: Dict[str, Any] = self._http.get("queue/status")
        return answer

    def health(self) -> Dict[str, Any]:
        """healthy, degraded or unhealthy, and why."""
        answer: Dict[str, Any] = self._http.get("health")
        return answer

    def metrics(self, **query: Any) -> Dict[str, Any]:
        """The newest figures of the cluster; with `since` and `step` their history."""
        answer: Dict[str, Any] = self._http.get("metrics/cluster", query)
        return answer

    def version(self) -> str:
        """The service's version."""
        return str(self._http.get("/version")["version"])

    def events(self, **filters: Any) -> Iterator[Dict[str, Any]]:
        """Events of all jobs and the cluster from now on, live (`job_id`, `user`, `type`)."""
        for _, envelope in self._http.events("events", query=filters):
            yield envelope

    def request(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Any other route: the JSON of its answer. `path` is below /api/processing."""
        answer = self._http.send(method, path, query=query, body=body)
        return json.loads(answer.content) if answer.content else None
