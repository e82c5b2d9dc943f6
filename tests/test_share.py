"""Links: every one opens to what it was made of, or to a sentence; and none is large."""

import base64
import json
import zlib
from pathlib import Path

import pytest
from clock import within
from hypothesis import given
from hypothesis import strategies as st
from strategies import architectures

import core
from core.share import MAX_JSON, PREFIX
from core.spec import Unsupported, edited, parse

TEN_EDITS = {
    "d_model": 6144,
    "vocab_size": 100_001,
    "context": 12_345,
    "note": "An edited note " * 8,
    "tied_embeddings": True,
    "norm.eps": 3.3e-6,
    "head.softcap": 17.5,
    "embedding.scale": 3.25,
    "title": "Edited by somebody, ten times",
    "licence": "none",
}


@pytest.mark.parametrize("name", core.presets())
def test_a_link_is_short_even_after_ten_edits(name):
    arch = core.load(name)
    for path, value in TEN_EDITS.items():
        try:
            arch = edited(arch, path, value)
        except Unsupported:
            continue
    token = core.encode(arch)
    assert len(token) <= 2000 and core.decode(token) == arch
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@given(architectures, st.data())
def test_a_damaged_link_is_a_sentence(arch, data):
    token = core.encode(arch)
    at = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(codec="ascii"))
    damaged = data.draw(st.sampled_from([token[:at], token[:at] + letter + token[at + 1 :], token[at:], token + letter]))
    if damaged == token:
        return
    try:
        assert core.decode(damaged) == arch  # padding bits of base64 that say nothing
    except Unsupported as error:
        assert "\n" not in str(error)


@given(st.text() | st.binary().map(lambda raw: PREFIX + base64.urlsafe_b64encode(raw).decode()) | st.none() | st.integers())
def test_anything_is_a_sentence(token):
    for read in (core.decode, core.load):
        with pytest.raises(Unsupported):
            read(token)


def packed(data: bytes) -> str:
    data = zlib.compress(data, 9)
    return PREFIX + base64.urlsafe_b64encode(zlib.crc32(data).to_bytes(4, "big") + data).decode().rstrip("=")


HOSTILE = {
    "a bomb": b" " * (50 * MAX_JSON),
    "nested": b"[" * 100_000,
    "a huge number": b'{"d_model": ' + b"9" * 5000 + b"}",
    "not a mapping": b"[1, 2]",
    "not text": b"\xff\xfe",
    "nothing": b"",
    "huge layers": json.dumps({"layers": [{"repeat": 1024, "blocks": [["a"] * 16] * 128}] * 128}).encode(),
    "many parts": json.dumps({"parts": {f"p{i}": {"kind": "attention"} for i in range(5000)}}).encode(),
    "not a number": b'{"d_model": NaN, "norm": {"kind": "rms", "eps": Infinity}}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_link_is_a_sentence_soon(name):
    with within(0.5), pytest.raises(Unsupported):
        core.decode(packed(HOSTILE[name]))


def widest() -> core.Architecture:
    """Near every bound of the spec at once."""
    attention = {"kind": "attention", "heads": 1024, "kv_heads": 1024, "head_dim": 256}
    parts = {f"p{i}": attention | {"window": i + 1} for i in range(60)}
    parts |= {"moe": {"kind": "experts", "count": 4096, "top_k": 4096, "d_ff": 1_048_576}}
    blocks = [[f"p{i % 60}", "moe"] for i in range(128)]
    value = {
        "name": "wide",
        "title": "Wide",
        "vocab_size": 16_777_216,
        "d_model": 262_144,
        "context": 1_000_000_000,
        "position": {"kind": "rope"},
        "parts": parts,
        "layers": [{"repeat": 8, "blocks": blocks}],
    }
    return core.decode(packed(json.dumps(value).encode()))


def test_the_widest_architecture_is_analysed_in_bounded_time():
    with within(4):
        arch = widest()
        assert core.cost(arch).parameters > 10**15
        core.graph(arch)
        with pytest.raises(core.Unsupported, match="too large to run live"):
            core.shrink(arch)


OLD_LINKS = [line.split() for line in (Path(__file__).parent / "old_links.txt").read_text().splitlines()[1:]]


@pytest.mark.parametrize("link", OLD_LINKS, ids=range(len(OLD_LINKS)))
def test_a_link_from_before_fields_moved_opens_to_the_same_figures(link):
    *figures, token = link
    arch = core.decode(token)
    cost = core.cost(arch)
    assert [cost.parameters, cost.kv_bytes, cost.decode_flops] == [int(figure) for figure in figures]
    assert core.decode(core.encode(arch)) == arch


def test_a_field_is_found_by_the_name_that_it_had():
    arch = core.load("gemma-2-9b")
    windowed = edited(arch, "parts.local.window", 512)
    assert windowed == edited(arch, "parts.local.sight.window", 512) != arch
    assert windowed.parts["local"].scores == arch.parts["local"].scores, "what is beside it stays"
    hy4 = core.load("hy4-preview").model_dump(mode="json")
    hy4["parts"]["attention"] |= {"gate": True, "gate_channels": False}
    assert parse(hy4).parts["attention"].gate.per == "head", "as a truth value said it"


@pytest.mark.parametrize("path, value", [("window", "wide"), ("window", -1), ("sinks", 3), ("index_heads", [])])
def test_a_wrong_value_under_an_old_name_is_refused_by_todays(path, value):
    with pytest.raises(Unsupported, match=r"parts\.attention\.(sight|scores|indexer)\."):
        edited(core.load("deepseek-v3.2"), f"parts.attention.{path}", value)


def test_a_path_below_a_field_that_moved_is_found():
    arch = edited(core.load("llama-4-scout"), "parts.global.temperature.length", 4096)
    assert arch.parts["global"].scores.temperature.length == 4096


@pytest.mark.parametrize("field", ["gate_channels", "joint_gate"])
def test_an_old_gate_that_is_no_truth_value_is_refused(field):
    with pytest.raises(Unsupported, match=field):
        edited(core.load("hy4-preview"), f"parts.attention.{field}", "x")


def test_an_old_gate_says_what_it_is_per():
    arch = core.load("hy4-preview")
    assert edited(arch, "parts.attention.gate_channels", False).parts["attention"].gate.per == "head"
