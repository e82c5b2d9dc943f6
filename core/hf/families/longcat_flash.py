"""LongCat-Flash (arXiv:2509.01322): two attentions and two dense networks a layer, experts that bridge the second half of it,
and among the experts some without weights. LongCat-Flash-Lite (arXiv:2601.21204), whose class came with its weights, embeds runs
of tokens too."""

from ...parts.experts import Experts
from ...parts.feedforward import Activated, FeedForward
from ...parts.latent import LatentAttention
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Key, Only
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


KEYS = (
    *keys.sizes(131_072, 6_144, 131_072, 28, eps=1e-5, names="hidden_size max_position_embeddings num_layers"),
    *v3.latent(64, scaled_ranks=True, alike=False),
    *keys.feed_forward(12_288, width="ffn_hidden_size/intermediate_size"),
    *keys.experts(
        512, 12, 2_048, names="n_routed_experts/num_local_experts", chosen="moe_topk/num_experts_per_tok",
        width="expert_ffn_hidden_size/moe_intermediate_size", router={"selection_bias": True},
    ),
    Key("zero_expert_num", "moe.zero", 256, null=0, least=0),
    Key("routed_scaling_factor", "moe.router.scale", 6.0),
    v3.LatentTurning(1e7, interleaved=True),
    keys.ahead(0, "num_nextn_predict_layers"),
    Only("zero_expert_type", "identity", written=True),
    *keys.only(mla_scale_q_lora=True, mla_scale_kv_lora=True, attention_method="MLA", router_bias=False, norm_topk_prob=False),
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    depth = _depth(config)
    said = keys.read(config, KEYS)
    config.expect("qk_head_dim", said["attention"]["nope_dim"] + said["attention"]["rope_dim"])
    if model_type == "longcat_flash_ngram" or config.has("ngram_vocab_size_ratio"):
        said["embedding"] = {"ngrams": _ngrams(config, said["vocab_size"])}
    ahead = mtp.foretold(said, ["attention", "dense"], copies=("embedding",))
    return pieces.model(config, said, [BLOCK] * depth, **ahead)


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
    pieces.made_of(arch, kinds, layer=layer)
    if not (ngrams := arch.embedding.ngrams):
        return pieces.write_model(arch, "LongcatFlash", "longcat_flash", KEYS)
    return pieces.write_model(arch, "LongcatFlashNgram", "longcat_flash_ngram", KEYS) | {
        "emb_neighbor_num": ngrams.longest, "emb_split_num": ngrams.tables, "eos_token_id": ngrams.end,
        "ngram_vocab_size_ratio": (ngrams.rows - 1) / arch.vocab_size,
    }  # fmt: skip


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
