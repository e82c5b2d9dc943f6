"""No architecture that the spec accepts takes a stage longer or more memory than a page may: what bounds them."""

import random
import threading
from time import sleep

import pytest
import torch
from clock import within

import core
from core.budget import scaled
from core.hf.gguf import from_gguf, of_bytes
from core.kinds import carried, first_value
from core.library import preset
from core.model import LIVE_PARAMETERS, LIVE_PARTS, build, shrink
from core.parts import PARTS
from core.routing import route
from core.spec import MAX_BLOCKS, MAX_PLACES, Unsupported, parse
from core.split import split
from core.trace import trace_frame, trace_part
from tests.fuzz import _fields, _said, _written

ATTENTION = {"kind": "attention", "heads": 4, "kv_heads": 2, "head_dim": 16}
DENSE = {"kind": "feed_forward", "d_ff": 64}
POOLED = {"compressed_attention", "native_sparse_attention", "pooled_sparse_attention"}  # one entry for several tokens
EXPERTS = {"kind": "experts", "count": 4, "top_k": 2, "d_ff": 64}


def small(layers: list, d_model: int = 64, **parts: dict) -> dict:
    return {
        "name": "small", "title": "Small", "vocab_size": 512, "d_model": d_model, "context": 512, "position": {"kind": "rope"},
        "parts": parts, "layers": layers,
    }  # fmt: skip


def varied(count: int, steps: int) -> list[list[str]]:
    """So many blocks, all different, of `a` and `b`."""
    return [[*("ab"[(n >> bit) & 1] for bit in range(4)), *"a" * (steps - 4)] for n in range(count)]


def test_blocks_that_differ_are_bounded():
    places = small([{"blocks": varied(8, 16)}], a=ATTENTION, b=DENSE)
    assert core.cost(parse(places)).parameters
    with pytest.raises(
        Unsupported, match=f"9 different blocks with 144 parts in them are too many; give at most {MAX_BLOCKS} with {MAX_PLACES}"
    ):
        parse(small([{"blocks": varied(9, 16)}], a=ATTENTION, b=DENSE))
    parts = {f"p{n}": DENSE for n in range(60)}
    blocks = [[name] for name in parts] + [["p0", name] for name in parts]
    with pytest.raises(Unsupported, match="120 different blocks with 180 parts"):
        parse(small([{"blocks": blocks}], **parts))


def test_steps_that_are_written_out_are_bounded():
    with pytest.raises(Unsupported, match=r"4,096 steps are written out; give at most 2,048, and use `repeat`"):
        parse(small([{"blocks": [["a", "b"] * 8] * 128}] * 2, a=ATTENTION, b=DENSE))


def test_repeats_are_no_different_blocks():
    arch = parse(small([{"repeat": 8, "blocks": [["a", "b"]] * 128}], a=ATTENTION, b=DENSE))
    assert arch.depth == 1_024


def as_long_as_accepted(kv_heads: int = 8, heads: int = 32, seed: int = 0) -> core.Architecture:
    """1,024 layers, all written out, of 64 different blocks in an order of this seed."""
    each = [ATTENTION | {"heads": heads, "kv_heads": kv_heads}, DENSE]
    parts = {f"p{n}": each[n % 2] | ({"d_ff": 64 + n} if n % 2 else {}) for n in range(64)}
    blocks = [[f"p{n}", f"p{m}"] for n in range(0, 64, 2) for m in (n + 1, (n + 3) % 64)]
    dice = random.Random(seed)
    return parse(small([{"blocks": dice.sample(blocks * 2, 128)} for _ in range(8)], **parts))


@pytest.mark.parametrize("after", [{"kv_heads": 5, "heads": 30}, {"seed": 1}, {"kv_heads": 4, "seed": 2}], ids=str)
def test_the_edits_between_long_architectures_have_a_budget(after):
    """Each of up to 96 tries validates a whole architecture."""
    base, arch = as_long_as_accepted(), as_long_as_accepted(**after)
    with within(1):
        edits = split(base, arch)
    assert edits[-1].after == arch


def test_the_headers_that_fuzz_changes_are_read_unchanged():
    found = from_gguf(of_bytes(_written(*_said("qwen3-0.6b"))))
    assert found.parts["attention"].heads == preset("qwen3-0.6b").parts["attention"].heads and found.depth == 28


def test_varied_layers_are_not_fitted_to_a_budget():
    """Each width that is tried costs a whole analysis: 17 s for the most varied layers that are accepted."""
    with pytest.raises(Unsupported, match="different blocks with 128 parts in them are too many to fit to a budget; give at most 32"):
        scaled(as_long_as_accepted(), parameters=8e9)


def test_the_deepest_model_is_fitted():
    """One layer more than are accepted is never built on the way."""
    embedding = {"kind": "per_layer_embedding", "width": 256, "rows": 512, "tied": True}
    arch = parse(small([{"repeat": 1_024, "blocks": [["a", "p"]]}], a=ATTENTION, p=embedding))
    assert abs(scaled(arch, parameters=core.cost(arch).parameters * 0.8).off) < 0.05


def test_the_strip_of_long_layers_takes_time_in_line_with_its_blocks():
    from app.kit.strip import MOST, _html

    arch = as_long_as_accepted()
    with within(0.3):
        html = _html(arch, None, "", "", ())
    assert 0 < html.count('class="block') <= MOST and "more segments" in html


@pytest.mark.parametrize("kind", sorted(PARTS))
def test_tensors_of_every_part_can_be_counted(kind):
    """With its fields at their bounds a part is refused, or none of its widths is so large that the trace takes it for a length."""
    dice, traced = random.Random(kind), 0
    for _ in range(40):
        part = first_value(kind, carried(PARTS["attention"].model_validate(ATTENTION | {"head_dim": 64}), kind))
        d_model = dice.choice([1, 64, 4_096, 262_144])
        value = small([{"repeat": dice.choice([1, 1_024]), "blocks": [["part"]]}], d_model, part=part)
        for _ in range(dice.randint(0, 3)):
            _fields(dice, PARTS[kind], part, most=0.8)
        if kind == "ngram_streams":
            value["residual"] = {"kind": "all_streams", "streams": 4}
        try:
            arch = parse(value)
        except Unsupported:
            continue
        traces = [trace_part(arch.part("part"), arch.d_model)]
        traces.append(trace_frame(arch))
        sizes = {str(n) for trace in traces for op in trace.operations for n in op.shape}
        assert kind in POOLED or not [n for n in sizes if "/" in n or "−" in n], part
        assert core.graph(arch) and core.cost(arch).to_dict()
        traced += 1
    assert traced > 2


@pytest.mark.parametrize(
    "field, part",
    [
        ("heads: 1,024 × 8,192 channels", {"kind": "lightning_attention", "heads": 1_024, "head_dim": 8_192}),
        ("heads: 1,024 × 8,192 channels", {"kind": "kimi_delta", "heads": 1_024, "head_dim": 8_192}),
        ("heads: 1,024 × 1,024 channels", {"kind": "attention", "heads": 1_024, "kv_heads": 1, "head_dim": 1_024}),
        ("indexer: heads", {**ATTENTION, "kind": "block_sparse_attention", "indexer": {"heads": 1_024, "dim": 8_192, "top_blocks": 4}}),
        ("top_blocks", {**ATTENTION, "kind": "block_sparse_attention", "indexer": {"heads": 4, "dim": 16, "top_blocks": 999_999}}),
        ("extent: 4 × 1,000,000,000", {**ATTENTION, "kind": "relative_attention", "relative_dim": 16, "extent": 1_000_000_000}),
        ("heads: 4,096 × 8,320", {"kind": "mamba2", "heads": 4_096, "head_dim": 8_192, "state_size": 128}),
        ("width: 1,024 × 1,048,576", {"kind": "per_layer_embedding", "width": 1_048_576, "rows": 512}),
    ],
)  # fmt: skip
def test_products_of_fields_are_bounded(field, part):
    with pytest.raises(Unsupported, match=field):
        parse(small([{"repeat": 1_024, "blocks": [["part"]]}], part=part))


def test_all_streams_together_are_bounded():
    value = small([{"blocks": [["a"]]}], d_model=262_144, a=DENSE)
    parse(value)
    with pytest.raises(Unsupported, match=r"residual\.streams: 4 × 262,144"):
        parse(value | {"residual": {"kind": "hyper", "streams": 4}})


def test_a_per_layer_embedding_keeps_the_rule_for_its_norm_where_the_model_gives_it():
    value = small([{"blocks": [["a", "ple"]]}], a=DENSE, ple={"kind": "per_layer_embedding", "width": 8, "rows": 16})
    shrink(parse(value))
    with pytest.raises(Unsupported, match=r"parts.ple: norm: the norm of the projection needs a weight"):
        parse(value | {"norm": {"kind": "rms", "weight": False}})


def test_a_narrow_model_of_wide_parts_does_not_run_live():
    value = small([{"blocks": [["a", "moe"]]}], a=ATTENTION, moe=EXPERTS | {"count": 1_024, "d_ff": 1_048_576})
    for stage in (shrink, route):
        with pytest.raises(Unsupported, match="too large to run live"):
            stage(parse(value))


def test_a_deep_model_is_shallower_live():
    live = shrink(parse(small([{"repeat": 512, "blocks": [["a", "b"], ["b"]]}], a=ATTENTION, b=DENSE)))
    assert sum(len(step.parts) for block in live.sequence for step in block) <= LIVE_PARTS < 512 * 3
    with pytest.raises(Unsupported, match="1,024 parts in layers that do not repeat"):
        shrink(parse(small([{"blocks": [["a"], ["b"]] * 64}] * 8, a=ATTENTION, b=DENSE)))


@pytest.mark.parametrize("name", ["kimi-k2", "llama-3.1-405b", "hrm-text-1b"])
def test_published_models_keep_their_size_live(name):
    live = build(shrink(core.load(name)))
    assert sum(p.numel() for p in live.layers.parameters()) < 1.1 * LIVE_PARAMETERS
    assert len(live.layers) >= min(14, core.load(name).depth)


def test_a_text_is_shorter_where_a_live_model_works_more():
    many = {"kind": "mamba2", "heads": 4, "head_dim": 16, "state_size": 16}
    deep = route(parse(small([{"repeat": 150, "blocks": [["mamba", "moe"]]}], mamba=many, moe=EXPERTS)))
    shallow = route(parse(small([{"blocks": [["mamba", "moe"]]}], mamba=many, moe=EXPERTS)))
    assert 8 < len(deep.tokens) < len(shallow.tokens)


def test_building_in_another_type_leaves_the_process_as_it_is():
    seen, done = set(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.add(torch.zeros(1).dtype)
            sleep(1e-4)

    watcher = threading.Thread(target=watch)
    watcher.start()
    arch = shrink(core.load("qwen3-0.6b"))
    models = [build(arch, device="cpu", dtype=torch.float64) for _ in range(5)]
    done.set()
    watcher.join()
    assert seen == {torch.float32}
    assert {p.dtype for p in models[0].parameters()} == {torch.float64}
