"""The package as it is shipped: its version, its types, its words."""

import inspect
import pathlib
import re
import subprocess
import sys

import polysome

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_package_has_the_version_of_the_service():
    service = re.search(r"project\(polysome VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
    assert polysome.__version__ == service


def test_types_hold():
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "polysome"],
        cwd=ROOT / "python",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (ROOT / "python" / "polysome" / "py.typed").exists()


def test_everything_public_says_what_it_does():
    silent = []
    for name in polysome.__all__:
        thing = getattr(polysome, name)
        if not inspect.getdoc(thing):
            silent.append(name)
        if inspect.isclass(thing) and not issubclass(thing, Exception):
            for member, value in vars(thing).items():
                public = not member.startswith("_") and (callable(value) or isinstance(value, property))
                if public and member != "url" and not inspect.getdoc(value):
                    silent.append(f"{name}.{member}")
    assert [s for s in silent if s != "__version__"] == []
