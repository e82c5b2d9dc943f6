"""JetMoE (arXiv:2404.07413): experts in attention too, which share keys and values."""

from ...parts.attention_experts import AttentionExperts
from ...parts.experts import Experts
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one

TYPES = ("jetmoe",)
LAYER_EPS = 1e-6  # of the norms in layers, whatever rms_norm_eps says of the last one


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=32_000, d_model=2_048, context=4_096, tied=True, eps=1e-6)
    count, top_k = config.count("num_local_experts", 8), config.count("num_experts_per_tok", 2)
    heads = config.count("num_key_value_heads", 16)
    dim = config.count("kv_channels", config.count("head_dim", 128))
    config.expect("head_dim", dim)
    for key in ("glu", "bias", "rotary_percent"):
        config.expect(key, 1.0 if key == "rotary_percent" else True)
    config.ignore("num_attention_heads")  # always what the others make it
    own = {"router": {"score": "softmax", "over": "chosen"}, "out_bias": True}
    if value["norm"]["eps"] != LAYER_EPS:
        own["norm"] = value["norm"] | {"eps": LAYER_EPS}
    activation = unless("swiglu", activation=pieces.activation(config, "activation_function"))
    parts = {
        "attention": {"kind": "attention_experts", "count": count, "top_k": top_k, "heads": heads, "head_dim": dim} | own,
        "moe": {"kind": "experts", "count": count, "top_k": top_k, "d_ff": config.count("intermediate_size", 5_632)} | activation | own,
    }  # fmt: skip
    config.ignore("aux_loss_coef")
    blocks = [["attention", "moe"]] * config.depth("num_hidden_layers", 12)
    return pieces.assemble(config, value, rotary.rope(config, value["context"]), parts, blocks)


def write(arch: Architecture) -> dict:
    attention, moe = pieces.made_of(arch, {"attention": AttentionExperts, "moe": Experts})
    return (
        {"architectures": ["JetMoeForCausalLM"], "model_type": "jetmoe"}
        | pieces.write_sizes(arch)
        | {"num_key_value_heads": attention.heads, "kv_channels": attention.head_dim}
        | {"num_local_experts": moe.count, "num_experts_per_tok": moe.top_k, "intermediate_size": moe.d_ff}
        | {"activation_function": pieces.write_activation(moe.activation)}
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )


def sources(arch: Architecture) -> Sources:
    def mixer(path, at, part):
        at = f"{at}.self_attention"
        yield one(f"{path}.router.weight", f"{at}.experts.router.layer.weight")
        yield one(f"{path}.q.weight", f"{at}.experts.input_linear.weight")
        for half, name in enumerate("kv"):
            make = lambda both, half=half: both.chunk(2)[half]  # noqa: E731 - bound here, one for each
            yield one(f"{path}.{name}.weight", f"{at}.kv_proj.weight", make=make)
        yield one(f"{path}.o.weight", f"{at}.experts.output_linear.weight")
        yield one(f"{path}.o.bias", f"{at}.experts.bias")

    def ff(path, at, part):
        yield one(f"{path}.router.weight", f"{at}.mlp.router.layer.weight")
        for half, name in enumerate(("gate", "up")):
            both = Source((f"{at}.mlp.input_linear.weight",), lambda t, half=half: t.chunk(2, dim=1)[half])
            yield f"{path}.experts.{name}", [both]
        yield one(f"{path}.experts.down", f"{at}.mlp.output_linear.weight")
        yield one(f"{path}.experts.out_bias", f"{at}.mlp.bias")

    return tensors.llama_sources(arch, mixer, ff)
