"""LongCat-Flash (arXiv:2509.01322): two attentions and two dense networks a layer, experts that bridge the second half of it,
and among the experts some without weights. LongCat-Flash-Lite (arXiv:2601.21204), whose class came with its weights, embeds runs
of tokens too."""

from ...parts.experts import Experts
from ...parts.feedforward import Activated, FeedForward
from ...parts.latent import LatentAttention
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import mtp, tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one
from . import deepseek_v3 as v3

TYPES = ("longcat_flash", "longcat_flash_ngram")
AHEAD = mtp.Names(
    "mtp.layers.{module}", "mtp.layers.{module}.enorm.m", "mtp.layers.{module}.hnorm.m", ("mtp.layers.{module}.eh_proj",),
    "mtp.norm", {"embedding": "mtp.embed_tokens"}, {".mlp.": ".transformer_layer.mlp."},
    sources=lambda arch: tensors.llama_sources(arch, mixer=v3.latent_sources),
)  # fmt: skip
# The experts read what the first dense network reads, and join the stream after the second.
BLOCK = ["attention", {"parts": ["dense", "moe"], "shortcut": {"moe": 2}}, "attention", "dense"]


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=131_072, d_model=6_144, context=131_072, tied=False, eps=1e-5)
    attention = v3.latent(config, 64, (1_536, 512), (128, 64, 128)) | {"scaled_ranks": True}
    config.expect("qk_head_dim", attention["nope_dim"] + attention["rope_dim"])
    for key in ("mla_scale_q_lora", "mla_scale_kv_lora"):
        config.expect(key, True)
    config.expect("attention_method", "MLA")
    config.expect("zero_expert_type", "identity")
    config.expect("router_bias", False)
    config.expect("norm_topk_prob", False)
    activation = unless("swiglu", activation=pieces.activation(config))
    dense = {
        "kind": "feed_forward",
        "d_ff": v3.either(config, "ffn_hidden_size", "intermediate_size", 12_288, most=2**20),
    }
    experts = {
        "kind": "experts",
        "count": v3.either(config, "n_routed_experts", "num_local_experts", 512),
        "top_k": v3.either(config, "moe_topk", "num_experts_per_tok", 12),
        "d_ff": v3.either(config, "expert_ffn_hidden_size", "moe_intermediate_size", 2_048, most=2**20),
        "zero": config.count("zero_expert_num", 256, null=0, least=0),
        "router": {"selection_bias": True} | unless(1.0, scale=config.take("routed_scaling_factor", float, 6.0)),
    }  # fmt: skip
    if model_type == "longcat_flash_ngram" or config.has("ngram_vocab_size_ratio"):
        value["embedding"] = {"ngrams": _ngrams(config, value["vocab_size"])}
    value["position"] = v3.rope(config, value["context"], theta=1e7) | {"interleaved": True}
    parts = {"attention": attention, "dense": dense | activation, "moe": experts | activation}
    count = config.count("num_nextn_predict_layers", 0, least=0, most=16)
    ahead = mtp.modules(count, ["attention", "dense"], copies=("embedding",))
    return pieces.assemble(config, value, value["position"], parts, [BLOCK] * _depth(config), **ahead)


def _ngrams(config: Config, vocab_size: int) -> dict:
    end = config.take("eos_token_id", (int, list), 2)
    if isinstance(end, list):
        raise config.refuse("eos_token_id", "runs of tokens end at one token; give its number")
    return {
        "longest": config.count("emb_neighbor_num", ..., most=8),
        "tables": config.count("emb_split_num", ..., most=8),
        "rows": int(config.take("ngram_vocab_size_ratio", float, ...) * vocab_size + 1),
        "end": end,
    }


def _depth(config: Config) -> int:
    """num_layers; num_hidden_layers, where it is there, counts attentions."""
    depth = config.depth("num_layers", config.depth("num_hidden_layers", 56) // 2)
    if config.has("num_hidden_layers") and config.take("num_hidden_layers", int) // 2 != depth:
        raise config.refuse("num_hidden_layers", f"it counts attentions, two for each of num_layers {depth}")
    return depth


def write(arch: Architecture) -> dict:
    kinds = {"attention": LatentAttention, "dense": FeedForward, "moe": Experts}
    layer = (LatentAttention, (Activated, Activated), LatentAttention, FeedForward)
    attention, dense, moe = pieces.made_of(arch, kinds, layer=layer)
    ngrams = arch.embedding.ngrams
    own = {"architectures": ["LongcatFlashForCausalLM"], "model_type": "longcat_flash"}
    if ngrams:
        own = {
            "architectures": ["LongcatFlashNgramForCausalLM"], "model_type": "longcat_flash_ngram", "emb_neighbor_num": ngrams.longest,
            "emb_split_num": ngrams.tables, "ngram_vocab_size_ratio": (ngrams.rows - 1) / arch.vocab_size, "eos_token_id": ngrams.end,
        }  # fmt: skip
    return (
        own
        | {key: value for key, value in pieces.write_sizes(arch).items() if key != "num_hidden_layers"}
        | {key: value for key, value in v3.write_latent(attention).items() if key != "num_key_value_heads"}
        | {
            "num_layers": arch.depth, "hidden_act": pieces.write_activation(dense.activation), "ffn_hidden_size": dense.d_ff,
            "n_routed_experts": moe.count, "zero_expert_num": moe.zero, "zero_expert_type": "identity", "moe_topk": moe.top_k,
            "expert_ffn_hidden_size": moe.d_ff, "routed_scaling_factor": moe.router.scale, "num_nextn_predict_layers": v3.write_mtp(arch),
        }
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )  # fmt: skip


def sources(arch: Architecture) -> Sources:
    table = "model.ngram_embeddings.word_embeddings.weight"
    yield one("embedding.weight", "model.embed_tokens.weight", *([table] if arch.embedding.ngrams else []))
    for i in range(arch.embedding.ngrams.count if arch.embedding.ngrams else 0):
        yield one(f"ngrams.tables.{i}.weight", f"model.ngram_embeddings.embedders.{i}.weight")
        yield one(f"ngrams.ups.{i}.weight", f"model.ngram_embeddings.post_projs.{i}.weight")
    yield from tensors.norm_sources(arch, "norm", "model.norm")
    yield from tensors.head_source(arch, "model.embed_tokens.weight")
    attention, dense, moe = (arch.part(name) for name in ("attention", "dense", "moe"))
    for layer in range(arch.depth):
        at, path = f"model.layers.{layer}", f"layers.{layer}"
        for half, copy in enumerate(("", "_2")):
            yield from tensors.norm_sources(arch, f"{path}.attention{copy}_norm", f"{at}.input_layernorm.{half}")
            yield from tensors.norm_sources(arch, f"{path}.dense{copy}_norm", f"{at}.post_attention_layernorm.{half}")
            latent = v3.latent_sources(f"{path}.attention{copy}", at, attention)
            yield from tensors.renamed(latent, self_attn=f"self_attn.{half}")
            yield from tensors.dense_sources(f"{path}.dense{copy}", f"{at}.mlps.{half}", dense)
        for name, ways in tensors.experts_sources(
            f"{path}.moe", f"{at}.mlp", moe, router="router.classifier", bias="router.e_score_correction_bias"
        ):
            yield name, [_filled(way, moe.count) if ".experts." in name else way for way in ways]


def _filled(way: Source, count: int) -> Source:
    """transformers keeps rows for experts without weights too, and reads none of them."""
    return Source(way.names, lambda *tensors: way.make(*tensors)[:count])


def ignored(name: str) -> bool:
    return tensors.ignored(name) or name.startswith("model.mtp.")
