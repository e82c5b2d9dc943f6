"""Architectures that hypothesis draws: every part, every field and every way to join them, small enough to run live.

What is said here is what must fit together: widths, counts, how parts stand in layers. All other fields of a class are
drawn from its schema, so a new part and a new field are drawn as well, and `test_fields.py` says if one is not. A part whose
fields must fit together (heads that divide) has its own line in `BASES`.
"""

from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from hypothesis import assume
from hypothesis import strategies as st
from pydantic import ValidationError

from core.links import between
from core.parts import PARTS, AnyResidual
from core.parts.altup import AltUp
from core.parts.attention import Attention
from core.parts.attention_experts import AttentionExperts
from core.parts.base import Part, Spec
from core.parts.block_sparse import BestKeyIndexer, BlockSparseAttention
from core.parts.compressed import CompressedAttention, EntryIndexer
from core.parts.convolutional_attention import ConvolutionalAttention
from core.parts.delta import GatedDeltaNet
from core.parts.differential import DifferentialAttention
from core.parts.dynamic_mask import DynamicMaskAttention
from core.parts.experts import Experts, Shared
from core.parts.feedforward import FeedForward
from core.parts.kimi_delta import KimiDelta
from core.parts.latent import LatentAttention
from core.parts.mamba import Mamba
from core.parts.mamba2 import Mamba2
from core.parts.native_sparse import NativeSparseAttention
from core.parts.ngram import NGrams
from core.parts.ngram_streams import NGramStreams
from core.parts.norm import Norm
from core.parts.per_layer import PerLayerEmbedding
from core.parts.pooled_sparse import PooledIndexer, PooledSparseAttention
from core.parts.position import Dynamic, Learned, Llama3, LongRope, Position, Rope, Yarn
from core.parts.product_keys import ProductKeyExperts
from core.parts.relative import RelativeAttention
from core.parts.residual import Residual
from core.parts.rglru import RGLRU
from core.parts.router import Router
from core.parts.shared_block import SharedBlock
from core.parts.sparse import SparseLatentAttention, TokenIndexer
from core.parts.sparse_gated_latent import SparseGatedLatentAttention
from core.spec import Architecture, Head, MultiTokenPrediction, Step, Unsupported, parse

VOCABULARY, CONTEXT = 48, 64
HEAD_DIMS = st.sampled_from([8, 16])


# ---- a class's fields from its schema ----


def given(**fields):
    """A mapping of the fields that are drawn, without those that are drawn as None."""
    return st.fixed_dictionaries(fields).map(lambda value: {k: v for k, v in value.items() if v is not None})


def maybe(strategy):
    return st.none() | strategy


@cache
def values(annotation):
    """Small values of a field's type. Some are out of its bounds: those are left out where they are drawn."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values(args[0])
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (Union, UnionType):
        return st.one_of(values(one) for one in args if one is not NoneType)
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return drawn(annotation)
    plain = {bool: st.sampled_from([False, True]), int: st.integers(0, 9), float: st.sampled_from([0.5, 3.0])}
    return plain.get(annotation, st.nothing())


def required(cls):
    """The kind and the fields without a default: small widths."""
    fields = {name: field for name, field in cls.model_fields.items() if field.is_required() or name == "kind"}
    return given(
        **{name: st.sampled_from([4, 8]) if values(f.annotation) is values(int) else values(f.annotation) for name, f in fields.items()}
    )


def valid(cls, value) -> bool:
    try:
        cls.model_validate(value)
    except ValidationError:
        return False
    return True


@st.composite
def drawn(draw, cls, base=None, takes=None, most=10):
    """A mapping of a class's fields: those of `base` and some more, each where `takes` accepts it beside the others; the
    class, unless another judge is given."""
    takes = takes or (lambda value: valid(cls, value))
    value = draw(BASES[cls] if base is None and cls in BASES else required(cls) if base is None else base)
    fields = {name: field for name, field in cls.model_fields.items() if not values(field.annotation).is_empty}
    free = [name for name in fields if name not in value]
    count = draw(st.integers(0, min(most, len(free))))
    for name in draw(st.permutations(free))[:count] if count else []:
        default = fields[name].default
        some = st.just(1e-3) if name.endswith("eps") else values(fields[name].annotation)
        wider = value | NEEDS.get(name, {}) | {name: draw(some.filter(lambda x, default=default: x != default))}
        value = wider if takes(wider) else value
    return value


# ---- what must fit together ----

# What a field needs beside it to say anything.
NEEDS = {"sets": {"tied": True}, "after_eps": {"norm": "sandwich"}, "weightless": {"norm": True}, "counted": {"selection_bias": True}}


@st.composite
def grouped(draw, kind, **fields):
    """Query heads and as many key and value heads as divide them."""
    groups, per = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 2, 3]))
    return draw(given(kind=st.just(kind), heads=st.just(groups * per), kv_heads=st.just(groups), head_dim=HEAD_DIMS, **fields))


@st.composite
def native_sparse(draw):
    """Native sparse attention, pooled blocks overlapping or not, shorter or longer than the chosen ones."""
    stride, first, local = draw(st.integers(1, 3)), draw(st.integers(0, 2)), draw(st.integers(1, 2))
    pooled, chosen = draw(st.integers(1 + (stride == 1), 3)), draw(st.integers(1, 3))  # strides in a block
    return draw(
        grouped(
            "native_sparse_attention", block=st.just(stride * pooled), stride=st.just(stride), pool_hidden=st.just(6),
            select_block=st.just(stride * chosen), top_blocks=st.just(first + local + draw(st.integers(0, 2))),
            first_blocks=st.just(first), local_blocks=st.just(local), window=st.integers(1, 9),
        )
    )  # fmt: skip


@st.composite
def compressed(draw):
    """Compressed attention: a window alone, with all entries, or with chosen ones."""
    groups = draw(st.sampled_from([1, 2]))
    part = draw(
        given(
            kind=st.just("compressed_attention"), heads=st.just(groups * draw(st.integers(1, 2))), head_dim=st.sampled_from([8, 12]),
            rope_dim=st.sampled_from([4, 8]), q_rank=st.just(12), window=st.integers(1, 9), out_groups=st.just(groups), out_rank=st.just(6),
        )
    )  # fmt: skip
    part["ratio"] = draw(maybe(st.integers(1, 6)))
    if part["ratio"]:
        part["overlap"] = draw(st.booleans())
        if draw(st.booleans()):
            part["indexer"] = draw(drawn(EntryIndexer))
    return part


@st.composite
def deltas(draw):
    groups, per = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 3]))
    return draw(
        given(
            kind=st.just("gated_delta_net"), heads=st.just(groups * per), key_heads=st.just(groups), key_dim=st.sampled_from([4, 8]),
            value_dim=st.sampled_from([4, 6]),
        )
    )  # fmt: skip


@st.composite
def shared_blocks(draw):
    part = {"kind": "shared_block", "attention": draw(drawn(Attention)), "feed_forward": draw(drawn(FeedForward))}
    if draw(st.booleans()):
        part |= {"adapter_rank": 4, "feed_forward": {"kind": "feed_forward", "d_ff": 16, "activation": "geglu"}}
        part |= {"attention_adapters": draw(st.booleans())}
    return part


@st.composite
def experts(draw):
    groups = draw(st.sampled_from([1, 2]))
    choices = groups * draw(st.sampled_from([2, 4]))
    zero = draw(st.sampled_from([0, 0, 1]))
    top_groups = draw(st.integers(1, groups))
    each = groups == top_groups > 1 and draw(st.booleans())
    router = given(groups=st.just(groups), top_groups=st.just(top_groups), each_group=st.just(each))
    if groups == 1:
        further = [{}, {"hashed": True}, {"hidden": 8}, {"selection_bias": True}, {"selection_bias": True, "counted": True}]
        router = st.sampled_from(further)
    return draw(
        given(
            kind=st.just("experts"), count=st.just(choices - zero), zero=st.just(zero), skip=st.just(bool(zero) and draw(st.booleans())),
            top_k=st.sampled_from([groups, choices]) if each else st.integers(1, choices // groups * top_groups),
            d_ff=st.sampled_from([8, 12]), router=drawn(Router, router), vocab_size=maybe(st.just(VOCABULARY)),
            shared=maybe(drawn(Shared)),
        )
    )  # fmt: skip


def latents(kind, **fields):
    return given(
        kind=st.just(kind), heads=st.integers(1, 3), kv_rank=st.sampled_from([4, 16]), nope_dim=st.sampled_from([8, 16]),
        rope_dim=st.just(8), v_dim=st.sampled_from([8, 12]), **fields,
    )  # fmt: skip


# Angles that change with the text's length do so past what is run here: a cache's keys stay as they were turned.
LONG = st.lists(st.sampled_from([1.0, 2.0, 4.0]), min_size=4, max_size=4)  # for heads of 8, or half of those of 16
INDEX_DIMS = st.sampled_from([8, 16])
BASES = {
    Rope: st.fixed_dictionaries({"kind": st.just("rope")}),
    Learned: given(kind=st.just("learned"), length=st.just(CONTEXT)),
    Dynamic: given(kind=st.just("dynamic"), factor=st.just(4.0), original_context=st.just(CONTEXT)),
    Yarn: given(kind=st.just("yarn"), factor=st.sampled_from([4.0, 40.0]), original_context=st.just(16)),
    Llama3: given(kind=st.just("llama3"), factor=st.just(8.0), original_context=st.just(32)),
    LongRope: given(
        kind=st.just("longrope"), factor=st.just(4.0), original_context=st.just(CONTEXT), short_factor=LONG, long_factor=LONG
    ),
    NGrams: given(longest=st.integers(2, 3), tables=st.integers(1, 2), rows=st.just(50), end=maybe(st.just(7))),
    Attention: grouped("attention"),
    LatentAttention: latents("latent_attention", q_rank=maybe(st.just(12))),
    SparseLatentAttention: latents(
        "sparse_latent_attention", q_rank=st.just(12), indexer=drawn(TokenIndexer),
    ),
    SparseGatedLatentAttention: latents("sparse_gated_latent_attention", q_rank=st.just(12), indexer=drawn(TokenIndexer)),
    TokenIndexer: given(heads=st.integers(1, 3), dim=INDEX_DIMS, top_k=st.integers(1, 20)),
    BestKeyIndexer: given(heads=st.just(1), dim=INDEX_DIMS, block=st.integers(1, 5), top_blocks=st.integers(2, 4)),
    PooledIndexer: given(
        heads=st.sampled_from([1, 2]), dim=INDEX_DIMS, block=st.integers(1, 5), top_blocks=st.integers(1, 4)
    ),
    BlockSparseAttention: grouped("block_sparse_attention", indexer=drawn(BestKeyIndexer)),
    PooledSparseAttention: grouped("pooled_sparse_attention", indexer=drawn(PooledIndexer)),
    DynamicMaskAttention: grouped("dynamic_mask_attention", keep=st.integers(1, 12)),
    RelativeAttention: grouped("relative_attention", relative_dim=st.integers(1, 4), extent=st.integers(1, 20)),
    ConvolutionalAttention: grouped("convolutional_attention"),
    NativeSparseAttention: native_sparse(),
    CompressedAttention: compressed(),
    DifferentialAttention: given(
        kind=st.just("differential_attention"), heads=st.sampled_from([4, 8]), kv_heads=st.sampled_from([2, 4]), head_dim=HEAD_DIMS
    ),
    AttentionExperts: given(
        kind=st.just("attention_experts"), count=st.sampled_from([2, 4]), top_k=st.integers(1, 2), heads=st.integers(1, 3),
        head_dim=HEAD_DIMS,
    ),
    Mamba: given(
        kind=st.just("mamba"), heads=maybe(st.just(2)), inner=st.sampled_from([8, 16]), state_size=st.sampled_from([3, 4]),
        step_rank=st.just(4),
    ),
    Mamba2: given(
        kind=st.just("mamba2"), heads=st.sampled_from([2, 4]), head_dim=st.sampled_from([4, 6]), state_size=st.sampled_from([3, 8]),
        groups=maybe(st.just(2)),
    ),
    GatedDeltaNet: deltas(),
    KimiDelta: given(
        kind=st.just("kimi_delta"), heads=st.integers(1, 3), head_dim=st.sampled_from([4, 8]), floor=maybe(st.just(-5.0))
    ),
    RGLRU: given(kind=st.just("rg_lru"), width=st.sampled_from([8, 12]), blocks=st.sampled_from([1, 2])),
    SharedBlock: shared_blocks(),
    Experts: experts(),
    Shared: given(d_ff=st.just(16), count=maybe(st.just(2)), scored=maybe(st.booleans())),
    ProductKeyExperts: given(
        kind=st.just("product_key_experts"), count=st.sampled_from([16, 30]), top_k=st.integers(1, 6), d_ff=st.sampled_from([8, 24])
    ),
    PerLayerEmbedding: given(
        kind=st.just("per_layer_embedding"), width=st.sampled_from([4, 8]), rows=st.sampled_from([20, VOCABULARY])
    ),
    NGramStreams: given(
        kind=st.just("ngram_streams"), width=st.just(12), longest=st.integers(2, 3), tables=st.integers(1, 2), rows=st.just(50),
        multiple=st.sampled_from([1, 8]), end=st.just(7), vocab_size=maybe(st.just(VOCABULARY)),
    ),
    Head: given(kept=maybe(st.integers(1, VOCABULARY))),
}  # fmt: skip


# ---- how parts stand in layers ----


def alternating(block, altup):
    """The block between a prediction of all streams and their correction."""
    steps = [step if isinstance(step, dict) else {"parts": [step] if isinstance(step, str) else step} for step in block]
    words = ["enter", *["inside"] * (len(steps) - 2), "leave"] if len(steps) > 1 else ["others"]
    return [step | {"residual": altup | {"at": at}} for step, at in zip(steps, words, strict=True)]


@st.composite
def steps(draw, names, takes):
    """A block of steps: each a part, or parts side by side, at times with more said of it where the block takes it."""
    beside = st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)
    block = draw(st.lists(beside, min_size=1, max_size=3))
    for place, chosen in enumerate(block):
        if draw(st.booleans()):

            def around(step, place=place):
                return takes([*block[:place], step, *block[place + 1 :]])

            step = {"parts": chosen}
            if len(chosen) > 1 and draw(st.integers(0, 3)) == 0:
                step["unnormed"] = chosen[1:]
            elif draw(st.integers(0, 3)) == 0:
                step["shortcut"] = {chosen[0]: 1}
            block[place] = draw(drawn(Step, st.just(step if around(step) else {"parts": chosen}), around, 2))
    return block


def again(part: dict, source: str) -> dict | None:
    """The part once more, reading what an earlier layer with `source` keeps, chose or lends; None where it cannot."""
    fields = PARTS[part["kind"]].model_fields
    field = next((name for name in ("cache_from", "choice_from", "value_from") if name in fields), None)
    return field and part | ({"value_rank": 3} if "value_rank" in fields else {}) | {field: source}


# Those that lend something to later layers.
LENDERS = [cls for cls in PARTS.values() if cls.lends is not Part.lends and cls is not NGramStreams]


def alone(value: dict, part: dict) -> bool:
    """Whether a part can stand in a model that has no other."""
    whole = {"parts": {"a": part}, "layers": [{"blocks": [["a"]]}]}
    return part["kind"] == "ngram_streams" or parsed(value | whole) is not None


@st.composite
def mappings(draw, kind=None):
    """A mapping in the spec's form, of parts of one kind if it is given; most are valid, and what is not is refused with a
    sentence."""
    value = {
        "name": "drawn",
        "title": "Drawn <&> \u2713",
        "vocab_size": VOCABULARY,
        "d_model": draw(st.sampled_from([16, 24])),
        "context": CONTEXT,
        "norm": draw(values(Norm)),
        "position": draw(drawn(Rope) | values(Position)),
    }

    lenders: list[dict] = []

    def lender(part: dict) -> dict | None:
        """A part that lends what this one reads of an earlier layer, with the sizes that both have."""
        cls = PARTS[part["kind"]]
        if not valid(cls, part) or not between(cls.model_validate(part), value["d_model"]):
            return None
        lenders[:] = lenders or [draw(drawn(cls, most=0)) for cls in LENDERS]
        for plain in lenders:
            alike = {name: part[name] for name in PARTS[plain["kind"]].model_fields if name in part and name != "kind"}
            both = {"parts": {"lender": plain | alike, "a": part}, "layers": [{"blocks": [["lender"], ["a"]]}]}
            if parsed(value | both):
                return plain | alike
        return None

    def stands(part: dict) -> bool:
        """Whether a part can stand in this model, perhaps behind one that lends to it."""
        if part["kind"] == "ngram_streams":
            return valid(NGramStreams, part)
        return alone(value, part) or lender(part) is not None

    kinds = {name: kind for name, kind in PARTS.items() if kind is not NGramStreams} | {"other": Attention}
    some = st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=4, unique=True)
    chosen = [kind] if kind in kinds else draw(some)
    parts = {name: draw(drawn(kinds[name], takes=stands)) for name in chosen}
    parts = {name: part for name, part in parts.items() if stands(part)}
    assume(parts)
    lent = next((found for part in parts.values() if not alone(value, part) and (found := lender(part))), None)
    chosen = list(parts)
    before = [{"blocks": [["lender"]]}] if lent else []
    parts |= {"lender": lent} if lent else {}
    value |= {"parts": parts, "layers": [*before, {"blocks": [chosen]}]}
    if draw(st.booleans()):
        residual = draw(drawn(Residual) | values(AnyResidual))
        value |= {"residual": residual} if parsed(value | {"residual": residual}) else {}
    elif draw(st.integers(0, 3)) == 0:
        value["residual"] = draw(drawn(AltUp)) | {"at": "others"}
    streams = parsed(value).residual.streams

    def takes(block: list) -> bool:
        return parsed(value | {"layers": [*before, {"blocks": [block, chosen]}]}) is not None

    blocks = st.lists(steps(chosen, takes), min_size=1, max_size=2)
    segments = st.lists(given(repeat=st.integers(1, 2), blocks=blocks), min_size=1, max_size=2)
    layers = value["layers"] = [*before, *draw(segments), {"blocks": [chosen]}]  # every part is used
    for name in chosen:
        reader = again(parts[name], draw(st.sampled_from([name, "previous"])))
        if reader and draw(st.booleans()):
            parts["reader"] = reader
            layers.append({"blocks": [["reader"]]})
            break
    if parts.get("experts", {}).get("router", {}).get("hidden"):  # a later router hears from it
        parts["later"] = parts["experts"] | {"router": parts["experts"]["router"] | {"carry": True}}
        layers.append({"blocks": [["later"]]})
    if value.get("residual", {}).get("kind") == "altup" and draw(st.booleans()):
        inside = value["residual"] | {"streams": streams, "total": 0.7, "layer_scale": False}
        inside["norm"] = draw(st.sampled_from(["pre", "output", "sandwich"]))
        value["layers"] = [s | {"blocks": [alternating(b, inside) for b in s["blocks"]]} for s in layers]
    elif streams > 1 and draw(st.booleans()):
        parts["runs"] = draw(drawn(NGramStreams)) | {"streams": streams}
        whole = {"parts": ["runs"], "residual": {"kind": "all_streams", "streams": streams}}
        whole["residual"] |= draw(given(scale=maybe(st.just(0.7))))
        layers.append({"repeat": draw(st.integers(1, 2)), "blocks": [[whole, chosen[0]]]})
    value = draw(drawn(Architecture, st.just(value), lambda wider: parsed(wider) is not None, 4))
    if draw(st.booleans()):
        blocks = [[name] for name in draw(st.lists(st.sampled_from(chosen), min_size=1, max_size=2))]
        ahead = {"count": len(blocks), "block": blocks[0]} | ({"further": blocks[1:]} if blocks[1:] else {})
        ahead |= {} if draw(st.booleans()) else {"copies": ["embedding", "head"]}
        with_ahead = value | {"mtp": draw(drawn(MultiTokenPrediction, st.just(ahead)))}
        value = with_ahead if parsed(with_ahead) else value
    if draw(st.booleans()):
        value["precision"] = {"default": "bf16", chosen[0]: draw(st.sampled_from(["fp8_block", "mxfp4", "int4"]))}
    return value


def parsed(value: dict) -> Architecture | None:
    try:
        return parse(value)
    except Unsupported:
        return None


architectures = mappings().map(parsed).filter(lambda arch: arch is not None)
