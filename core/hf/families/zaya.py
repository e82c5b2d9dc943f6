"""ZAYA1 (arXiv:2511.17127): compressed convolutional attention, one expert a token or none, by a router that is a network and
hears from the layer before; every sum on the stream is learned channel by channel."""

from ...parts.convolutional_attention import ConvolutionalAttention
from ...parts.experts import Experts
from ...spec import Architecture
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Always, Key, Only
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one

TYPES = ("zaya",)
KINDS = {"hybrid": 5e6, "hybrid_sliding": 1e4}  # and the usual base of each kind's rope


KEYS = (
    *keys.sizes(262_272, 2_048, 131_072, 40, tied=True, eps=1e-5),
    Always("attention", kind="convolutional_attention"),
    *keys.heads(8, 2, 128),
    Key("cca_time0", "attention.kernel", 2),
    Key("cca_time1", "attention.head_kernel", 2),
    Key("attention_bias", "attention.bias", False),
    *keys.experts(16, 1, 2_048, names="num_experts", router={"score": "softmax", "selection_bias": True}, zero=1, skip=True),
    Key("router_hidden_size", "moe.router.hidden", 256),
    Only("num_experts_per_tok", 1),
    Key("lm_head_bias", "head.bias", False),
    Key("sliding_window", "window", None),
    Always("residual", affine=True),
    Always("embedding", affine=True),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    depth, moe = said["depth"], said["moe"]
    types = pieces.layer_types(config, depth, ["hybrid"] * depth, *KINDS)
    if "window" not in said and "hybrid_sliding" in types:
        raise config.refuse("sliding_window", "layers of hybrid_sliding need one")
    ropes = _ropes(config, said["context"], set(types))
    far = "hybrid" if "hybrid" in types else "hybrid_sliding"
    local = pieces.sight(said.get("window")) | unless(ropes[far], position=ropes.get("hybrid_sliding", ropes[far]))
    said |= {"local": said["attention"] | local, "first": moe, "position": ropes[far]}
    said["moe"] = moe | {"router": moe["router"] | {"carry": True}}
    mixers = ["local" if word == "hybrid_sliding" else "attention" for word in types]
    return pieces.model(config, said, [[mixer, "moe" if layer else "first"] for layer, mixer in enumerate(mixers)])


def _ropes(config: Config, context: int, used: set[str]) -> dict[str, dict]:
    """The rope of each kind of layer, all of whose parameters stand in a dictionary of its own."""
    given = config.nested("rope_parameters")
    usual = {kind: {"rope_theta": base, "partial_rotary_factor": 0.5} for kind, base in KINDS.items()}
    given.ignore("rope_type")  # of neither kind
    found = {}
    for kind in KINDS:
        inner = given.nested(kind) if config.has("rope_parameters") else Config(usual[kind])
        if kind in used:
            rope = {"kind": "rope", "base": inner.take("rope_theta", float)}
            if inner.raw.get("rope_type") != "proportional":  # whose own factor it is
                rope |= unless(1.0, fraction=inner.take("partial_rotary_factor", float, 1.0))
            found[kind] = rope | rotary.rope_scaling(inner, context)
    given.finish()
    return found


def write(arch: Architecture) -> dict:
    made = {"attention": ConvolutionalAttention | None, "local": ConvolutionalAttention | None, "moe": Experts | None}
    *_, moe = pieces.made_of(arch, made | {"first": Experts})
    mixers = [arch.part(block[0].parts[0]) for block in arch.sequence]
    types = ["hybrid_sliding" if part.sight.window else "hybrid" for part in mixers]
    ropes = {
        kind: rotary.write_dictionary(part.position, arch.context) | {"partial_rotary_factor": part.position.fraction}
        for kind, part in zip(types, mixers, strict=True)
    }
    window = max((p.sight.window or 0 for p in mixers), default=0) or None
    written = pieces.write_model(arch, "Zaya", "zaya", KEYS, attention=mixers[0], moe=moe)
    return written | {"layer_types": types, "sliding_window": window, "rope_parameters": ropes}


def sources(arch: Architecture) -> Sources:
    def added(path, at):
        for ours, theirs in (("keep", "residual"), ("take", "hidden_states")):
            yield one(f"{path}_add.{ours}.weight", f"{at}.{theirs}_scale")
            yield one(f"{path}_add.{ours}.bias", f"{at}.{theirs}_bias")

    def mixer(path, at, part):
        inner = f"{at}.self_attn.qkv_proj"
        for kind in ("weight", "bias") if part.bias else ("weight",):
            for ours, theirs in {"q": "q_proj", "k": "k_proj", "v_now": "v_proj_current"}.items():
                yield one(f"{path}.{ours}.{kind}", f"{inner}.{theirs}.{kind}")
            late = "v_late.weight" if kind == "weight" else "delay.bias"
            yield one(f"{path}.{late}", f"{inner}.v_proj_delayed.{kind}")
            yield one(f"{path}.o.{kind}", f"{at}.self_attn.o_proj.{kind}")
        for ours, theirs in {"alone": "depthwise", "heads": "grouped"}.items():
            yield one(f"{path}.convolve.{ours}", f"{inner}.conv_qk_{theirs}.weight")
            yield one(f"{path}.convolve.{ours}_bias", f"{inner}.conv_qk_{theirs}.bias")
        yield one(f"{path}.unit.scale", f"{at}.self_attn.qk_norm.temp")
        yield from added(path, f"{at}.post_attention_residual_scale")

    def ff(path, at, part):
        gate, router = f"{at}.mlp.gate", f"{path}.router"
        own = {"down": "down_proj", "first": "router_mlp.fc1", "second": "router_mlp.fc2"}
        for ours, theirs in own.items():
            for kind in ("weight", "bias"):
                yield one(f"{router}.{ours}.{kind}", f"{gate}.{theirs}.{kind}")
        yield one(f"{router}.norm.weight", f"{gate}.router_mlp.norm.weight")
        if part.router.carry:
            yield one(f"{router}.carried", f"{gate}.router_states_scale")
        yield from tensors.experts_sources(path, f"{at}.mlp", part, router="gate.router_mlp.out_proj", bias="gate.balancing_biases")
        yield from added(path, f"{at}.post_mlp_residual_scale")

    yield one("embedding_norm.weight", "model.input_hidden_states_scale")
    yield one("embedding_norm.bias", "model.input_hidden_states_bias")
    yield from tensors.llama_sources(arch, mixer, ff)
