"""Mixtral (arXiv:2401.04088): Mistral with experts; the softmax is over the two that are chosen."""

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored

TYPES = ("mixtral",)


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=32_000, d_model=4_096, context=131_072, tied=False, eps=1e-5)
    window = config.count("sliding_window", None)
    parts = {
        "attention": pieces.attention(config, value["d_model"], biased=None, heads=32, kv_heads=8)
        | pieces.unless(None, window=window),
        "moe": {
            "kind": "experts",
            "count": config.count("num_local_experts", 8),
            "top_k": config.count("num_experts_per_tok", 2),
            "d_ff": config.count("intermediate_size", 14_336),
        }
        | pieces.unless("swiglu", activation=pieces.activation(config))
        | {"router": {"score": "softmax", "over": "chosen"}},
    }
    blocks = [["attention", "moe"]] * config.depth("num_hidden_layers", 32)
    return pieces.assemble(config, value, rotary.rope(config, value["context"], theta=1e6), parts, blocks)


def write(arch: Architecture) -> dict:
    attention, moe = pieces.made_of(arch, {"attention": Attention, "moe": Experts})
    return (
        {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "sliding_window": attention.sight.window}
        | pieces.write_sizes(arch)
        | pieces.write_heads(attention)
        | {"num_local_experts": moe.count, "num_experts_per_tok": moe.top_k}
        | pieces.write_dense(moe)
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )


def sources(arch: Architecture) -> Sources:
    def experts(path, at, part):
        return tensors.experts_sources(path, f"{at}.mlp", part, names=("w1", "w3", "w2"), each=f"{at}.block_sparse_moe")

    return tensors.llama_sources(arch, ff=experts)
