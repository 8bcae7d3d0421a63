"""Fixtures: one service for the tests of a module that only ask, one of its own for tests that harm it."""

import os
import pathlib

import pytest

import tables
from polysome_service import PROGRAM, ROOT, Service


def pytest_sessionstart(session):
    if not PROGRAM.exists():
        pytest.exit(
            f"{PROGRAM} is not there: run scripts/setup.sh first, or set POLYSOME_BUILD", returncode=4
        )


@pytest.fixture
def make_service(tmp_path):
    """Makes services (not started) and ends them after the test."""
    made = []

    def make(name="service", **arguments):
        service = Service(tmp_path / name, **arguments)
        made.append(service)
        return service

    yield make
    for service in made:
        service.stop()


@pytest.fixture
def service(make_service):
    """A running service of the test's own, short retry delay, cluster stopped, my_dataset.csv there."""
    one = make_service(arguments=["--retry-delay", "100ms"])
    one.table = tables.expression_table()
    tables.write(one.table, one.data / "my_dataset.csv")
    return one.start()


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory):
    """A running service with a cluster of 2 x 2 that the tests of a module share."""
    one = Service(tmp_path_factory.mktemp("shared"), arguments=["--retry-delay", "100ms"])
    one.table = tables.expression_table()
    tables.write(one.table, one.data / "my_dataset.csv")
    one.start()
    try:
        one.start_cluster(2, 2)
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="session")
def real_data():
    """The folder of public data sets; absent: the test is skipped, loudly."""
    folder = pathlib.Path(os.environ.get("POLYSOME_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not there (set POLYSOME_TEST_DATA)")
    return folder.resolve()
