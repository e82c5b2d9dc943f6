"""The presets: what their makers said, nothing invented, and all that a card and a page need."""

import datetime
import re

import pytest
import yaml

import core
from core.library import FOLDER, parse_text, preset, to_yaml, undisclosed
from core.spec import Unsupported

FILES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))}


def test_names_come_in_order_of_release():
    released = [core.load(name).released or datetime.date.max for name in core.presets()]
    assert released == sorted(released) and len(released) == len(FILES) - len(undisclosed())


@pytest.mark.parametrize("name", FILES)
def test_a_file_names_itself_and_its_sources(name):
    value = FILES[name]
    assert value["name"] == name and value["title"] and value["organisation"] and value["sources"]
    assert isinstance(value.get("released"), datetime.date) or "published" in value["note"]
    if "undisclosed" in value:
        return
    arch = preset(name)
    assert arch.note and len(arch.note) < 260 and arch.family and (arch.licence or "licence was not found" in arch.note)
    assert any(re.search(r"arXiv:\d{4}\.\d{5}|config\.json|https://|et al\.", source) for source in arch.sources)
    assert any("config.json" in source or "arXiv" in source for source in arch.sources)


@pytest.mark.parametrize("name", core.presets())
def test_a_file_is_what_is_written_from_it(name):
    assert parse_text(to_yaml(preset(name))) == preset(name)


def test_closed_models_are_said_to_be_closed():
    assert {entry["name"] for entry in undisclosed()} == {"gemini", "gpt-4"}
    for entry in undisclosed():
        assert not re.search(r"\d+(\.\d+)?\s?[BT]\b", " ".join(entry["undisclosed"])), "no size is invented"
        with pytest.raises(Unsupported, match="not disclosed"):
            core.load(entry["name"])


def test_a_misspelt_name_is_answered_with_near_ones():
    with pytest.raises(Unsupported, match="deepseek-v3"):
        core.load("deepseek-v33")
    with pytest.raises(Unsupported, match="gpt2"):
        core.load("gpt-2")
