"""Who may call: tokens, other users of the machine, pages of other origins, proxies; and what they may do."""

import json
import os
import socket
import stat
import subprocess
import sys

import pytest
import requests

import polysome
import tables
from polysome_service import API, PATIENCE, PROGRAM, clean_environment

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can call as another user")


def cli(*arguments, expect=0, **environment):
    done = subprocess.run(
        [str(PROGRAM), *[str(a) for a in arguments]],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**clean_environment(), **environment},
        timeout=60 * PATIENCE,
    )
    assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def make_token(service, name, *flags):
    return cli("token", "new", name, "--state-dir", service.state, *flags).stdout.strip()


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def own_address():
    """An address of this machine that is not loopback; no packet is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            address = s.getsockname()[0]
        except OSError:
            address = "127.0.0.1"
    if address.startswith("127."):
        pytest.skip("this machine has loopback addresses only")
    return address


CALLER = """
import json, sys, urllib.request, urllib.error
method, url, body = sys.argv[1:4]
request = urllib.request.Request(url, method=method, data=body.encode() or None,
                                 headers={"Content-Type": "application/json"} if body else {})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    answer = opener.open(request, timeout=60)
except urllib.error.HTTPError as e:
    answer = e
print(json.dumps([answer.status, json.loads(answer.read())]))
"""


def as_nobody(service, method, path, body=None):
    """One call by the user nobody: status and JSON."""
    done = subprocess.run(
        ["/usr/bin/python3", "-c", CALLER, method, service.address(f"{API}/{path}"), json.dumps(body) if body is not None else ""],
        capture_output=True,
        text=True,
        user="nobody",
        group="nogroup",
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        timeout=60 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ---- tokens ----


def test_a_token_is_printed_once_and_kept_as_a_hash_only_its_owner_can_read(tmp_path):
    file = tmp_path / "tokens"
    done = cli("token", "new", "ada", "--token-file", file)
    token = done.stdout.strip()
    assert token.startswith("ps_") and len(token) > 40 and "once" in done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in file.read_text() and file.read_text().startswith("ada:")
    again = cli("token", "new", "ada", "--token-file", file, expect=7)
    assert "token revoke ada" in again.stderr
    cli("token", "new", "ops", "--admin", "--submit-for", "--token-file", file)
    listed = cli("token", "list", "--token-file", file, "-o", "json").stdout
    assert json.loads(listed)["tokens"] == [
        {"name": "ada", "scopes": ""},
        {"name": "ops", "scopes": "admin, submit_for"},
    ]
    cli("token", "revoke", "ada", "--token-file", file)
    assert [line.split(":")[0] for line in file.read_text().splitlines()] == ["ops"]
    missing = cli("token", "revoke", "opps", "--token-file", file, expect=5)
    assert 'did you mean "ops"' in missing.stderr
    assert "can't be the name" in cli("token", "new", "a b", "--token-file", file, expect=2).stderr


def test_a_token_file_that_others_can_read_stops_the_start(make_service):
    service = make_service()
    file = service.folder / "tokens"
    cli("token", "new", "ada", "--token-file", file)
    file.chmod(0o644)
    service.arguments = ["--token-file", str(file)]
    with pytest.raises(AssertionError, match="the service ended with 4"):
        service.start()
    assert f"chmod 600 {file}" in service.log()
    service.process = None
    file.chmod(0o600)
    file.write_text("ada:123\n")
    with pytest.raises(AssertionError, match="the service ended with 2"):
        service.start()
    assert f"{file}:1:" in service.log()
    service.process = None


def test_other_machines_are_let_in_with_a_token_only(make_service, tmp_path):
    address = own_address()
    service = make_service(arguments=["--host", "0.0.0.0"])
    with pytest.raises(AssertionError, match="the service ended with"):
        service.start()
    assert "polysome token new" in service.log()
    service.process = None
    token = make_token(service, "ada")
    service.start()
    far = f"http://{address}:{service.port}{API}"
    with requests.Session() as http:
        http.trust_env = False
        refused = http.get(f"{far}/health")
        assert refused.status_code == 401
        assert "Bearer" in refused.headers["WWW-Authenticate"] and "Basic" in refused.headers["WWW-Authenticate"]
        problem = refused.json()
        assert problem["code"] == "unauthorized" and "polysome token new NAME" in problem["hint"]
        assert str(service.state / "tokens") in problem["hint"]
        assert http.get(f"{far}/health", headers=bearer("ps_wrong")).status_code == 401
        assert http.get(f"{far}/health", headers=bearer(token)).status_code == 200
        assert http.get(f"{far}/health", auth=("anything", token)).status_code == 200
        assert http.get(f"http://{address}:{service.port}/livez").status_code == 200
        job = http.post(f"{far}/jobs/submit", json={"operation": "noop"}, headers=bearer(token)).json()
    assert service.status(job["job_id"])["user"] == "ada"
    # On this machine nothing is needed.
    assert service.get("health")["status"] == "healthy"

    # ~/.netrc, the command line and the Python client.
    (tmp_path / "netrc").write_text(f"machine {address} login ada password {token}\n")
    (tmp_path / "netrc").chmod(0o600)
    (tmp_path / "token").write_text(token + "\n")
    netrc = subprocess.run(
        [sys.executable, "-c", f"import requests; print(requests.get('{far}/health').status_code)"],
        capture_output=True,
        text=True,
        env={**clean_environment(), "NETRC": str(tmp_path / "netrc"), "no_proxy": "*"},
    )
    assert netrc.stdout.strip() == "200", netrc.stderr
    url = f"http://{address}:{service.port}"
    assert "401" not in cli("list", "--url", url, POLYSOME_TOKEN=token).stderr
    cli("list", "--url", url, POLYSOME_TOKEN_FILE=str(tmp_path / "token"))
    refused = cli("list", "--url", url, expect=4)
    assert "token" in refused.stderr
    assert polysome.Client(url, token=token).health()["status"] == "healthy"
    with pytest.raises(polysome.NotAllowed, match="polysome token new"):
        polysome.Client(url).health()


def test_tokens_made_and_taken_back_are_known_without_a_restart(service):
    for path in ("health", "version"):
        assert service.request("GET", "health").status_code == 200
    make_token(service, "first")
    service.stop()
    service.start()
    ada = make_token(service, "ada")
    assert service.request("GET", "health", headers=bearer(ada)).status_code == 200
    cli("token", "revoke", "ada", "--state-dir", service.state)
    assert service.request("GET", "health", headers=bearer(ada)).status_code == 401


def test_owners_and_admins_may_and_others_may_not(make_service):
    service = make_service()
    tables.write(tables.expression_table(), service.data / "my_dataset.csv")
    ada, bob = make_token(service, "ada"), make_token(service, "bob")
    admin, proxy = make_token(service, "ops", "--admin"), make_token(service, "web", "--submit-for")
    service.start()
    service.start_cluster(1, 2)
    body = {"operation": "aggregate", "dataset_id": "my_dataset", "parameters": {"column": "expression", "operation": "mean"}}
    job = service.post("jobs/submit", body, headers=bearer(ada))["job_id"]
    service.complete(job)

    mine = service.get(f"jobs/{job}/status", headers=bearer(ada))
    assert mine["user"] == "ada" and mine["parameters"]["column"] == "expression" and "value" in mine["result"]
    seen = service.get(f"jobs/{job}/status", headers=bearer(bob))
    assert seen["status"] == "completed" and seen["parameters"] is None and seen["result"] is None
    assert seen["hidden"] == ["parameters", "result"]
    listed = service.get("jobs/list?view=full", headers=bearer(bob))["jobs"]
    assert [j["job_id"] for j in listed] == [job] and listed[0]["result"] is None
    for method, path in (("GET", "result"), ("POST", "cancel")):
        problem = service.refused(method, f"jobs/{job}/{path}", 403, headers=bearer(bob))
        assert "ada" in problem["detail"] and "--admin" in problem["hint"]
    assert service.get(f"jobs/{job}/result", headers=bearer(admin))["n_rows"] == 1
    service.refused("POST", "jobs/submit", 403, {**body, "dataset_id": f"job:{job}"}, headers=bearer(bob))

    problem = service.refused("POST", "jobs/submit", 403, {**body, "user": "ada"}, headers=bearer(bob))
    assert problem["errors"][0]["pointer"] == "/user"
    theirs = service.post("jobs/submit", {**body, "user": "ada"}, headers=bearer(proxy))["job_id"]
    assert service.get(f"jobs/{theirs}", headers=bearer(ada))["user"] == "ada"
    # A key is its caller's: the same one of two callers makes two jobs.
    keyed = [
        service.post("jobs/submit", body, headers={**bearer(t), "Idempotency-Key": "k"})["job_id"] for t in (ada, bob)
    ]
    assert keyed[0] != keyed[1]


# ---- this machine's users ----


@AS_ROOT
@pytest.mark.parametrize("flags", [[], ["--allow-all-local"], ["--allow-group", "nogroup"], ["--allow-group", "root"]])
def test_other_users_of_the_machine_call_when_a_flag_lets_them(make_service, flags):
    service = make_service(arguments=flags).start()
    status, body = as_nobody(service, "GET", "health")
    if flags in ([], ["--allow-group", "root"]):
        assert status == 403 and "nobody" in body["detail"]
        assert "--allow-group" in body["hint"] and "--allow-all-local" in body["hint"]
        return
    assert status == 200
    assert ("allow-all-local" in service.log()) == (flags == ["--allow-all-local"])
    status, job = as_nobody(service, "POST", "jobs/submit", {"operation": "noop"})
    assert status == 200 and service.status(job["job_id"])["user"] == "nobody"
    assert as_nobody(service, "POST", "jobs/submit", {"operation": "noop", "user": "root"})[0] == 403
    mine = service.submit("noop", parameters={"tasks": 2})
    status, seen = as_nobody(service, "GET", f"jobs/{mine}/status")
    assert status == 200 and seen["parameters"] is None
    assert as_nobody(service, "POST", f"jobs/{mine}/cancel", {})[0] == 403
    # Root and the service's own account are admins.
    assert service.post(f"jobs/{job['job_id']}/cancel")["status"] == "cancelled"


# ---- pages and proxies ----


def test_pages_of_an_allowed_origin_may_call_and_read_the_answers(make_service):
    page = "https://lab.example"
    service = make_service(arguments=["--allow-origin", page]).start()
    asked = {"Origin": page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    preflight = service.request("OPTIONS", "jobs/submit", headers=asked)
    assert preflight.status_code == 204 and preflight.content == b""
    assert preflight.headers["Access-Control-Allow-Origin"] == page
    assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
    answer = service.request(
        "POST", "jobs/submit", json={"operation": "noop"}, headers={"Origin": page, "Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 200 and answer.headers["Access-Control-Allow-Origin"] == page
    assert "Location" in answer.headers["Access-Control-Expose-Headers"]
    missing = service.request("GET", "jobs/none", headers={"Origin": page})
    assert missing.status_code == 404 and missing.headers["Access-Control-Allow-Origin"] == page
    for other in ("https://evil.example", "null"):
        refused = service.request("OPTIONS", "jobs/submit", headers={**asked, "Origin": other})
        assert refused.status_code == 403 and "Access-Control-Allow-Origin" not in refused.headers
        assert f"--allow-origin {other}" in refused.json()["hint"]


def test_a_host_name_can_be_allowed(make_service):
    service = make_service(arguments=["--allow-host", "lab.example"]).start()
    assert service.request("GET", "health", headers={"Host": "lab.example"}).status_code == 200
    assert service.request("GET", "health", headers={"Host": "evil.example"}).status_code == 403


def test_a_trusted_proxy_brings_callers_with_tokens(make_service):
    service = make_service(arguments=["--trust-proxy", "127.0.0.1", "--trust-proxy", "::1"])
    ada = make_token(service, "ada")
    service.start()
    forwarded = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "Host": "lab.example"}
    refused = service.request("GET", "health", headers=forwarded)
    assert refused.status_code == 401 and "203.0.113.9" in refused.json()["detail"]
    assert service.request("GET", "health", headers={**forwarded, **bearer(ada)}).status_code == 200


def test_flags_that_make_no_sense_stop_the_start(make_service):
    for flags, said in (
        (["--trust-proxy", "10.0.0.0/99"], "10.0.0.0/99"),
        (["--allow-group", "no-such-group"], "no such group"),
    ):
        service = make_service(arguments=flags, name=said.replace("/", "_").replace(" ", "_"))
        with pytest.raises(AssertionError, match="the service ended with 2"):
            service.start()
        assert said in service.log()
        service.process = None
