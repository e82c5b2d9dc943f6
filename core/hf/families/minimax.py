"""MiniMax-Text-01 (arXiv:2501.08313) in transformers' own form: lightning attention and softmax attention, Mixtral's experts.

The stream itself is normalised before each part, so the norms stand after the sums, the first after the embedding and the last
before the head. A norm of alpha * x + beta * y is one of x + (beta / alpha) * y with its epsilon divided by alpha squared.
"""

import math

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...parts.lightning import LightningAttention
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Unread, rounded
from ..reading.pieces import unless
from ..reading.rotary import Turning
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one

PUBLISHED = ("minimax_text_01", "minimax_m1")  # MiniMax's own keys
TYPES = ("minimax", *PUBLISHED)
RENAMED = {
    f"layernorm_{theirs}_{factor}": f"{ours}_{factor}_factor"
    for theirs, ours in (("full_attention", "full_attn"), ("linear_attention", "linear_attn"), ("mlp", "mlp"))
    for factor in ("alpha", "beta")
}
FACTORS = {"attention": "full_attn", "lightning": "linear_attn", "moe": "mlp"}


KEYS = (
    *keys.sizes(32_000, 4_096, 131_072, 32, eps=1e-5),
    Always("embedding", norm=True),
    Always("residual", norm="post"),
    Always("head", norm=False),
    Always("attention", kind="attention"),
    *keys.heads(32, 8),
    Key("sliding_window", "attention.sight.window", None),
    Always("lightning", kind="lightning_attention"),
    Key("hidden_act", "lightning.activation", "silu", form=keys.PLAIN_ACTIVATION),
    *keys.experts(8, 2, 14_336, names="num_local_experts", width="intermediate_size", router={"score": "softmax", "over": "chosen"}),
    Turning(1e6),
    Unread("block_size"),  # how a prompt is cut for speed
)


def read(config: Config, model_type: str) -> dict:
    if model_type in PUBLISHED:
        return _read_published(config)
    said = keys.read(config, KEYS)
    usual = ["linear_attention" if layer % 2 else "full_attention" for layer in range(said["depth"])]
    types = pieces.layer_types(config, said["depth"], usual, "full_attention", "linear_attention")
    said["lightning"] |= {key: said["attention"][key] for key in ("heads", "head_dim")}
    steps = {name: _step(config, name, said[name], said["norm"]) for name in FACTORS}
    kinds = ["lightning" if word == "linear_attention" else "attention" for word in types]
    return pieces.model(config, said, [[steps[kind], steps["moe"]] for kind in kinds])


def _read_published(config: Config) -> dict:
    """The same in the authors' words, where a share of each head's channels turns."""
    config.expect("postnorm", True)
    config.expect("shared_intermediate_size", 0, [0])
    kinds = config.listing("attn_type_list", int)
    if kinds is None or not set(kinds) <= {0, 1}:
        raise config.refuse("attn_type_list", "give 0 (lightning) or 1 (softmax attention) for each layer")
    beside = ("postnorm", "shared_intermediate_size", "shared_moe_mode", "attn_type_list", "rotary_dim")
    raw = {RENAMED.get(key, key): value for key, value in config.raw.items() if key not in beside}
    raw["layer_types"] = ["full_attention" if kind else "linear_attention" for kind in kinds]
    plain = Config(raw)
    value = read(plain, "minimax")
    plain.finish()
    config.ignore(*config.raw)
    head_dim = next(part["head_dim"] for part in value["parts"].values() if "head_dim" in part)
    turned = config.count("rotary_dim", head_dim, most=head_dim)
    value["position"] |= unless(1.0, fraction=turned / head_dim)
    return value


def _step(config: Config, name: str, part: dict, norm: dict) -> dict | str:
    """How a part joins the stream; what its norm needs goes into the part."""
    key = f"{FACTORS[name]}_alpha_factor"
    alpha, beta = config.take(key, float, 1.0), config.take(f"{FACTORS[name]}_beta_factor", float, 1.0)
    if not 1e-3 <= alpha <= 1e3:
        raise config.refuse(key, "give 0.001 to 1,000")
    if alpha != 1:
        part["norm"] = norm | {"eps": rounded(norm["eps"] / alpha**2)}
    return name if alpha == beta else {"parts": [name], "scale": rounded(beta / alpha)}


def write(arch: Architecture) -> dict:
    made = {"attention": Attention | None, "lightning": LightningAttention | None, "moe": Experts}
    attention, lightning, _ = pieces.made_of(arch, made)
    mixer = attention or lightning
    kinds = [block[0].parts[0] for block in arch.sequence]
    written = pieces.write_model(arch, "MiniMax", "minimax", KEYS, attention=mixer)
    written["layer_types"] = ["linear_attention" if kind == "lightning" else "full_attention" for kind in kinds]
    for step in {step for block in arch.sequence for step in block}:
        part = arch.parts[step.parts[0]]
        alpha = math.sqrt(arch.norm.eps / part.norm.eps) if part.norm else 1.0
        factor = FACTORS[step.parts[0]]
        written |= {f"{factor}_alpha_factor": alpha, f"{factor}_beta_factor": step.scale * alpha}
    if arch.position.fraction == 1:
        return written
    del written["partial_rotary_factor"], written["layer_types"]
    back = {ours: theirs for theirs, ours in RENAMED.items()}
    return {back.get(key, key): value for key, value in written.items()} | {
        "architectures": ["MiniMaxText01ForCausalLM"], "model_type": "minimax_text_01", "postnorm": True,
        "attn_type_list": [int(kind == "attention") for kind in kinds], "rotary_dim": arch.position.dim(mixer.head_dim),
    }  # fmt: skip


def sources(arch: Architecture) -> Sources:
    yield one("embedding.weight", "model.embed_tokens.weight")
    yield from tensors.head_source(arch, "model.embed_tokens.weight")
    yield one("embedding_norm.weight", "model.layers.0.input_layernorm.weight")
    for layer, block in enumerate(arch.sequence):
        at, name = f"model.layers.{layer}", block[0].parts[0]
        part, path = arch.part(name), f"layers.{layer}.{name}"
        if isinstance(part, LightningAttention):
            theirs = {"qkv": "qkv_proj", "out_norm": "norm", "gate": "output_gate", "o": "out_proj"}
            for ours, tensor in theirs.items():
                yield one(f"{path}.{ours}.weight", f"{at}.self_attn.{tensor}.weight")
            yield f"{path}.sum.slopes", [Source((), lambda part=part, layer=layer: part.slopes(layer, arch.depth))]
        else:
            yield from tensors.attention_sources(path, f"{at}.self_attn", part)
        yield one(f"{path}_post_norm.weight", f"{at}.post_attention_layernorm.weight")
        path, moe = f"layers.{layer}.moe", arch.part("moe")
        each, names = f"{at}.block_sparse_moe", ("w1", "w3", "w2")
        yield from tensors.experts_sources(path, f"{at}.mlp", moe, names=names, each=each)
        last = layer + 1 == arch.depth
        after = "model.norm" if last else f"model.layers.{layer + 1}.input_layernorm"
        yield one(f"{path}_post_norm.weight", f"{after}.weight")


def ignored(name: str) -> bool:
    """Paces that follow from a layer's place may be stored too."""
    return name.endswith((".slope_rate", ".query_decay", ".key_decay", ".diagonal_decay")) or tensors.ignored(name)
