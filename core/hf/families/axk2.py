"""A.X K2 (SK Telecom 2026): sparse latent attention whose queries bring a gate with them, and norms that gate themselves."""

from ...parts.norm import SelfGatedRMSNorm
from ...parts.sparse_gated_latent import SparseGatedLatentAttention
from ...spec import Architecture, Unsupported
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Only, Unread
from ..weights import mtp, tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one
from . import deepseek_v3 as v3
from . import deepseek_v32 as v32

TYPES = ("axk2",)


KEYS = (
    *keys.sizes(163_840, 2_048, 131_072, 48),
    *v3.latent(32, (384, 128), (64, 32, 64)),
    *v32.indexer(16),
    Always("attention", kind="sparse_gated_latent_attention"),
    Always("attention.norm", kind="self_gated_rms"),
    Key("gated_norm_rank", "attention.norm.rank", 16),
    *keys.feed_forward(5_120),
    *keys.experts(128, 8, 512),
    keys.shared(1),
    *v3.balanced(1, 1, 2.5),
    v3.LatentTurning(interleaved=True),
    Key("first_k_dense_replace", "leading", 1, least=0),
    keys.ahead(0),
    Only("rope_interleave", True),
    Unread("ep_size"),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    depth, every, router = said["depth"], config.count("moe_layer_freq", 1), said["moe"]["router"]
    said["attention"]["norm"]["eps"] = said["norm"]["eps"]
    said["moe"]["norm"] = said["attention"]["norm"]
    if not config.has("n_group"):  # groups only where it says so; what lies outside the best of them scores zero
        config.expect("topk_group", None)
    router["outside_zero"] = router.get("groups", 1) > router.get("top_groups", 1)
    config.expect("layer_types", ["indexed_attention"] * depth)
    sparse = pieces.sparse_layers(config, depth, said["leading"], every)
    blocks = [["attention", "moe" if routed else "dense"] for routed in sparse]
    return pieces.model(config, said, blocks, **mtp.foretold(said, ["attention", "moe"]))


def write(arch: Architecture) -> dict:
    part, *_ = pieces.made_of(arch, {"attention": SparseGatedLatentAttention} | pieces.FEEDS)
    if not isinstance(part.norm, SelfGatedRMSNorm):
        raise Unsupported("parts.attention.norm: this family has a self-gated norm; give one")
    written = pieces.write_model(arch, "AXK2", "axk2", KEYS, leading=pieces.first_routed(arch))
    if written.get("n_group") == 1:
        del written["n_group"], written["topk_group"]
    return written | {"mlp_layer_types": pieces.write_sparse_layers(arch)}


def sources(arch: Architecture) -> Sources:
    """The gates of norms go by two names, the class's and the published files'; there, queries and their gate have the usual one."""

    def mixer(path, at, part):
        fused = {"q_b_proj": "q_gate_proj"}
        for (name, ways), (_, published) in zip(
            tensors.renamed(v32.sparse_sources(path, at, part), **fused), v32.sparse_sources(path, at, part), strict=True
        ):
            yield name, ways + [way for way in published if way.names not in [w.names for w in ways]]
        yield from gate(f"{path}_norm", f"{at}.input_layernorm", part.norm)

    def ff(path, at, part):
        yield from tensors.part_sources(path, at, part)
        if part.kind == "experts":
            yield from gate(f"{path}_norm", f"{at}.post_attention_layernorm", part.norm)

    def gate(path, at, norm):
        for ours, inner, published in (("down", "fc1", "W_down"), ("up", "fc2", "W_up")):
            yield one(f"{path}.{ours}.weight", f"{at}.mlp.{inner}.weight", f"{at}.{published}.weight")

    for name, ways in tensors.llama_sources(arch, mixer, ff):
        if name.endswith(("attention_norm.weight", "moe_norm.weight")):  # below the norm that is gated
            own = ways[0].names[0]
            yield one(name, own.replace("layernorm.weight", "layernorm.norm.weight"), own)
        else:
            yield name, ways
