"""The product's usage example, run as a user would paste it."""

import socket
import subprocess
import sys

import numpy as np

import tables
from polysome_service import ROOT, until

EXAMPLE = (ROOT / "scripts" / "usage_example.py").read_text()


def port_is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def test_usage_example_gives_the_mean_that_numpy_gives(make_service):
    service = make_service()
    table = tables.expression_table()
    tables.write(table, service.data / "my_dataset.csv")
    if port_is_free(8001):
        service.port = 8001
    service.start()
    script = EXAMPLE.replace(":8001/", f":{service.port}/")
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("Progress: ") and ran.stdout.endswith("%\n")
    job = until(lambda: service.get("jobs/list")["jobs"], "the job to be listed")[0]["job_id"]
    status = service.complete(job)
    assert status["priority_name"] == "HIGH" and status["progress"] == 100
    np.testing.assert_allclose(status["result"]["value"], np.nanmean(table["expression"]), rtol=1e-10)


def test_the_readme_shows_the_same_example():
    def code(text):
        return [line.strip() for line in text.splitlines() if line.strip()]

    readme = code((ROOT / "README.md").read_text())
    example = code(EXAMPLE)
    places = [i for i in range(len(readme)) if readme[i : i + len(example)] == example]
    assert places, "README.md does not hold the usage example as it is"
