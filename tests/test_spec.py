"""The spec: values that are keys, bounds that hold, sentences that name the field."""

import copy
import json
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import architectures, mappings

import core
from core.library import read_yaml, to_yaml
from core.spec import Architecture, Unsupported, edited, parse

SMALL = {
    "name": "small", "title": "Small", "vocab_size": 32, "d_model": 16, "context": 64, "position": {"kind": "rope"},
    "parts": {
        "attention": {"kind": "attention", "heads": 2, "kv_heads": 1, "head_dim": 8},
        "dense": {"kind": "feed_forward", "d_ff": 32},
        "moe": {"kind": "experts", "count": 4, "top_k": 2, "d_ff": 8},
    },
    "layers": [{"repeat": 2, "blocks": [["attention", "dense"], ["attention", "moe"]]}],
}  # fmt: skip


@given(architectures)
def test_equal_values_are_equal_keys(arch):
    again = parse(json.loads(json.dumps(arch.model_dump(mode="json"))))
    assert again == arch and hash(again) == hash(arch) and {again: 1}[arch] == 1
    assert pickle.loads(pickle.dumps(arch)) == arch
    assert parse(read_yaml(to_yaml(arch))) == arch
    assert core.decode(core.encode(arch)) == arch


@given(mappings())
def test_a_mapping_is_an_architecture_or_a_sentence(value):
    try:
        arch = parse(value)
    except Unsupported as error:
        assert 10 < len(str(error)) < 500 and "\n" not in str(error)
    else:
        assert arch.depth == len(arch.sequence) == sum(arch.distinct().values())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_any_value_in_any_place_is_an_architecture_or_a_sentence(data):
    value = copy.deepcopy(SMALL)
    node, path = value, []
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        path.append(key)
        inner = node[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            node[key] = data.draw(json_values)
            break
        node = inner
    try:
        parse(value)
    except Unsupported as error:
        assert "\n" not in str(error) and len(str(error)) < 1000


def test_an_architecture_does_not_change():
    arch = parse(SMALL)
    with pytest.raises(Exception, match="frozen"):
        arch.d_model = 8
    for mapping in (arch.parts, arch.precision):
        with pytest.raises(TypeError, match="value"):
            mapping["attention"] = None
        with pytest.raises(TypeError, match="value"):
            mapping.clear()


REFUSED = {  # path, value: words that the sentence must hold
    ("parts.attention.kv_heads", 3): ("parts.attention: kv_heads", "2 heads", "give 1 or 2"),
    ("parts.attention.heads", 0): ("parts.attention.heads", "give 1 to 1,024"),
    ("parts.attention.head_dim", 7): ("parts.attention", "7", "even"),
    ("parts.moe.top_k", 5): ("parts.moe", "top_k", "1 to 4"),
    ("parts.moe.router.groups", 3): ("router.groups", "4 experts"),
    ("parts.moe.router.top_groups", 2): ("top_groups", "1 to 1"),
    ("parts.dense.activation", "swish"): ("activation", "swiglu"),
    ("parts.dense.kind", "feedforward"): ("parts.dense", "feed_forward"),
    ("d_model", 10**7): ("d_model", "give 1 to 262,144 (not 10,000,000)"),
    ("d_model", "wide"): ("d_model", "wide"),
    ("layers.0.repeat", 600): ("layers", "1,024"),
    ("layers.0.blocks.0.0", "nothing"): ("layers", "nothing", "attention"),
    ("vocab_size", None): ("vocab_size",),
    ("surprise", 1): ("surprise", "remove"),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.items(), ids=lambda c: c[0] if isinstance(c[0], str) else "")
def test_a_refusal_names_the_field_and_what_would_do(change, words):
    tree = copy.deepcopy(SMALL)
    *parents, last = change[0].split(".")
    node = tree
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    node[int(last) if isinstance(node, list) else last] = change[1]
    with pytest.raises(Unsupported) as caught:
        parse(tree)
    for word in words:
        assert word in str(caught.value)


ATTENTION = SMALL["parts"]["attention"]
BORROWING = SMALL["parts"] | {"reader": ATTENTION | {"cache_from": "attention"}}
LATENT = {"kind": "latent_attention", "heads": 2, "kv_rank": 8, "nope_dim": 8, "rope_dim": 8, "v_dim": 8}
NOTHING_TO_DO = {  # what would change nothing, or what nothing is given
    "after_eps": {"residual": {"after_eps": 1e-3}},
    "weightless": {"embedding": {"weightless": True}},
    "copies": {"mtp": {"block": ["dense"], "copies": ["head", "head"]}},
    "mtp.residual": {"mtp": {"block": ["dense"], "residual": {"kind": "hyper"}}},
    "mtp.block": {"mtp": {"block": ["reader"]}, "parts": BORROWING},
    "parts.attention: position: learned": {
        "parts": SMALL["parts"] | {"attention": ATTENTION | {"position": {"kind": "learned", "length": 64}}}
    },
    "parts.attention: position": {"position": {"kind": "alibi"}, "parts": SMALL["parts"] | {"attention": LATENT}},
}


@pytest.mark.parametrize("field", NOTHING_TO_DO)
def test_what_would_do_nothing_is_refused(field):
    with pytest.raises(Unsupported, match=field):
        parse(SMALL | NOTHING_TO_DO[field])


GATED_NORM = {"kind": "self_gated_rms"}
UNFIT = {  # what a part cannot compute, or not count
    "activation: xielu": {"kind": "rg_lru", "width": 8, "blocks": 2, "activation": "xielu"},
    "sub_norm: a self-gated": {"kind": "feed_forward", "d_ff": 8, "sub_norm": True, "norm": GATED_NORM},
    "router.hidden: a self-gated": SMALL["parts"]["moe"] | {"router": {"hidden": 8}, "norm": GATED_NORM},
    "branch_norms: a self-gated": SMALL["parts"]["moe"] | {"branch_norms": True, "norm": GATED_NORM},
}


@pytest.mark.parametrize("words", UNFIT)
def test_what_does_not_fit_a_part_is_refused(words):
    with pytest.raises(Unsupported, match=rf"parts\.dense: {words}"):
        parse(SMALL | {"parts": SMALL["parts"] | {"dense": UNFIT[words]}})


def test_a_part_that_no_layer_uses_is_refused():
    with pytest.raises(Unsupported, match=r"parts\.dense: no layer uses it"):
        parse(SMALL | {"layers": [{"blocks": [["attention", "moe"]]}]})


@pytest.mark.parametrize("name", ["forward", "train", "half", "moves", "training", "attention_norm", "dense_2", "Dense", ""])
def test_a_part_cannot_take_a_name_that_its_block_needs(name):
    parts = {name if key == "dense" else key: part for key, part in SMALL["parts"].items()}
    layers = [{"blocks": [["attention", name], ["attention", "moe"]]}]
    with pytest.raises(Unsupported, match="parts"):
        parse(SMALL | {"parts": parts, "layers": layers})


def test_a_borrowed_cache_needs_a_lender_of_its_shape():
    def borrowing(**more):
        parts = SMALL["parts"] | {"reader": SMALL["parts"]["attention"] | {"cache_from": "attention"} | more}
        return SMALL | {"parts": parts, "layers": [{"blocks": [["attention", "dense"], ["reader", "moe"]]}]}

    assert parse(borrowing())
    with pytest.raises(Unsupported, match="another shape"):
        parse(borrowing(head_dim=16))
    with pytest.raises(Unsupported, match="no layer before"):
        parse(borrowing() | {"layers": [{"blocks": [["reader", "moe"], ["attention", "dense"]]}]})


def test_editing_gives_another_value():
    arch = parse(SMALL)
    assert edited(arch, "parts.moe.top_k", 3).parts["moe"].top_k == 3
    assert edited(arch, "layers.0.repeat", 5).depth == 10
    assert arch == parse(SMALL)
    for path in ("parts.nope.top_k", "parts.moe.top_k.deep", "layers.9.repeat", "name.x", ""):
        with pytest.raises(Unsupported):
            edited(arch, path, 1)


def test_the_part_says_more_than_the_model():
    arch = parse(SMALL)
    own = edited(arch, "parts.attention.position", {"kind": "none"})
    assert arch.part("attention").position.kind == "rope" and own.part("attention").position.kind == "none"
    assert isinstance(own, Architecture)


def test_a_convolved_sum_takes_no_output_that_joins_later():
    """Its state is of one output a token: a delayed one would pass it a second time."""
    convolved = edited(core.load("llama-3-8b"), "residual.kernel", 3).model_dump()
    block = [{"parts": ["attention", "dense"], "own_norms": True, "shortcut": {"dense": 1}}, "dense"]
    with pytest.raises(Unsupported, match=r"kernel: .* remove shortcut"):
        parse(convolved | {"layers": [{"blocks": [block]}]})


# pydantic's own words, which are about types and not about models
SCHEMA_WORDS = re.compile(r"Input should|valid integer|valid number|greater than|less than|constrained|literal|function-")
BESIDE = {  # of a preset: path, value -> what is said of it beside the other values
    ("mixtral-8x7b", "parts.moe.top_k", 9): "9 is more than the 8 experts; give 1 to 8",
    ("mixtral-8x7b", "parts.moe.top_k", 70_000): "70,000 is more than the 8 experts; give 1 to 8",
    ("mixtral-8x7b", "parts.moe.top_k", 0): "top_k: give 1 to 8 (not 0)",
    ("mixtral-8x7b", "parts.moe.top_k", None): "top_k: give 1 to 8 (it is empty)",
    ("mixtral-8x7b", "parts.moe.top_k", 2.5): "top_k: give 1 to 8, a whole number (not 2.5)",
    ("mixtral-8x7b", "parts.moe.d_ff", 2_000_000): "d_ff: give 1 to 1,048,576 (not 2,000,000)",
    ("mixtral-8x7b", "parts.moe.d_ff", 10**30): "d_ff: give 1 to 1,048,576 (not a number as large as that)",
    ("mixtral-8x7b", "parts.moe.d_ff", 0.5): "d_ff: give 1 to 1,048,576, a whole number (not 0.5)",
    ("llama-3-8b", "parts.attention.kv_heads", 5): "kv_heads: 32 heads do not divide into 5 equal groups; give 1, 2, 4, 8, 16 or 32",
    ("llama-3-8b", "parts.attention.kv_heads", 2_000): "kv_heads: give 1, 2, 4, 8, 16 or 32 (not 2,000)",
    ("llama-3-8b", "norm.eps", float("nan")): "eps: give a number above 0, at most 0.01 (not a number)",
    ("llama-3-8b", "d_model", "wide"): "d_model: give 1 to 262,144 (not 'wide')",
    ("llama-3-8b", "context", -1): "context: give 1 to 1,000,000,000 (not -1)",
    ("llama-3-8b", "embedding.scale", -1): "scale: give a number above 0, at most 1,000,000 or sqrt_d_model (not -1)",
}  # fmt: skip


@pytest.mark.parametrize("change", BESIDE, ids=lambda change: "-".join(map(str, change)))
def test_a_number_that_cannot_be_is_refused_with_what_would_do_beside_the_others(change):
    name, path, value = change
    with pytest.raises(Unsupported) as caught:
        edited(core.load(name), path, value)
    assert BESIDE[change] in str(caught.value)


@pytest.mark.parametrize("name", core.presets()[::9])
def test_no_sentence_is_the_schemas(name):
    """Whatever stands in any field: the sentence is about that field, in the spec's words."""
    arch = core.load(name)

    def paths(value, at=""):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield (path := f"{at}.{key}".strip("."))
            if isinstance(inner, dict | list):
                yield from paths(inner, path)

    for path in paths(arch.model_dump(mode="json")):
        for value in (None, -1, 0.5, 10**30, float("inf"), "x", [], {}, True):
            try:
                edited(arch, path, value)
            except Unsupported as error:
                assert not SCHEMA_WORDS.search(str(error)), (path, value, str(error))


def test_two_fields_that_fit_only_together():
    arch = core.load("llama-3-8b")
    for path, value in {"parts.attention.heads": 30, "parts.attention.kv_heads": 5}.items():
        with pytest.raises(Unsupported):
            edited(arch, path, value)
    both = edited(arch, "parts.attention.kv_heads", 5, {"parts.attention.heads": 30})
    assert (both.parts["attention"].heads, both.parts["attention"].kv_heads) == (30, 5)


def test_a_copy_is_a_value_of_its_own():
    arch = core.load("gemma-3n-e2b")
    assert arch.links and arch.fed and hash(arch)
    other = arch.model_copy(update={"layers": arch.layers[:1]})
    assert other != arch and len(other.sequence) < len(arch.sequence) and other.fed[1] != arch.fed[1]
    assert len(other.links) < len(arch.links)
