"""The client against a service made of canned answers: what it sends, what it makes of what comes."""

import http.server
import io
import json
import math
import socket
import subprocess
import sys
import threading

import pytest

import polysome
from polysome import connection, errors, progress, tables
from polysome.client import submit_body

JOB = "0192f0c1-2f4b-7000-8000-00007c1e09aa"


def status_of(state, version=1, **more):
    return {
        "job_id": JOB,
        "operation": "aggregate",
        "status": state,
        "phase": state,
        "progress": 50.0,
        "version": version,
        "stages": [],
        "eta_seconds": None,
        "waiting_reason": None,
        "waiting": None,
        "error": None,
        "result": None,
        **more,
    }


class Fake:
    """Answers each request with what `answers` says: (status, JSON), bytes to send raw, or None to hang up."""

    def __init__(self):
        self.seen = []
        self.answers = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fake.seen.append((self.command, self.path, dict(self.headers), json.loads(body) if body else None))
                answer = fake.answers.pop(0) if len(fake.answers) > 1 else fake.answers[0]
                if answer is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                status, content = answer
                text = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def fake():
    one = Fake()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("POLYSOME_URL", "POLYSOME_TOKEN", "POLYSOME_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_importing_needs_only_requests():
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('pandas', 'numpy', 'pyarrow', 'polars', 'IPython', 'matplotlib'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import polysome\n"
        "print(polysome.__version__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout.strip() == polysome.__version__, done.stderr


def test_a_submit_sends_parameters_apart_from_what_concerns_the_job(fake):
    fake.answers = [(200, {"job_id": JOB})]
    c = polysome.Client(fake.url)
    job = c.submit("aggregate", "my_dataset", column="expression", job=dict(priority="HIGH", max_memory_gb=4))
    assert job.id == JOB
    method, path, headers, body = fake.seen[0]
    assert (method, path) == ("POST", "/api/processing/jobs/submit")
    assert body == {
        "operation": "aggregate",
        "dataset_id": "my_dataset",
        "parameters": {"column": "expression"},
        "priority": "HIGH",
        "max_memory_gb": 4,
    }
    assert headers["Content-Type"] == "application/json" and headers["Idempotency-Key"]


def test_operation_and_dataset_leave_their_names_to_the_operation():
    body = submit_body("train", "x", None, {"operation": "mean", "dataset": 3, "job_id": 1})
    assert body["parameters"] == {"operation": "mean", "dataset": 3, "job_id": 1}


def test_a_job_stands_for_its_result_and_lists_for_several_datasets(fake):
    job = polysome.Job(polysome.Client(fake.url), JOB)
    assert submit_body("sql", job, None, {})["dataset_id"] == f"job:{JOB}"
    body = submit_body("integrate", ["rna", job], {"depends_on": job}, {})
    assert body["dataset_id"] == ["rna", f"job:{JOB}"] and body["depends_on"] == [JOB]


def test_a_lost_answer_is_asked_again_with_the_same_key(fake):
    fake.answers = [None, (200, {"job_id": JOB})]
    polysome.Client(fake.url).submit("noop")
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in fake.seen]
    assert len(keys) == 2 and keys[0] == keys[1]


def test_what_is_not_safe_to_repeat_is_sent_once(fake):
    fake.answers = [None]
    with pytest.raises(polysome.Unavailable):
        polysome.Client(fake.url).cluster.stop()
    assert len(fake.seen) == 1


def test_nobody_there_says_how_to_start_one():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with pytest.raises(polysome.Unavailable, match="no service answers at .* polysome serve|hint"):
        polysome.Client(f"http://127.0.0.1:{port}").health()


@pytest.mark.parametrize(
    "status,kind",
    [
        (400, polysome.InvalidRequest),
        (401, polysome.NotAllowed),
        (403, polysome.NotAllowed),
        (404, polysome.NotFound),
        (409, polysome.Conflict),
        (410, polysome.NotFound),
        (413, polysome.InvalidRequest),
        (422, polysome.InvalidRequest),
        (429, polysome.Unavailable),
        (500, polysome.ServiceError),
        (503, polysome.Unavailable),
        (507, polysome.Unavailable),
    ],
)
def test_each_refusal_is_an_exception_of_its_kind(fake, status, kind):
    problem = {"status": status, "code": "x", "detail": "what is wrong", "hint": "do that"}
    fake.answers = [(status, problem)]
    with pytest.raises(kind) as caught:
        polysome.Client(fake.url).queue()
    assert caught.value.problem == problem and caught.value.status == status
    assert str(caught.value) == "what is wrong\nhint: do that"


def test_an_answer_of_another_program_is_told_apart(fake):
    fake.answers = [(404, {"error": "nginx"})]
    with pytest.raises(polysome.NotFound, match="is this a Polysome service"):
        polysome.Client(fake.url).queue()


def test_an_error_shows_the_places_in_the_data():
    text = errors.describe(
        {
            "detail": "3 values are not numbers",
            "errors": [{"file": "a.csv", "line": 10482, "column": "S1", "value": "1.2.3", "message": "no number"}],
            "hint": "on_bad_value",
        }
    )
    assert text.splitlines() == [
        "3 values are not numbers",
        '  a.csv, line 10,482, column "S1": "1.2.3"',
        "hint: on_bad_value",
    ]


def test_address_and_token_come_from_the_environment(monkeypatch, tmp_path, fake):
    monkeypatch.setenv("POLYSOME_URL", fake.url + "/api/processing/")
    file = tmp_path / "token"
    file.write_text("ps_secret\n")
    monkeypatch.setenv("POLYSOME_TOKEN_FILE", str(file))
    fake.answers = [(200, {"status": "healthy"})]
    c = polysome.Client()
    c.health()
    assert c.url == fake.url
    assert fake.seen[0][2]["Authorization"] == "Bearer ps_secret"
    monkeypatch.setenv("POLYSOME_TOKEN", "other")
    polysome.Client().health()
    assert fake.seen[1][2]["Authorization"] == "Bearer other"
    polysome.Client(token="mine").health()
    assert fake.seen[2][2]["Authorization"] == "Bearer mine"


def test_netrc_gives_the_password_when_there_is_no_token(monkeypatch, tmp_path, fake):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password ps_secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fake.answers = [(200, {})]
    polysome.Client(fake.url).health()
    assert fake.seen[0][2]["Authorization"].startswith("Basic ")
    polysome.Client(fake.url, token="t").health()
    assert fake.seen[1][2]["Authorization"] == "Bearer t"


def test_a_proxy_of_the_site_is_not_asked_for_this_machine(monkeypatch, fake):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    fake.answers = [(200, {"status": "healthy"})]
    assert polysome.Client(fake.url).health() == {"status": "healthy"}


def test_bad_addresses_are_refused():
    for bad in ("ftp://x", "http://"):
        with pytest.raises(ValueError, match="not the address"):
            polysome.Client(bad)
    assert connection.address_of("localhost:9") == "http://localhost:9"


def test_wait_follows_versions_to_the_end(fake):
    fake.answers = [
        (200, status_of("pending", 3)),
        (200, status_of("running", 5)),
        (200, status_of("completed", 9, result={"value": 4.5})),
    ]
    job = polysome.Client(fake.url).job(JOB).wait()
    assert job.value == 4.5 and job.done
    # job() saw version 3; wait() asks how it is and then for what comes after.
    paths = [path for _, path, _, _ in fake.seen]
    assert paths[1].endswith("/status") and "after=5" in paths[2]
    assert len(paths) == 3, "a job that is over is not asked for again"


def test_a_failed_job_raises_with_its_error(fake):
    error = {"code": "user_data", "detail": "bad", "hint": "h", "status": 422}
    fake.answers = [(200, status_of("failed", 2, error=error))]
    job = polysome.Client(fake.url).job(JOB)
    with pytest.raises(polysome.JobFailed) as caught:
        job.wait()
    assert caught.value.error == error and caught.value.job is job
    with pytest.raises(polysome.JobFailed):
        job.result(as_="rows")


def test_a_cancelled_job_raises_its_own_kind(fake):
    fake.answers = [(200, status_of("cancelled"))]
    with pytest.raises(polysome.JobCancelled):
        polysome.Client(fake.url).job(JOB).wait()


def test_wait_gives_up_in_time_and_says_that_the_job_goes_on(fake):
    fake.answers = [(200, status_of("running", 4))]
    with pytest.raises(polysome.StillRunning, match="still running") as caught:
        polysome.Client(fake.url).job(JOB).wait(timeout=0.05)
    assert isinstance(caught.value, TimeoutError)


def test_a_service_that_is_away_for_a_moment_is_waited_for(fake):
    fake.answers = [(200, status_of("running", 4)), (200, status_of("running", 4)), None, (200, status_of("completed", 5))]
    assert polysome.Client(fake.url).job(JOB).wait(timeout=60).done


def test_ctrl_c_says_how_to_come_back(fake, monkeypatch, capsys):
    fake.answers = [(200, status_of("running", 4))]
    job = polysome.Client(fake.url).job(JOB)
    monkeypatch.setattr(job, "_follow", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        job.wait()
    assert f'client.job("{JOB}").wait()' in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_one_line_that_is_written_over(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = Terminal()
    view = progress.progress_for(None, out)
    stages = [{"name": "scan", "tasks_done": 124, "tasks_total": 1197}]
    view.update(status_of("running", stages=stages, eta_seconds=75.2))
    view.finish(status_of("completed"))
    lines = out.getvalue().split("\r\x1b[2K")[1:]
    assert lines[0] == "7c1e09aa aggregate  ████████████              50 %  scan 124/1,197, 1 min 15 s…"
    assert lines[1].startswith("7c1e09aa aggregate  completed after ") and lines[1].endswith("\n")
    assert all(len(line.rstrip("\n")) < 80 for line in lines)


def test_a_pipe_gets_no_bar_but_is_told_why_a_job_can_not_start(caplog):
    out = io.StringIO()
    view = progress.progress_for(None, out)
    waiting = {"code": "cluster_stopped", "message": "The cluster is stopped. Start it: polysome cluster start."}
    for _ in range(3):
        view.update(status_of("pending", waiting=waiting, waiting_reason=waiting["message"]))
    assert out.getvalue() == ""
    assert [r.getMessage() for r in caplog.records] == [f"job 7c1e09aa waits: {waiting['message']}"]


def test_a_notebook_gets_a_bar_that_is_updated(monkeypatch):
    shown = []

    class ZMQInteractiveShell:
        pass

    class Handle:
        def update(self, page):
            shown.append(page)

    class Display:
        HTML = staticmethod(lambda text: text)

        @staticmethod
        def display(page, display_id):
            shown.append(page)
            return Handle()

    class Ipython:
        display = Display
        get_ipython = staticmethod(ZMQInteractiveShell)

    monkeypatch.setitem(sys.modules, "IPython", Ipython)
    view = progress.progress_for(None)
    view.update(status_of("running", operation="<b>"))
    view.finish(status_of("completed", progress=100.0))
    assert "<progress max='100' value='50.0'>" in shown[0] and "&lt;b&gt;" in shown[0]
    assert "completed after" in shown[1]


def test_numbers_that_json_has_no_word_for():
    page = {
        "columns": [{"name": "g", "type": "string"}, {"name": "x", "type": "double"}, {"name": "n", "type": "int64"}],
        "rows": [{"g": "NaN", "x": "NaN", "n": "9007199254740993"}, {"g": None, "x": "-Infinity", "n": None}],
    }
    first, second = tables.rows_of(page)
    assert first["g"] == "NaN" and math.isnan(first["x"]) and first["n"] == 9007199254740993
    assert second == {"g": None, "x": -math.inf, "n": None}
    assert math.isnan(tables.answer_of({"value": "NaN"})) and tables.answer_of({"value": None}) is None
    text = {"value": "NaN", "tables": [{"columns": [{"name": "mode", "type": "string"}]}]}
    assert tables.answer_of(text) == "NaN"


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(tables, "_there", lambda *modules: "polars" not in modules and "pandas" not in modules)
    assert tables.choose(None) == "arrow"
    with pytest.raises(ImportError, match="pip install polars"):
        tables.choose("polars")
    with pytest.raises(ValueError, match="one of pandas"):
        tables.choose("numpy")
    monkeypatch.setattr(tables, "_there", lambda *modules: not modules)
    with pytest.raises(ImportError, match='as_="rows"'):
        tables.choose(None)


def test_parameters_may_be_numpy_values_and_never_nan(fake):
    class Scalar:
        def tolist(self):
            return 3

    fake.answers = [(200, {"job_id": JOB})]
    polysome.Client(fake.url).submit("noop", tasks=Scalar())
    assert fake.seen[0][3]["parameters"] == {"tasks": 3}
    with pytest.raises(ValueError):
        polysome.Client(fake.url).submit("noop", tasks=math.nan)


def test_pages_are_fetched_to_the_end_and_no_further(fake):
    page = {"jobs": [status_of("running")] * 2, "next_page_token": "t"}
    fake.answers = [(200, page), (200, {**page, "next_page_token": None})]
    assert len(list(polysome.Client(fake.url).jobs(status="running"))) == 4
    assert "page_token=t" in fake.seen[1][1] and "status=running" in fake.seen[1][1]
    fake.answers = [(200, page)]
    assert len(list(polysome.Client(fake.url).jobs(limit=1))) == 1


def test_layout_goes_apart_from_what_load_takes(fake):
    fake.answers = [(200, {})]
    polysome.Client(fake.url).load("counts", "counts.tsv", orientation="features_as_rows", replace=True)
    assert fake.seen[0][3] == {
        "dataset_id": "counts",
        "source": "counts.tsv",
        "replace": True,
        "layout": {"orientation": "features_as_rows"},
    }
