"""The Python client against the real service, and its tutorial as a reader would type it."""

import contextlib
import io
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import polysome
import tables
from polysome_service import PATIENCE, PROGRAM, ROOT, clean_environment, until

TUTORIAL = ROOT / "docs" / "python.md"


@pytest.fixture(scope="module")
def client(shared_service):
    with polysome.Client(shared_service.address(""), token="") as c:
        yield c


@pytest.fixture(autouse=True)
def program(monkeypatch):
    monkeypatch.setenv("POLYSOME_PROGRAM", str(PROGRAM))


@pytest.fixture(scope="module")
def grouped(client):
    return client.submit(
        "aggregate", "my_dataset", column="expression", operation=["mean", "count"], group_by="gene"
    ).wait(timeout=120 * PATIENCE)


def reference(service):
    frame = pd.DataFrame({"gene": service.table["gene"], "expression": service.table["expression"]})
    return frame.groupby("gene")["expression"].agg(["mean", "count"])


def test_the_value_of_a_job_is_the_number(client, shared_service):
    job = client.submit(
        "aggregate",
        "my_dataset",
        column="expression",
        operation="mean",
        job=dict(priority="HIGH", max_memory_gb=4),
    )
    assert job.wait() is job
    np.testing.assert_allclose(job.value, np.nanmean(shared_service.table["expression"]), rtol=1e-12)
    assert job.status()["priority_name"] == "HIGH" and job.progress == 100 and job.error is None


def test_results_are_pandas_polars_arrow_or_rows_with_the_same_values(grouped, shared_service):
    expected = reference(shared_service)
    frame = grouped.result()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["gene", "expression_mean", "expression_count"]
    np.testing.assert_allclose(
        frame.set_index("gene")["expression_mean"].reindex(expected.index), expected["mean"], rtol=1e-12
    )
    arrow = grouped.result(as_="arrow")
    assert isinstance(arrow, pa.Table) and arrow.num_rows == len(frame)
    rows = grouped.result(as_="rows")
    assert [r["gene"] for r in rows] == arrow["gene"].to_pylist()
    assert [r["expression_mean"] for r in rows] == arrow["expression_mean"].to_pylist()
    polars = pytest.importorskip("polars")
    frame = grouped.result(as_="polars")
    assert isinstance(frame, polars.DataFrame) and frame["gene"].to_list() == arrow["gene"].to_pylist()


def test_a_part_of_a_table_can_be_asked_for(grouped):
    part = grouped.result(columns=["gene"], limit=3)
    assert list(part.columns) == ["gene"] and len(part) == 3
    assert len(list(grouped.rows(limit=5))) == 5


def test_a_table_is_written_whole_to_a_file(grouped, tmp_path):
    path = grouped.download(str(tmp_path / "means.csv"))
    assert len(pd.read_csv(path)) == len(grouped.result())


def test_a_result_is_the_next_jobs_dataset(client, grouped):
    job = client.submit("aggregate", grouped, column="expression_count", operation="sum")
    assert job.value == grouped.result()["expression_count"].sum()


def test_a_failed_job_carries_its_error(client):
    job = client.submit("aggregate", "my_dataset", column="expresion", operation="mean")
    with pytest.raises(polysome.JobFailed, match='did you mean "expression"') as caught:
        job.wait()
    assert caught.value.error["code"] == "user_data" and caught.value.job is job
    assert caught.value.error == job.error


def test_a_refused_submit_says_where_and_what_is_known(client):
    with pytest.raises(polysome.InvalidRequest, match="mean") as caught:
        client.submit("aggregate", "my_dataset", column="expression", operation="maen")
    assert caught.value.errors[0]["pointer"].startswith("/parameters/operation")
    with pytest.raises(polysome.InvalidRequest, match='Did you mean "my_dataset"'):
        client.submit("describe", "my_datset")


def test_a_job_is_found_by_id_ending_name_and_last(client):
    job = client.submit("noop", tasks=1, job=dict(name="a name of its own"))
    job.wait()
    assert client.job(job.id) == client.job(job.id[-8:]) == client.job("a name of its own") == job
    assert client.job("last") == job
    with pytest.raises(polysome.NotFound, match="did you mean"):
        client.job(job.id[:-1] + ("0" if job.id[-1] != "0" else "1"))


def test_cancel_ends_a_running_job(client):
    job = client.submit("noop", tasks=1000, sleep_ms=1000)
    until(lambda: job.status()["status"] == "running", "the job to run")
    job.cancel("a test")
    with pytest.raises(polysome.JobCancelled):
        job.wait()


def test_wait_with_a_limit_leaves_the_job_running(client):
    job = client.submit("noop", tasks=1000, sleep_ms=1000)
    with pytest.raises(polysome.StillRunning):
        job.wait(timeout=0.2)
    assert not job.done
    job.cancel()


def test_events_come_from_the_first_to_the_last(client):
    job = client.submit("noop", tasks=3)
    told = list(job.events())
    assert [e["seq"] for e in told] == list(range(1, len(told) + 1))
    assert told[0]["data"]["status"] == "pending" and told[-1]["data"]["status"] == "completed"
    assert list(job.events(after=told[-1]["id"])) == []


def test_wait_survives_a_restart_of_the_service(service):
    service.start_cluster(1, 2)
    with polysome.Client(service.address("")) as c:
        job = c.submit("noop", tasks=20, sleep_ms=50)
        until(lambda: service.tasks_done(job.id) > 2, "some tasks to be done")
        service.kill()
        service.start()
        assert job.wait(timeout=120 * PATIENCE).done


def test_ctrl_c_in_wait_leaves_the_job_running(client):
    code = f"""
        import polysome
        c = polysome.Client({client.url!r})
        job = c.submit("noop", tasks=1000, sleep_ms=1000)
        print(job.id, flush=True)
        job.wait(progress=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**clean_environment(), "PYTHONPATH": str(ROOT / "python")},
    )
    job = client.job(process.stdout.readline().strip())
    # What is shown is shown from within the wait.
    while "noop" not in process.stderr.read(1) + process.stderr.readline(40):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30 * PATIENCE)
    assert "the job goes on" in said and "KeyboardInterrupt" in said
    assert not job.done
    job.cancel()


def test_load_partition_and_forget(client, shared_service):
    tables.write(tables.expression_table(), shared_service.data / "other.csv")
    record = client.load("renamed", "other.csv")
    assert record["dataset_id"] == "renamed" and [c["name"] for c in record["columns"]][0] == "sample"
    assert client.partition("renamed", partition_size=10_000)["n_partitions"] > 1
    assert "renamed" in [d["dataset_id"] for d in client.datasets()]
    assert client.dataset("renamed")["loaded"]
    client.forget("renamed")
    with pytest.raises(polysome.NotFound):
        client.dataset("renamed")


def test_cluster_queue_health_version(client):
    assert client.cluster.status()["status"] == "running"
    assert client.cluster.scale(2)["n_workers"] == 2
    assert client.queue()["pending"] == 0 and client.health()["status"] == "healthy"
    assert client.version() == polysome.__version__
    assert client.metrics()["n_workers"] == 2
    assert client.request("GET", "queue/status", limit=1)["jobs"] == []


# ---- no service ----


def test_run_gives_the_table_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tables.expression_table()
    tables.write(table, tmp_path / "a=b, c.csv")
    frame = polysome.run("aggregate", "a=b, c.csv", column="expression", operation=["mean", "max"])
    np.testing.assert_allclose(frame.set_index("column").loc["expression", "mean"], np.nanmean(table["expression"]))
    rows = polysome.run("aggregate", "a=b, c.csv", column="expression", operation="mean", as_="rows")
    value = polysome.run("aggregate", "a=b, c.csv", column="expression", operation="mean", as_="value")
    assert rows[0]["mean"] == value and math.isfinite(value)
    out = polysome.run("filter", "a=b, c.csv", where="expression > 10", out="high.csv", job=dict(workers=1))
    assert out == pathlib.Path("high.csv") and (pd.read_csv(out)["expression"] > 10).all()
    assert sorted(os.listdir(tmp_path)) == ["a=b, c.csv", "high.csv"]


def test_run_says_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,x4\n" + "5,6\n" * 10)
    with pytest.raises(polysome.InvalidRequest, match="did you mean"):
        polysome.run("agregate", "x.csv")
    with pytest.raises(polysome.InvalidRequest, match='did you mean ".*x.csv"'):
        polysome.run("describe", "y.csv")
    with pytest.raises(polysome.JobFailed, match='"c" is not in'):
        polysome.run("aggregate", "x.csv", column="c", operation="mean")
    assert os.listdir(tmp_path) == ["x.csv"]


# ---- the tutorial ----


def blocks(text):
    return [(m.group(1), m.group(2)) for m in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.S | re.M)]


def matches(expected, printed):
    """`...` in the expected text stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("..."))
    return re.fullmatch(pattern, printed.strip(), re.S)


def test_the_tutorial_prints_what_it_says(make_service, tmp_path, monkeypatch):
    pytest.importorskip("polars")
    parts = blocks(TUTORIAL.read_text())
    demo, serve = parts[0][1].splitlines()
    assert demo.startswith("polysome demo ") and serve == "polysome serve --data-dir study --autostart"
    service = make_service()
    monkeypatch.chdir(tmp_path)
    subprocess.run([str(PROGRAM), *demo.split()[1:]], check=True, capture_output=True, timeout=60 * PATIENCE)
    service.data_dirs = [tmp_path / "study"]
    service.start("--autostart")
    monkeypatch.setenv("POLYSOME_URL", service.address(""))
    names, printed, ran = {}, "", 0
    for kind, text in parts[1:]:
        if kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text, str(TUTORIAL), "exec"), names)
            printed, ran = out.getvalue(), ran + 1
        else:
            assert kind == "text" and matches(text, printed), f"expected:\n{text}\nprinted:\n{printed}"
    assert ran >= 7


def test_the_readme_snippet_prints_a_number(shared_service, monkeypatch, capsys):
    snippets = [text for kind, text in blocks((ROOT / "README.md").read_text()) if kind == "python" and "polysome" in text]
    monkeypatch.setenv("POLYSOME_URL", shared_service.address(""))
    for text in (*(t for t in snippets if "import polysome" in t), blocks((ROOT / "python" / "README.md").read_text())[0][1]):
        exec(compile(text, "README.md", "exec"), {})
        np.testing.assert_allclose(float(capsys.readouterr().out), np.nanmean(shared_service.table["expression"]))


def test_a_result_is_plotted(grouped, tmp_path):
    pytest.importorskip("matplotlib")
    figure = grouped.plot()
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles == ["expression_mean", "expression_count"]
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_the_figure_follows_the_table():
    from polysome import plots

    rows = [{"feature": f"g{i}", "log2_fold_change": i - 5.0, "p_adjusted": 10.0 ** -abs(i - 5)} for i in range(10)]
    axes = plots.plot(rows).axes[0]
    assert axes.get_ylabel() == "-log10 p_adjusted"
    drawn = np.vstack([c.get_offsets() for c in axes.collections])
    assert sorted(drawn[:, 0]) == [r["log2_fold_change"] for r in rows]
    np.testing.assert_allclose(drawn[:, 1], np.abs(drawn[:, 0]), atol=1e-12)
    scores = plots.plot([{"sample": "a", "PC1": 1.0, "PC2": 2.0}])
    assert scores.axes[0].get_xlabel() == "PC1"
    with pytest.raises(ValueError, match="one of volcano"):
        plots.plot(rows, "pie")
