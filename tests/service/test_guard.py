"""Who may call from this machine, and how large and how slow a request may be."""

import json
import socket
import time

import pytest

from polysome_service import API, PATIENCE

SUBMIT = json.dumps({"operation": "noop"})


def raw(service, request, seconds=30):
    """Sends bytes, answers what comes back until the service closes or has answered."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=seconds * PATIENCE) as s:
        s.sendall(request if isinstance(request, bytes) else request.encode())
        data = b""
        while b"\r\n\r\n" not in data:
            piece = s.recv(65536)
            if not piece:
                break
            data += piece
        return data.decode(errors="replace")


def code(answer):
    return int(answer.split(" ", 2)[1]) if answer else None


def post(service, *headers, body=SUBMIT, host=None):
    lines = [
        f"POST {API}/jobs/submit HTTP/1.1",
        f"Host: {host or f'localhost:{service.port}'}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    ]
    return code(raw(service, "\r\n".join(lines) + "\r\n\r\n" + body))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "localhost:1234"])
def test_loopback_names_are_answered_with_any_port(shared_service, host):
    assert post(shared_service, "Content-Type: application/json", host=host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example:8001"]
)
def test_other_host_names_are_refused(shared_service, host):
    assert post(shared_service, "Content-Type: application/json", host=host) in (401, 403)


@pytest.mark.parametrize(
    "header",
    [
        "Origin: http://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "X-Forwarded-For: 1.2.3.4",
        "Forwarded: for=1.2.3.4",
    ],
)
def test_browsers_of_other_pages_and_proxies_are_refused(shared_service, header):
    assert post(shared_service, "Content-Type: application/json", header) in (401, 403)


def test_the_own_page_is_answered(shared_service):
    assert (
        post(
            shared_service,
            "Content-Type: application/json",
            f"Origin: http://localhost:{shared_service.port}",
            "Sec-Fetch-Site: same-origin",
        )
        == 200
    )


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_body_must_be_json(shared_service, kind):
    assert post(shared_service, f"Content-Type: {kind}") == 415


def test_bodies_that_are_no_json_are_malformed(shared_service):
    for body in ("{", "[1,", '{"a": 1} x', '{"a": NaN}', "\xff", ""):
        answer = shared_service.request(
            "POST", "jobs/submit", data=body.encode("latin-1"), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 422), body
        assert answer.json()["detail"]
    assert shared_service.request("POST", "jobs/submit", json=[1]).status_code in (400, 422)


def test_depth_of_json_is_limited(shared_service):
    deep = '{"operation": "noop", "parameters": ' + "[" * 40 + "]" * 40 + "}"
    answer = shared_service.request(
        "POST", "jobs/submit", data=deep, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400 and "32" in answer.json()["detail"]
    deeper = "[" * 100_000
    assert (
        shared_service.request(
            "POST", "jobs/submit", data=deeper, headers={"Content-Type": "application/json"}
        ).status_code
        == 400
    )


def test_bodies_over_a_megabyte_are_refused(shared_service):
    body = json.dumps({"operation": "noop", "name": "x" * 1_100_000})
    assert post(shared_service, "Content-Type: application/json", body=body) == 413
    assert shared_service.get("health")["status"] == "healthy"


def test_headers_over_8_kilobytes_are_refused(shared_service):
    assert post(shared_service, "Content-Type: application/json", "X-Long: " + "x" * 9000) == 431


def test_a_request_that_never_ends_is_cut_off(shared_service):
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", shared_service.port), timeout=60 * PATIENCE) as s:
        s.sendall(f"GET {API}/health HTTP/1.1\r\nHost: localhost".encode())
        answer = s.recv(65536)
    waited = time.monotonic() - began
    assert 8 < waited < 30 * PATIENCE, "the header time-out is 10 s"
    assert answer == b"" or code(answer.decode()) == 408


@pytest.mark.parametrize(
    "text",
    [
        b"\x00\x01\x02",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n" * 100 + b"nonsense\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_nonsense_is_answered_or_dropped_and_harms_nobody(shared_service, text):
    answer = raw(shared_service, text, 30)
    assert answer == "" or 400 <= code(answer) < 600
    assert shared_service.get("health")["status"] == "healthy"


def test_paths_do_not_lead_out(shared_service):
    for path in (
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        f"{API}/jobs/..%2f..%2fetc%2fpasswd/status",
    ):
        answer = raw(shared_service, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert code(answer) in (400, 404) and "root:" not in answer


def test_not_loopback_needs_a_token(make_service):
    service = make_service(arguments=["--host", "0.0.0.0"])
    with pytest.raises(AssertionError, match="the service ended with"):
        service.start()
    assert "token" in service.log()
    service.process = None
