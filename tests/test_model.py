"""The live models: cached decode is the full forward, the future never changes the past, caches are as large as said."""

import pytest
import torch
from hypothesis import given
from parity import double_precision, perturb, stepwise
from strategies import architectures

import core
from core.model import Model, build, build_mtp, parameters, shapes, shrink, summary
from core.spec import Architecture, Workload, parse

# Of logits about one, in double precision: rounding grows a thousandfold and more through some drawn stacks.
TOLERANCE = 1e-5
LENGTH = 40  # past every window and chunk of a shrunk model


def live(arch: Architecture, dtype: torch.dtype = torch.float32) -> Model:
    torch.manual_seed(0)
    model = build(arch, device="cpu", dtype=dtype)
    perturb(model)
    return model


def tokens_for(arch: Architecture, length: int = LENGTH) -> torch.Tensor:
    """Random tokens, no two alike where the vocabulary has so many: alike ones score alike, and a choice between them is
    nobody's to make."""
    torch.manual_seed(1)
    length = min(length, arch.context)
    if arch.vocab_size < length:
        return torch.randint(arch.vocab_size, (2, length))
    return torch.stack([torch.randperm(arch.vocab_size)[:length] for _ in range(2)])


@torch.inference_mode()
def holds(arch: Architecture) -> None:
    """What every live model must do."""
    model, tokens = live(arch), tokens_for(arch)
    with double_precision():
        unchanged_by_cache_or_future(live(arch, torch.float64), tokens)

    with model.caching():
        model(tokens)
        measured = model.cache_bytes
    stated = core.cost(arch, Workload(batch=2, context=tokens.shape[1], cache="fp32"))
    assert measured == stated.kv_bytes + stated.state_bytes
    assert model.cache_bytes == 0, "what was kept is let go"


def unchanged_by_cache_or_future(model: Model, tokens: torch.Tensor) -> None:
    full, vocab_size = model(tokens), model.arch.vocab_size
    assert full.isfinite().all() and full.shape == (*tokens.shape, model.arch.head.kept or vocab_size)
    spread = full.std().item()
    assert spread > 1e-3, "the weights do not matter, so the comparison says nothing"

    steps = stepwise(model, tokens)
    assert (steps - full).abs().max() <= TOLERANCE * max(1.0, spread), "a cached decode is not the full forward"

    later = tokens.clone()
    later[:, -8:] = (later[:, -8:] + 1) % vocab_size
    changed = model(later)
    assert (changed[:, :-8] - full[:, :-8]).abs().max() <= TOLERANCE * max(1.0, spread), "a later token changed an earlier one"
    assert vocab_size == 1 or not torch.equal(changed[:, -8:], full[:, -8:])


@pytest.mark.long
@pytest.mark.parametrize("name", core.presets())
def test_every_preset_runs_live(name):
    small = shrink(core.load(name))
    assert parameters(build(small)) < 40_000_000
    # Through dozens of layers with such weights rounding alone changes which experts are chosen.
    fewer = small.model_dump() | {"layers": [s.model_dump() | {"repeat": min(s.repeat, max(1, 2 // len(s.blocks)))} for s in small.layers]}
    holds(parse(fewer))


@given(architectures)
def test_any_architecture_runs_live(arch):
    holds(arch)


@pytest.mark.parametrize("name", core.presets())
def test_a_shrunk_model_has_the_same_structure(name):
    arch = core.load(name)
    small = shrink(arch)
    assert shrink(small).sequence == small.sequence
    assert set(small.distinct()) == set(arch.distinct())
    for part in arch.parts:
        full, little = arch.parts[part], small.parts[part]
        assert full.kind == little.kind
        for field in ("count", "router", "activation", "qk_norm", "scores", "bias", "weigh"):
            assert getattr(full, field, None) == getattr(little, field, None)
        if full.role == "experts":
            assert full.top_k == little.top_k
        if hasattr(full, "kv_heads"):
            assert full.heads // full.kv_heads == little.heads // little.kv_heads


@pytest.mark.parametrize(("name", "part"), [("deepseek-v3.2", "attention"), ("zaya1-8b", "attention"), ("jetmoe-8b", "attention")])
def test_a_shrunk_model_fits_the_lists_of_its_scaling(name, part):
    value = core.load(name).model_dump()
    rope, own = value["position"], value["parts"][part]
    lists = [1.0] * (int(own.get("rope_dim", own.get("head_dim")) * rope["fraction"]) // 2)
    scaling = {"kind": "longrope", "factor": 4.0, "original_context": 4096, "short_factor": lists, "long_factor": lists}
    own["position"] = rope | {"scaling": scaling}
    small = shrink(parse(value))
    assert small.parts[part].position.scaling == parse(value).parts[part].position.scaling


@pytest.mark.parametrize("name", ["gpt2", "deepseek-v3"])
def test_generate_is_what_the_logits_say(name):
    arch = shrink(core.load(name))
    model, tokens = live(arch), tokens_for(arch, 6)
    made = torch.cat(list(model.generate(tokens, 5)), dim=1)
    with torch.inference_mode():
        whole = torch.cat((tokens, made), dim=1)
        expected = model(whole)[:, 5:-1].argmax(-1)
    assert torch.equal(made, expected)
    warm = [torch.cat(list(model.generate(tokens, 8, temperature=5.0, seed=seed)), dim=1) for seed in (1, 1, 2)]
    assert torch.equal(warm[0], warm[1]) and not torch.equal(warm[0], warm[2])


BASE = {
    "name": "small", "title": "Small", "vocab_size": 32, "d_model": 16, "context": 64, "position": {"kind": "rope"},
    "parts": {"a": {"kind": "attention", "heads": 2, "kv_heads": 1, "head_dim": 8}, "f": {"kind": "feed_forward", "d_ff": 32}},
}  # fmt: skip


def test_a_shortcut_joins_the_stream_later():
    parts = BASE["parts"] | {"m": {"kind": "experts", "count": 4, "top_k": 2, "d_ff": 8}}
    block = ["a", {"parts": ["m", "f"], "shortcut": {"m": 2}}, "a", "f"]
    arch = parse(BASE | {"parts": parts, "layers": [{"repeat": 2, "blocks": [block]}]})
    holds(arch)
    edges = core.graph(arch).edges
    late = [b for a, b in edges if a.startswith("layers.0.m.") and not b.startswith("layers.0.m.")]
    assert late == ["layers.0.m_add_1"], "the experts' output is added after the last step, not at its own"


def test_layers_may_share_weights_and_caches():
    lender = BASE["parts"]["a"]
    parts = {"a": lender | {"tied": True}, "f": BASE["parts"]["f"], "r": lender | {"cache_from": "a"}}
    arch = parse(BASE | {"parts": parts, "layers": [{"repeat": 3, "blocks": [["a", "f"], ["r", "f"]]}]})
    holds(arch)
    one = core.cost(arch)
    alone = core.cost(parse(BASE | {"parts": parts | {"a": lender}, "layers": [{"repeat": 3, "blocks": [["a", "f"], ["r", "f"]]}]}))
    projections = 16 * (16 + 8 + 8 + 16)
    assert alone.parameters - one.parameters == 2 * projections
    assert parameters(build(arch)) == one.parameters == core.graph(arch).nodes["model"]["parameters"]
    assert one.kv_bytes_per_token == 3 * 2 * 8 * 2  # layers, key and value, channels, bytes


def test_prediction_modules_run_and_count():
    arch = shrink(core.load("deepseek-v3"))
    model, tokens = live(arch), tokens_for(arch)
    ahead = build_mtp(arch, device="cpu")
    with torch.inference_mode():
        stream = model.norm(model.stream(tokens))
        joined = ahead[0](stream[:, :-1], model.embedding(tokens[:, 1:]), torch.arange(tokens.shape[1] - 1))
        assert model.head(joined).shape == (2, tokens.shape[1] - 1, arch.vocab_size)
    assert parameters(build_mtp(core.load("deepseek-v3"))) == core.cost(core.load("deepseek-v3")).mtp_parameters == 11_610_067_968


@pytest.mark.long
@pytest.mark.parametrize("name", core.presets())
def test_the_table_view_adds_up(name):
    """Each layer's table holds all that the layer computes with; the cost's rows hold what layers share once."""
    arch = core.load(name)
    table = {steps: summary(arch, steps).total_params for steps in arch.distinct()}
    layers = build(arch).layers
    for steps, layer in zip(arch.sequence, layers, strict=True):
        assert table[steps] == parameters(layer)
    blocks = sum(row.parameters for row in core.cost(arch).rows if row.block not in ("model", "ahead of the model"))
    assert blocks == parameters(layers)
    assert (blocks < sum(map(parameters, layers))) == any(part.tied for part in arch.parts.values())


def test_types_and_devices():
    arch = shrink(core.load("gpt2"))
    assert {p.dtype for p in build(arch, dtype=torch.bfloat16, device="cpu").parameters()} == {torch.bfloat16}
    assert {p.device.type for p in build(core.load("deepseek-v3")).parameters()} == {"meta"}
    assert torch.get_default_dtype() == torch.float32


KEEPING = {  # a preset for each kind of part that keeps anything
    part.kind: arch
    for arch in map(core.load, core.presets())
    for part in map(arch.part, arch.parts)
    if part.cache(1) or part.state(arch.d_model)
}


@pytest.mark.parametrize("kind", KEEPING)
@torch.inference_mode()
def test_what_is_kept_in_bf16_is_what_the_cost_says(kind):
    """Caches in the model's own type, recurrent sums in float32, as both are served."""
    arch = core.shrink(KEEPING[kind])
    model, tokens = build(arch, device="cpu", dtype=torch.bfloat16), tokens_for(arch, 12)
    with model.caching():
        model(tokens)
        measured = model.cache_bytes
    stated = core.cost(arch, Workload(batch=2, context=tokens.shape[1]))
    assert measured == stated.kv_bytes + stated.state_bytes


@pytest.mark.parametrize("name", ["gemma-3n-e4b", "zamba2-7b", "deepseek-v3", "longcat-flash-lite"])
def test_shapes_are_those_of_the_built_model(name):
    arch = core.load(name)
    model = core.build(arch)
    built = model.named_parameters(), model.named_buffers()
    assert shapes(arch) == tuple({path: tuple(tensor.shape) for path, tensor in some} for some in built)
