"""CONTRIBUTING.md, followed word for word in a copy: each guide's files work as they stand there. No page names a file that is
not there."""

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = {  # path -> (language, text)
    path: (language, text)
    for language, path, text in re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)
}


def run(folder: Path, *command: str) -> str:
    here = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, env=here, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-1_000:]
    return done.stdout


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """A copy of the project with what the guides add."""
    folder = tmp_path_factory.mktemp("followed")
    for name in ("app", "core", "presets", "tests"):
        copytree(ROOT / name, folder / name, ignore=ignore_patterns("__pycache__"))
    copy(ROOT / "pyproject.toml", folder)
    for path, (language, text) in BLOCKS.items():
        target = folder / path
        if language == "diff":
            before, after = ("".join(f"{line[1:]}\n" for line in text.splitlines() if line[0] in signs) for signs in (" -", " +"))
            assert target.read_text().count(before) == 1, f"CONTRIBUTING.md changes what {path} does not have"
            text = target.read_text().replace(before, after)
        else:
            assert not target.exists(), f"CONTRIBUTING.md adds {path}, which is there"
        target.write_text(text)
    return folder


def test_the_files_are_written_as_all_others(followed):
    files = [path for path in BLOCKS if path.endswith(".py")]
    run(followed, "ruff", "check", *files)
    run(followed, "ruff", "format", "--check", *files)


def test_the_guides_tests_pass(followed):
    tests = [path for path in BLOCKS if path.startswith("tests/")]
    assert len(tests) == 3
    tests += [
        f"tests/test_presets.py::{name}[tiny-1.1b]"
        for name in ("test_a_file_names_itself_and_its_sources", "test_a_file_is_what_is_written_from_it")
    ]
    tests += ["tests/test_articles.py::test_every_reference_of_an_article_resolves[windows]"]
    run(followed, "pytest", "-q", "--hypothesis-profile", "quick", "-p", "no:cacheprovider", "-n0", *tests)


def test_the_commands_give_what_is_said(followed):
    assert "sum: Each of 512 channels adds up the tokens so far." in run(followed, "core", "show", "mine.yaml")
    written = yaml.safe_load(run(followed, "core", "import", "config.json"))
    said = yaml.safe_load(BLOCKS["presets/tiny-1.1b.yaml"][1])
    words = {"name", "title", "organisation", "released", "licence", "sources", "note"}
    assert {k: v for k, v in written.items() if k not in words} == {k: v for k, v in said.items() if k not in words}


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md", "docs/architecture.md"])
def test_files_that_are_named_exist(page):
    for code in re.findall(r"`([^`\n]+)`", (ROOT / page).read_text()):
        folder = ""
        for word in code.split():  # `core/trace.py graph.py`: the second is beside the first
            if re.fullmatch(r"(app|core|docs|bench|tests|presets)/[\w./-]*", word):
                folder = word[: word.rindex("/") + 1]
            elif not (folder and re.fullmatch(r"\w+\.py", word)):
                continue
            path = word if "/" in word else folder + word
            assert (ROOT / path).exists() or path in BLOCKS, path
