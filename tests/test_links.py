"""What parts read of earlier layers: found once, refused with a sentence, wired to the right module, drawn."""

import pytest
import torch

import core
from core.model import build_mtp
from core.spec import Unsupported, edited, parse

ATTENTION = {"kind": "attention", "heads": 2, "kv_heads": 1, "head_dim": 8}
EXPERTS = {"kind": "experts", "count": 4, "top_k": 2, "d_ff": 8}


def model(blocks: list, **parts: dict) -> dict:
    return {
        "name": "m", "title": "M", "vocab_size": 32, "d_model": 16, "context": 64, "position": {"kind": "rope"},
        "parts": parts, "layers": [{"blocks": blocks}],
    }  # fmt: skip


def found(arch: core.Architecture) -> list[tuple]:
    return [(link.layer, link.part, link.source_layer, link.source) for link in arch.links]


def test_the_nearest_earlier_layer_lends():
    reader = ATTENTION | {"cache_from": "a"}
    arch = parse(model([["a"], ["b"], ["a"], ["r"], ["r"]], a=ATTENTION, b=ATTENTION, r=reader))
    assert found(arch) == [(3, "r", 2, "a")] * 2 + [(4, "r", 2, "a")] * 2, "keys and values"
    previous = parse(model([["a"], ["b"], ["r"]], a=ATTENTION, b=ATTENTION, r=reader | {"cache_from": "previous"}))
    assert found(previous) == [(2, "r", 1, "b")] * 2


def test_a_part_that_stands_twice_in_a_block_is_wired_twice():
    arch = parse(model([["a", "a"], ["r", "r"]], a=ATTENTION, r=ATTENTION | {"cache_from": "a"}))
    assert {link.part for link in arch.links} == {"r", "r_2"} and {link.source for link in arch.links} == {"a_2"}
    live = core.build(arch, device="cpu")
    first, second = live.layers[1].r, live.layers[1].r_2
    assert first.k_cache.source[0] is second.k_cache.source[0] is live.layers[0].a_2.k_cache
    tokens = torch.randint(32, (1, 12))
    with torch.inference_mode():
        before = live(tokens)
        live.layers[0].a_2.v.weight.mul_(2)
        assert not torch.allclose(before, live(tokens))


@pytest.mark.parametrize(
    "reader, sentence",
    [
        ({"cache_from": "c"}, r"parts\.r\.cache_from: no layer before 1 lends what it names"),
        ({"cache_from": "a", "head_dim": 16}, r"parts\.r\.cache_from: a keeps tensors of another shape"),
        ({"cache_from": "a", "sight": {"window": 9}}, r"parts\.r\.cache_from: a keeps only 8 tokens"),
        ({"cache_from": "a"}, r"parts\.r\.cache_from: a keeps only 8 tokens"),
    ],
)
def test_what_no_layer_lends_is_refused(reader, sentence):
    lender = ATTENTION | {"sight": {"window": 8}}
    with pytest.raises(Unsupported, match=sentence):
        parse(model([["a"], ["r"]], a=lender, r=ATTENTION | reader))


def test_a_router_reads_the_one_before_and_the_picture_shows_it():
    router = {"hidden": 8}
    arch = parse(
        model([["first"], ["then"], ["then"]], first=EXPERTS | {"router": router},
              then=EXPERTS | {"router": router | {"carry": True}})
    )  # fmt: skip
    assert found(arch) == [(1, "then", 0, "first"), (2, "then", 1, "then")]
    edge = core.graph(arch).edges["layers.0.first.router", "layers.1.then.router"]
    assert edge["shape"] == ["B", "T", 8] and edge["beside"]
    with pytest.raises(Unsupported, match=r"parts\.then\.router\.carry: first keeps tensors of another shape"):
        parse(
            arch.model_dump(mode="json")
            | {"parts": {"first": EXPERTS | {"router": {"hidden": 16}}, "then": arch.parts["then"].model_dump(mode="json")}}
        )


def test_a_layer_is_told_its_number():
    part = {"kind": "differential_attention", "heads": 4, "kv_heads": 2, "head_dim": 8}
    live = core.build(parse(model([["a"], ["a"], ["a"]], a=part)), device="cpu")
    assert [layer.a.core.layer for layer in live.layers] == [0, 1, 2]
    assert live.layers[2].a.core.start > live.layers[0].a.core.start


@pytest.mark.parametrize("more", [{"cache_from": "a"}, {"cache_from": "previous"}])
def test_a_module_that_predicts_ahead_reads_no_layer(more):
    value = model([["a"], ["r"]], a=ATTENTION, r=ATTENTION | more) | {"mtp": {"block": ["r"]}}
    with pytest.raises(Unsupported, match="reads what only the model's own layers get"):
        parse(value)


def test_a_module_that_predicts_ahead_has_the_next_number():
    part = {"kind": "differential_attention", "heads": 4, "kv_heads": 2, "head_dim": 8}
    value = model([["a"], ["a"], ["a"]], a=part) | {"mtp": {"count": 2, "block": ["a"]}}
    assert [module.block.a.core.layer for module in build_mtp(parse(value))] == [3, 4]


@pytest.mark.parametrize("name", ["tokens", "positions", "embedded", "per_layer", "layer"])
@pytest.mark.parametrize(
    "preset, path",
    [
        ("gemma-4-e4b", "parts.local_shared.cache_from"),
        ("rwkv-7-world-1.5b", "parts.time_mix.value_from"),
        ("hy4-preview", "parts.following.choice_from"),
    ],
)
def test_what_the_model_passes_is_no_part(preset, path, name):
    with pytest.raises(Unsupported, match=f"{path}: no layer before .* lends"):
        edited(core.load(preset), path, name)
