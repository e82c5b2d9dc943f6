"""What `pip install .` gives: the command, presets and assets with it, and the dependencies that the code imports."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from core import __main__ as cli

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RANGES = {canonicalize_name(r.name): r.specifier for r in map(Requirement, PROJECT["dependencies"])}
FOLDERS = ("app", "core", "presets")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what the wheel holds."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in FOLDERS:
        copytree(ROOT / name, source / name, ignore=ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        copy(ROOT / name, source)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, target], cwd=source, check=True, capture_output=True, timeout=120)
    with zipfile.ZipFile(next(target.glob("*.whl"))) as wheel:
        wheel.extractall(target)
    return target


def test_nothing_is_left_out(installed):
    for name in FOLDERS:
        files = {path.relative_to(ROOT) for path in (ROOT / name).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        assert files == {path.relative_to(installed) for path in (installed / name).rglob("*") if path.is_file()}
    assert "strata = core.__main__:main" in next(installed.glob("*.dist-info/entry_points.txt")).read_text()


def test_it_runs_from_any_folder(installed, tmp_path):
    """The published architectures are found; rich waits until a table is asked for, and the pages' libraries stay away."""
    said = (
        "import sys, core; print(core.__file__, len(core.presets()), {'rich', 'streamlit', 'plotly'} & {*sys.modules});"
        "sys.argv = ['strata', 'cost', 'gpt2']; from core.__main__ import main; main(); main(['show'])"
    )
    here = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, "-c", said], cwd=tmp_path, env=here, capture_output=True, text=True, timeout=60)
    first, *_, last = done.stdout.splitlines()
    assert first == f"{installed / 'core' / '__init__.py'} {len(cli.library.presets())} set()"
    assert "36,864 bytes" in last and done.stderr.endswith("see `strata show --help`\n")


def test_what_is_pinned_is_within_the_ranges():
    pins = [Requirement(line) for line in (ROOT / "requirements.txt").read_text().splitlines()]
    assert {canonicalize_name(pin.name) for pin in pins} == RANGES.keys()
    for pin in pins:
        (exact,) = pin.specifier
        assert exact.operator == "==" and RANGES[canonicalize_name(pin.name)].contains(exact.version), pin.name


def test_what_is_imported_is_required():
    found = set()
    for path in (path for name in ("app", "core") for path in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    found -= {*sys.stdlib_module_names, *FOLDERS}
    owners = packages_distributions()
    for module in found:
        assert any(canonicalize_name(owner) in RANGES for owner in owners[module]), module


def test_the_app_takes_the_place_of_the_command(monkeypatch):
    asked = []
    monkeypatch.setattr(os, "execve", lambda *given: asked.append(given))
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "9")
    cli.main(["app", "--port", "8600", "--address", "127.0.0.1"])
    ((program, command, environment),) = asked
    assert program == sys.executable and command[1:4] == ["-m", "streamlit", "run"]
    assert Path(command[4]) == ROOT / "app" / "server.py"
    assert command[5:] == ["--server.port", "8600", "--server.address", "127.0.0.1"]
    assert environment["MALLOC_MMAP_THRESHOLD_"] == "65536" and environment["MALLOC_TRIM_THRESHOLD_"] == "9"


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "9" * 5_000, "٣"])
def test_a_port_that_is_none_is_a_sentence(port, capsys):
    assert cli.main(["app", "--port", port]) == 2
    said = capsys.readouterr().err
    assert "is not a port; give a whole number from 1 to 65,535" in said or "expected one argument" in said


def test_the_command_line_runs_from_what_the_image_copies(tmp_path):
    """The app of an image starts with it; it is not installed there, so that no package says its version."""
    for source, there in re.findall(r"^COPY (\S+) (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        here = ROOT / source
        copytree(here, tmp_path / there) if here.is_dir() else copy(here, tmp_path / there)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-m", "core", "--version"], cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.startswith("strata "), done.stderr
