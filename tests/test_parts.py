"""Parts against what torch measures: FLOPs, shapes said without running, the forms of a decode."""

import importlib
import math

import pytest
import torch
from hypothesis import given
from parity import perturb
from strategies import architectures
from torch.utils.flop_counter import FlopCounterMode

import core
from core.model import build
from core.parts import PARTS, Mixer
from core.parts.base import Box, causal_pairs, entry_pairs
from core.parts.block_sparse import BlockSparseAttention
from core.parts.latent import LatentAttention
from core.parts.norm import GatedRMSNorm, LayerNorm, RMSNorm
from core.parts.position import Rope
from core.spec import Architecture
from core.trace import trace_part

NEW = 12


def parts_of(arch: Architecture):
    return [(name, arch.part(name)) for name in arch.parts]


def measured_flops(part, d_model: int, new: int) -> dict[str, int]:
    """FlopCounterMode's figures by submodule, on meta."""
    with torch.device("meta"):
        return counted(part.build(d_model), torch.empty(1, new, *part.of_stream(d_model)), **part.beside(1, new, d_model))


def counted(module: torch.nn.Module, *inputs: torch.Tensor, **named: torch.Tensor) -> dict[str, int]:
    with FlopCounterMode(display=False) as counter:
        module(*inputs, **named)
    counts = counter.get_flop_counts()
    root = type(module).__name__
    return {name.removeprefix(f"{root}."): sum(ops.values()) for name, ops in counts.items() if name.startswith(f"{root}.")}


def check_flops(part, d_model: int) -> None:
    """The closed form, submodule by submodule. Attention is measured on the full square of queries and keys, of which
    the closed form counts the pairs that the mask leaves."""
    closed = part.flops_forms(d_model, NEW, 0)["expanded"] if isinstance(part, LatentAttention) else part.flops(d_model, NEW, 0)
    measured = measured_flops(part, d_model, NEW)
    for path, flops in closed.items():
        if path.split(".")[-1] == "core":
            inner = getattr(part, "attention", part)  # of a block that has one inside
            pairs = inner.pairs(NEW, 0) if hasattr(inner, "pairs") else causal_pairs(NEW, 0)
            entries = NEW // part.ratio if getattr(part, "ratio", None) else 0  # beside the tokens
            assert measured[path] * pairs == flops * NEW * (NEW + entries)
        elif path.endswith("_core"):  # one of several branches
            keys = part.entries(NEW) if path == "compressed_core" else NEW
            assert measured.get(path, 0) * part.pairs(NEW, 0)[path] == flops * NEW * keys
        elif path == "choose":
            assert measured.get(path, 0) * entry_pairs(NEW, 0, part.ratio) == flops * NEW * (NEW // part.ratio)
        elif path == "indexer" and part.kind == "pooled_sparse_attention":
            block = part.indexer.block
            assert measured.get(path, 0) * entry_pairs(NEW, 0, block) == flops * NEW * (NEW // block)
        elif path == "indexer":
            assert measured[path] * causal_pairs(NEW, 0) == flops * NEW * NEW
        elif path == "router":  # one product with the router's own weights, in no submodule
            assert measured[path] == flops
        else:
            assert measured.get(path, 0) == flops, path
    if "per_layer" in part.given:
        with torch.device("meta"):
            module = part.beneath(3, d_model)
            below = counted(module, torch.zeros(1, NEW, dtype=torch.long), torch.empty(1, NEW, d_model))
        said = {path: NEW * box.token_flops for path, box in module.named_modules() if isinstance(box, Box)}
        assert {k: v for k, v in below.items() if v} == {k: v for k, v in said.items() if v}

    def known(path: str) -> bool:
        """Whether a closed figure is of this module, of one inside it, or of one around it."""
        return any(f"{p}.".startswith(f"{path}.") or path.startswith(f"{p}.") for p in closed)

    assert not [path for path in measured if measured[path] and not known(path)], "FLOPs that the closed form does not know"


@given(architectures)
def test_flops_are_what_torch_counts(arch):
    for _, part in parts_of(arch):
        check_flops(part, arch.d_model)


@pytest.mark.parametrize("name", core.presets())
def test_flops_of_presets_are_what_torch_counts(name):
    arch = core.load(name)
    for _, part in parts_of(arch):
        check_flops(part, arch.d_model)


@pytest.mark.parametrize(("window", "chunk"), [(None, None), (5, None), (None, 5), (1, None), (None, 1), (50, None)])
def test_causal_pairs_are_counted(window, chunk):
    def sees(q: int, k: int) -> bool:
        return k <= q and (window is None or q - k < window) and (chunk is None or q // chunk == k // chunk)

    for past in range(12):
        for new in range(1, 9):
            counted = sum(sees(q, k) for q in range(past, past + new) for k in range(past + new))
            assert causal_pairs(new, past, window, chunk) == counted


@pytest.mark.parametrize(("block", "top", "local"), [(4, 2, 1), (3, 1, 1), (1, 3, 2), (5, 2, 0), (4, 9, 1)])
def test_pairs_of_chosen_blocks_are_those_of_a_run(block, top, local):
    part = BlockSparseAttention(
        kind="block_sparse_attention", heads=4, kv_heads=2, head_dim=8,
        indexer=dict(heads=2, dim=8, block=block, top_blocks=top, local_blocks=local), norm=RMSNorm(), position=Rope(),
    )  # fmt: skip
    torch.manual_seed(0)
    module, length, seen = part.build(32), 23, []
    module.core.register_forward_hook(
        lambda core, args, out: seen.append(core.seen(args[3], length, *args[4:]).expand(1, 2, 2, length, length))
    )
    module(torch.randn(1, length, 32), torch.arange(length))
    pairs = seen[0].flatten(0, 2).sum(dim=(-1, -2))  # of each head
    assert (pairs == part.pairs(length, 0)).all() if local else (pairs >= part.pairs(length, 0)).all()


@given(architectures)
def test_boxes_give_the_shapes_that_they_promise(arch):
    """What analysis takes on trust from a box (`keeps_shape`, `outline`) is what a live run gives."""
    model = build(arch, device="cpu")
    seen = []

    def look(module, args, kwargs, out):
        given_out = out if isinstance(out, tuple) else (out,)
        promised = module.outline(*args, **kwargs)
        promised = promised if isinstance(promised, tuple) else (promised,)
        assert [t.shape for t in promised] == [t.shape for t in given_out], type(module).__name__
        seen.append(type(module))

    for module in model.modules():
        if isinstance(module, Box) and (module.keeps_shape or type(module).outline is not Box.outline):
            module.register_forward_hook(look, with_kwargs=True)
    with torch.inference_mode():
        model(torch.zeros(2, 7, dtype=torch.long))
    assert seen


def shorter(symbol: str, length: int) -> int:
    """What "T/16" and "T/16−1" are of a text of `length` tokens."""
    per, _, less = symbol.removeprefix("T").removeprefix("/").partition("−")
    return max(0, length // int(per or 1) - int(less or 0))


@given(architectures)
def test_traced_shapes_are_those_of_a_run(arch):
    """Every operation of a part's trace, with B and T put in."""
    batch, length = 2, 5
    sizes = {"B": batch, "T": length}
    for _, part in parts_of(arch):
        traced = trace_part(part, arch.d_model)
        module, shapes = part.build(arch.d_model), {}

        def note(inner, args, out, shapes=shapes):
            shapes.setdefault(inner.path, (out[0] if isinstance(out, tuple) else out).shape)

        for path, inner in module.named_modules():
            if isinstance(inner, Box):
                inner.path = path
                inner.register_forward_hook(note)
        x = torch.zeros(batch, length, *part.of_stream(arch.d_model))
        with torch.inference_mode():
            module(x, **part.beside(batch, length, arch.d_model))
        for op in traced.operations:
            if op.path in shapes and not op.again:
                expected = tuple(sizes.get(n, n) if n in sizes or isinstance(n, int) else shorter(n, length) for n in op.shape)
                assert expected == tuple(shapes[op.path]), op.path


@pytest.mark.parametrize("q_rank", [None, 24])
def test_latent_attention_decodes_alike_in_both_forms(q_rank):
    part = LatentAttention(kind="latent_attention", heads=3, kv_rank=16, q_rank=q_rank, nope_dim=16, rope_dim=8, v_dim=12, position=Rope())
    torch.manual_seed(0)
    module = part.build(32)
    perturb(module)
    x, outs, past = torch.randn(2, 20, 32), [], 19
    for expand in (True, False):
        module.latent_cache.clear(on=True)
        module.key_cache.clear(on=True)
        module.expand = lambda _, expand=expand: expand
        with torch.inference_mode():
            module(x[:, :past], torch.arange(past))
            outs.append(module(x[:, past:], torch.arange(past, past + 1)))
    assert (outs[0] - outs[1]).abs().max() < 1e-5


@pytest.mark.parametrize(("past", "form"), [(0, "expanded"), (1, "absorbed"), (4096, "absorbed")])
def test_decode_takes_the_cheaper_form(past, form):
    part = core.load("deepseek-v3").part("attention")
    forms = part.flops_forms(7168, 1, past)
    assert part.flops(7168, 1, past) == forms[form] == min(forms.values(), key=lambda f: f.total)
    assert min(part.flops_forms(7168, 4096, 0).items(), key=lambda f: f[1].total)[0] == "expanded"


def test_absorbed_flops_are_what_torch_counts():
    part = core.load("deepseek-v3").part("attention")
    past, d = 99, 7168
    with torch.device("meta"):
        module = part.build(d)
        module.latent_cache.clear(on=True)
        module.key_cache.clear(on=True)
        module(torch.empty(1, past, d), torch.arange(past))
        with FlopCounterMode(display=False) as counter:
            module(torch.empty(1, 1, d), torch.arange(past, past + 1))
    assert counter.get_total_flops() == part.flops(d, 1, past).total == part.flops_forms(d, 1, past)["absorbed"].total


@pytest.mark.parametrize(
    "family, name, ours",
    [
        ("gemma3", "Gemma3RMSNorm", RMSNorm(unit_offset=True).build(64)),
        ("qwen3_next", "Qwen3NextRMSNorm", RMSNorm(unit_offset=True).build(64)),
        ("gpt_oss", "GptOssRMSNorm", RMSNorm().build(64)),
        ("qwen3_next", "Qwen3NextRMSNormGated", GatedRMSNorm(64, 1e-6)),
        ("mamba2", "MambaRMSNormGated", GatedRMSNorm(64, 1e-6, groups=2, gate_first=True)),
    ],
)
def test_norms_are_those_of_transformers_to_the_bit_in_bfloat16(family, name, ours):
    code = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    theirs = getattr(code, name)(64, *([32] if "Mamba" in name else []), eps=1e-6).bfloat16()
    theirs.weight.data = torch.randn(64, generator=torch.Generator().manual_seed(0)).bfloat16()
    ours.bfloat16().load_state_dict(theirs.state_dict())
    inputs = torch.randn(1 + ("Gated" in name), 4, 32, 64, generator=torch.Generator().manual_seed(1)).bfloat16()
    assert torch.equal(ours(*inputs), theirs(*inputs))


def test_norms_are_what_their_papers_say():
    torch.manual_seed(0)
    x = torch.randn(3, 8) * 4 + 1
    rms = RMSNorm(eps=0.01).build(8)
    assert torch.allclose(rms(x), x / (x.square().mean(-1, keepdim=True) + 0.01).sqrt(), atol=1e-6)
    offset = RMSNorm(unit_offset=True).build(8)
    assert torch.equal(offset.weight, torch.zeros(8)) and torch.allclose(offset(x), RMSNorm().build(8)(x))
    assert not list(RMSNorm(weight=False).build(8).parameters())
    layer = LayerNorm(eps=0.01).build(8)
    assert torch.allclose(layer(x), (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 0.01).sqrt(), atol=1e-6)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rope_makes_scores_depend_on_distance_alone(interleaved):
    rotary = Rope(interleaved=interleaved, fraction=0.5).rotary(16)
    torch.manual_seed(0)
    q, k = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def score(m: int, n: int) -> float:
        return float((rotary(q, torch.tensor([m])) * rotary(k, torch.tensor([n]))).sum())

    assert math.isclose(score(3, 1), score(40, 38), abs_tol=1e-4) and not math.isclose(score(3, 1), score(4, 1), abs_tol=1e-3)
    assert torch.equal(rotary(q, torch.tensor([7]))[..., 8:], q[..., 8:])


def test_every_technique_says_what_it_is():
    for kind, part in PARTS.items():
        assert part.title and part.role and part.__doc__, kind
    for name in core.presets():
        arch = core.load(name)
        for _, part in parts_of(arch):
            words = part.explain(arch.d_model)
            assert words.endswith(".") and 40 < len(words) < 700
            assert list(part.facts()) and part.label
            assert isinstance(part, Mixer) == part.mixes
