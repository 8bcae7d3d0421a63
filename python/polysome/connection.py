"""HTTP to one service: address, token, errors as exceptions, a second try where that is safe."""

from __future__ import annotations

import json
import os
import pathlib
import time
import urllib.parse
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple, Union

import requests
import requests.auth

from ._version import __version__
from .errors import NotAllowed, ServiceError, Unavailable, error_of

BASE = "/api/processing"
DEFAULT_URL = "http://localhost:8001"
_TRIES = 4
_FIRST_PAUSE = 0.2

Query = Mapping[str, Union[str, int, float, None]]


class _Bearer(requests.auth.AuthBase):
    """A token as header. Given as `auth`, so that an entry of ~/.netrc does not take its place."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def address_of(url: Optional[str]) -> str:
    """The service's address: as given, else POLYSOME_URL, else the local one."""
    text = url or os.environ.get("POLYSOME_URL") or DEFAULT_URL
    if "://" not in text:
        text = f"http://{text}"
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f'"{url or text}" is not the address of a service; such as {DEFAULT_URL}')
    path = parts.path.rstrip("/")
    if path.endswith(BASE):
        path = path[: -len(BASE)]
    return f"{parts.scheme}://{parts.netloc}{path}"


def token_of(token: Optional[str]) -> Optional[str]:
    """The token: as given, else POLYSOME_TOKEN, else the content of POLYSOME_TOKEN_FILE."""
    if token is not None:
        return token or None
    if os.environ.get("POLYSOME_TOKEN"):
        return os.environ["POLYSOME_TOKEN"]
    file = os.environ.get("POLYSOME_TOKEN_FILE")
    if not file:
        return None
    try:
        return pathlib.Path(file).read_text(encoding="utf-8").strip() or None
    except OSError as e:
        problem = {
            "code": "unauthorized",
            "detail": f"the token can't be read from {file} (POLYSOME_TOKEN_FILE): {e.strerror}",
        }
        raise NotAllowed(problem) from None


def _problem_of(answer: requests.Response, url: str) -> Dict[str, Any]:
    try:
        problem = json.loads(answer.content)
    except ValueError:
        problem = None
    if isinstance(problem, dict) and "detail" in problem:
        return problem
    return {
        "status": answer.status_code,
        "code": "internal",
        "detail": f"{url} answered {answer.status_code} without a reason",
        "hint": "is this a Polysome service?",
    }


class Connection:
    """One service. Not for several threads at once; make a client for each."""

    def __init__(self, url: Optional[str], token: Optional[str], timeout: float) -> None:
        self.url = address_of(url)
        self.timeout = timeout
        self._auth = None
        secret = token_of(token)
        if secret is not None:
            self._auth = _Bearer(secret)
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"polysome-python/{__version__}"
        # A proxy of the site can't reach this machine's own addresses.
        host = urllib.parse.urlsplit(self.url).hostname or ""
        local = host in ("localhost", "::1") or host.startswith("127.")
        self._proxies: Optional[Dict[str, Any]] = {"http": None, "https": None, "all": None} if local else None

    def close(self) -> None:
        self._session.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Query] = None,
        body: Any = None,
        data: Any = None,
        headers: Optional[Dict[str, str]] = None,
        timeout: Optional[float] = None,
        stream: bool = False,
        again: bool = False,
    ) -> requests.Response:
        """One request, answered with success. `path` is below the API, or whole with a leading /.
        `again`: the request may safely be sent twice, so a lost connection is tried anew."""
        url = self.url + (path if path.startswith("/") else f"{BASE}/{path}")
        query = {k: v for k, v in (query or {}).items() if v is not None}
        if body is not None:
            data = json.dumps(body, default=plain, allow_nan=False).encode()
            headers = {**(headers or {}), "Content-Type": "application/json"}
        tries = _TRIES if again else 1
        for n in range(tries):
            try:
                answer = self._session.request(
                    method,
                    url,
                    params=query,
                    data=data,
                    headers=headers,
                    auth=self._auth,
                    proxies=self._proxies,
                    timeout=(10, timeout or self.timeout),
                    stream=stream,
                    allow_redirects=False,
                )
                break
            except (requests.ConnectionError, requests.Timeout) as e:
                if n + 1 == tries:
                    raise Unavailable(self._nobody(e)) from e
                time.sleep(_FIRST_PAUSE * 2**n)
        if 200 <= answer.status_code < 300:
            return answer
        raise error_of(answer.status_code, _problem_of(answer, self.url))

    def _nobody(self, e: Exception) -> Dict[str, Any]:
        refused = isinstance(e, requests.ConnectionError) and "refused" in str(e)
        return {
            "code": "unavailable",
            "retryable": True,
            "detail": f"no service answers at {self.url}" if refused else f"the connection to {self.url} broke: {e}",
            "hint": "start one with polysome serve, or give its address: Client(url) or POLYSOME_URL",
        }

    def json(self, method: str, path: str, **arguments: Any) -> Any:
        """The JSON of the answer."""
        answer = self.send(method, path, **arguments)
        try:
            return answer.json()
        except ValueError:
            problem = {"code": "internal", "detail": f"the answer of {self.url} is not JSON"}
            raise ServiceError({**problem, "hint": "is this a Polysome service?"}) from None

    def get(self, path: str, query: Optional[Query] = None, **arguments: Any) -> Any:
        return self.json("GET", path, query=query, again=True, **arguments)

    def events(
        self, path: str, query: Optional[Query] = None, last: Optional[int] = None
    ) -> Iterator[Tuple[int, Dict[str, Any]]]:
        """Server-sent events as (id, envelope), until the service ends the stream. Broken streams go
        on where they stopped."""
        lost = 0
        while True:
            headers = {"Accept": "text/event-stream"}
            if last is not None:
                headers["Last-Event-ID"] = str(last)
            try:
                answer = self.send("GET", path, query=query, headers=headers, stream=True, again=True)
                if answer.status_code == 204:
                    return
                number: Optional[int] = None
                with answer:
                    for line in answer.iter_lines(chunk_size=1):
                        text = line.decode("utf-8")
                        if text.startswith("id:"):
                            number = int(text[3:])
                        elif text.startswith("data:") and number is not None:
                            last, lost = number, 0
                            yield number, json.loads(text[5:])
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as e:
                lost += 1
                if lost >= _TRIES:
                    raise Unavailable(self._nobody(e)) from e
                time.sleep(_FIRST_PAUSE * 2**lost)
                continue
            if last is None:
                return


def plain(value: Any) -> Any:
    """numpy's values and paths in a body, as JSON has them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a request can't hold a {type(value).__name__}")


def segment(text: str) -> str:
    """One part of a path."""
    return urllib.parse.quote(text, safe="")
