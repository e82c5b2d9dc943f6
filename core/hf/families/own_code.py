"""Models whose class came with their weights (trust_remote_code) and computes what another family does, in keys and tensor
names of its own: one row of MODELS each, an interpreter between the two."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ...parts.attention import Attention
from ...parts.position import Alibi, Dynamic, Rope
from ...spec import Architecture, Unsupported
from ..reading import classes, keys, pieces
from ..reading.config import Config
from ..reading.keys import Key, Keys, Unread
from ..weights import mtp, tensors
from ..weights.checkpoint import Source, Sources
from . import before_llama, like_llama, like_llama_moe, phi
from .like_llama import LikeLlama
from .like_llama_moe import BALANCED, LikeLlamaMoe


def _nothing(*_: Any) -> dict:
    return {}


@dataclass(frozen=True)
class OwnCode:
    """What a family calls otherwise than the one that it is like. Keys are read in this order: `fixed`, `given`, `like`, `more`."""

    like: Any  # a row of like_llama or of like_llama_moe, or another family's module
    keys: Mapping[str, str] = field(default_factory=dict)  # the other family's keys -> its own
    fixed: Mapping[str, Any] = field(default_factory=dict)  # its own keys, and what they must say
    ignored: str = ""  # its own keys that change nothing
    unread: str = ""  # the other family's keys that its class does not look at
    given: Callable[[Config], Mapping[str, Any]] = _nothing  # the other family's keys, out of its own
    more: Callable[[Config, dict], Any] = _nothing  # adds to the spec's mapping what the other family cannot say
    written: Callable[[Architecture, dict], Mapping[str, Any]] = _nothing  # keys for what `given` and `more` read
    names: Mapping[str, str] = field(default_factory=dict)  # pieces of the other family's tensor names -> its own
    position: pieces.Kind = Rope
    sources: Callable[[Architecture], Sources] | None = None  # where pieces do not do
    root: str = "model."
    ahead: mtp.Names = mtp.LAYERS
    classes: Mapping[str, str] = field(default_factory=dict)  # architectures that go by this type too -> their row


# ---- keys of several kinds ----


def _whole_head(config: Config) -> dict:
    """ChatGLM: half of each head turns, by a base that rope_ratio multiplies; queries share keys where multi_query says so."""
    config.expect("position_encoding_2d", False)  # the first ChatGLM, another model
    shared = config.take("multi_query_attention", bool, False)
    groups = config.count("multi_query_group_num", 1)
    heads = config.count("num_attention_heads", 32)
    ratio = config.take("rope_ratio", float, 1.0)
    if ratio != 1 and "chatglm2" in config.take("_name_or_path", str, "").lower():
        raise config.refuse("rope_ratio", "ChatGLM2's class divides positions by it, where those after it multiply the base")
    return {"rope_theta": 1e4 * ratio, "num_attention_heads": heads, "num_key_value_heads": groups if shared else heads}


def _write_whole_head(arch: Architecture, written: dict) -> dict:
    part = arch.parts["attention"]
    return {
        "multi_query_attention": part.kv_heads != part.heads,
        "multi_query_group_num": part.kv_heads,
        "rope_ratio": arch.position.base / 1e4,
    }


def _baichuan_length(config: Config) -> dict:
    """The 13B models have ALiBi, and model_max_length in the place of max_position_embeddings."""
    if config.has("max_position_embeddings"):
        return {}
    return {"max_position_embeddings": config.count("model_max_length")}


def _baichuan(config: Config, value: dict) -> None:
    if config.own.get("max_position_embeddings") is None:
        value["position"] = {"kind": "alibi"}
    if value["vocab_size"] == BAICHUAN_2:
        value["head"] = {"unit": "tokens"}


def _write_baichuan(arch: Architecture, written: dict) -> dict:
    length = "model_max_length" if arch.position.kind == "alibi" else "max_position_embeddings"
    return {"max_position_embeddings": None, length: arch.context}


def _heads_again(config: Config) -> dict:
    """StableLM's first files say the number of heads twice."""
    config.expect("num_heads", config.raw.get("num_attention_heads", 32))
    return {}


def _shared_heads(config: Config) -> dict:
    """PLaMo: so many query heads share a key and a value."""
    heads, each = config.count("num_attention_heads", 32), config.count("n_shared_head", 8)
    if heads % each:
        raise config.refuse("n_shared_head", f"{heads} heads do not divide into groups of so many")
    return {"num_attention_heads": heads, "num_key_value_heads": heads // each}


def _write_shared_heads(arch: Architecture, written: dict) -> dict:
    part = arch.parts["attention"]
    return {"n_shared_head": part.heads // part.kv_heads, "num_key_value_heads": None}


def _plamo_sources(arch: Architecture) -> Sources:
    """Query heads that share a key are not neighbours: the first of every group stand before the second."""
    part = arch.parts["attention"]
    each = (part.heads // part.kv_heads, part.kv_heads, part.head_dim)
    together = {
        "q": lambda rows: rows.unflatten(0, each).transpose(0, 1).flatten(0, 2),
        "o": lambda columns: columns.unflatten(1, each).transpose(1, 2).flatten(1, 3),
    }
    names = {"model.layers.": "model.layers.layers.", "input_layernorm": "norm"}
    for path, ways in tensors.llama_sources(arch):
        way = ways[0]
        make = together.get(path.split(".")[-2], way.make) if ".attention." in path else way.make
        yield path, [Source(tuple(tensors.reworded(name, names) for name in way.names), make)]


def _ahead(config: Config, value: dict) -> None:
    """MiMo: modules like its own layers predict further tokens."""
    count = config.count("num_nextn_predict_layers", 0, least=0, most=16)
    if count and "attention" not in value["parts"]:
        raise config.refuse("num_nextn_predict_layers", "beside layers with a window it is not known which they are like")
    value |= mtp.modules(count, ["attention", "dense"])


def _write_ahead(arch: Architecture, written: dict) -> dict:
    return {"num_nextn_predict_layers": arch.mtp.count if arch.mtp else 0}


def _internlm_rotary(config: Config) -> dict:
    rotary = config.nested("rotary")
    rotary.expect("type", "origin", "dynamic")
    dynamic = rotary.take("type", str, "dynamic") == "dynamic"
    base, factor = rotary.take("base", float, 1e4), rotary.take("scaling_factor", float, 1.0)
    rotary.finish()
    return {"rope_theta": base} | ({"rope_scaling": {"type": "dynamic", "factor": factor}} if dynamic else {})


def _write_internlm_rotary(arch: Architecture, written: dict) -> dict:
    scaling = arch.position.scaling
    turns = {"type": "dynamic", "scaling_factor": scaling.factor} if scaling else {"type": "origin"}
    return {"rotary": {"base": arch.position.base} | turns}


def _qwen_half(config: Config) -> dict:
    width = config.count("intermediate_size", 22_016, least=2)
    if width % 2:
        raise config.refuse("intermediate_size", "it counts two matrices' rows, so it is even")
    return {"intermediate_size": width // 2}


def _qwen(config: Config, value: dict) -> None:
    """Past seq_length the base and the scores grow."""
    length = config.count("seq_length", value["context"], least=2)
    if config.take("use_dynamic_ntk", bool, True):
        value["position"]["scaling"] = {"kind": "dynamic", "factor": 2.0, "original_context": length, "doubling": True}
    if config.take("use_logn_attn", bool, True):
        value["parts"]["attention"]["scores"] = {"temperature": {"kind": "log", "length": length, "first": 1}}


def _write_qwen(arch: Architecture, written: dict) -> dict:
    scaling, temperature = arch.position.scaling, arch.parts["attention"].scores.temperature
    if not isinstance(scaling, Dynamic | None):
        raise Unsupported(f"position.scaling: this family needs dynamic scaling, not {scaling.kind}")
    length = scaling.original_context if scaling else temperature.length if temperature else arch.context
    return {
        "intermediate_size": 2 * arch.parts["dense"].d_ff,
        "seq_length": length,
        "use_dynamic_ntk": scaling is not None,
        "use_logn_attn": temperature is not None,
    }


def _minicpm(config: Config, value: dict) -> None:
    """muP's multipliers (arXiv:2404.06395, appendix A.1)."""
    depth, width = config.depth("num_hidden_layers", 32), value["d_model"]
    config.expect("mup_denominator", depth)
    value["embedding"] = {"scale": config.take("scale_emb", float, 1.0)}
    value["residual"] = {"scale": config.take("scale_depth", float, 1.0) / math.sqrt(depth)}
    value["head"] = {"scale": config.take("dim_model_base", float, 1.0) / width}


def _write_minicpm(arch: Architecture, written: dict) -> dict:
    return {
        "scale_emb": arch.embedding_scale,
        "scale_depth": pieces.times(arch.residual.scale, math.sqrt(arch.depth)),
        "dim_model_base": round(arch.head.scale * arch.d_model),
    } | ({} if "moe" in arch.parts else {"num_experts": 0})


def _phi_turning(config: Config) -> dict:
    width, heads = config.count("n_embd", 1_024), config.count("n_head", 16)
    head_dim = max(width // heads, 1)
    vocabulary = config.count("vocab_size", 50_304)
    step = config.count("pad_vocab_size_multiple", 64)
    return {
        "partial_rotary_factor": min(config.count("rotary_dim", 32), head_dim) / head_dim,
        "intermediate_size": config.count("n_inner", 4 * width),
        "vocab_size": -(-vocabulary // step) * step,
    }


def _write_phi(arch: Architecture, written: dict) -> dict:
    return {"rotary_dim": arch.position.dim(arch.parts["attention"].head_dim), "pad_vocab_size_multiple": 1}


def _without_bias(config: Config) -> dict:
    if config.take("use_bias", bool, True):
        raise config.refuse("use_bias", "only false is read; absent means true")
    return {}


def _ling(config: Config, value: dict) -> None:
    moe = value["parts"].get("moe", {})
    if moe.get("top_k") == 1:  # one chosen expert keeps its score
        moe["router"].pop("normalise", None)
    if config.take("norm_head", bool, False):
        value["head"] = {"unit": "channels"}
    config.expect("moe_shared_expert_intermediate_size", config.raw.get("moe_intermediate_size"))


def _write_ling(arch: Architecture, written: dict) -> dict:
    return {"use_bias": False, "norm_head": arch.head.unit == "channels"}


# ---- tensors ----


def by_group(path: str, at: str, part: Attention) -> Sources:
    """Attention whose one matrix holds each group's queries, then its key, then its value."""
    for name in "qkv":
        for kind in ("weight", "bias") if part.bias else ("weight",):
            yield tensors.one(f"{path}.{name}.{kind}", f"{at}.self_attn.qkv_proj.{kind}", make=before_llama.by_group(name, part))
    for kind in ("weight", "bias") if part.bias else ("weight",):
        yield tensors.one(f"{path}.o.{kind}", f"{at}.self_attn.o_proj.{kind}")


GPT_LAYERS = {"model.layers.": "transformer.h.", "model.embed_tokens": "transformer.wte", "model.norm": "transformer.ln_f"}
PHI_MSFT = before_llama.Names(
    embedding="transformer.embd.wte", layer="transformer.h.{}", norm="lm_head.ln", mixer_norm="ln", qkv="mixer.Wqkv",
    o="mixer.out_proj", up="mlp.fc1", down="mlp.fc2", head="lm_head.linear",
)  # fmt: skip
LING = {
    "model.embed_tokens": "model.word_embeddings", "self_attn.qkv_proj": "attention.query_key_value", "self_attn.o_proj": "attention.dense",
    "self_attn.": "attention.", "q_norm": "query_layernorm", "k_norm": "key_layernorm",
}  # fmt: skip
BAICHUAN_2 = 125_696  # a vocabulary by which vLLM too knows the models whose head has rows of unit length
NEEDED = (..., ..., ..., ..., ...)


class MiniCPM:
    """Dense, or with experts where num_experts is not 0."""

    TYPES = ("minicpm",)
    sizes = (32_000, 4_096, 11_008, 32, 2_048)
    dense = LikeLlama("MiniCPM", sizes, (32, None, None), tied=True)
    moe = LikeLlamaMoe(
        "MiniCPM", sizes, (32, None, None), tied=True, count=("num_experts", 8), top_k=("num_experts_per_tok", 2),
        d_ff=("intermediate_size", 11_008), normalise=True,
    )  # fmt: skip

    def read(self, config: Config, model_type: str) -> dict:
        if config.take("num_experts", int, 0):
            return like_llama_moe.read(self.moe, config, model_type)
        config.ignore("num_experts_per_tok")
        return like_llama.read(self.dense, config, model_type)

    def write(self, arch: Architecture) -> dict:
        table, row = (like_llama_moe, self.moe) if "moe" in arch.parts else (like_llama, self.dense)
        return table.write(row, "minicpm", arch)

    def sources(self, arch: Architecture) -> Sources:
        table, row = (like_llama_moe, self.moe) if "moe" in arch.parts else (like_llama, self.dense)
        return tensors.also_named(table.sources(row, arch), {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"})


MODELS = {
    "aquila": OwnCode(LikeLlama("Aquila", (100_008, 4_096, 11_008, 32, 2_048), (32, None, None), bias=False), unread="head_dim"),
    "baichuan": OwnCode(
        LikeLlama("Baichuan", NEEDED, (..., None, None), bias=False), given=_baichuan_length, more=_baichuan, written=_write_baichuan,
        position=Rope | Alibi,
        ignored="model_max_length z_loss_weight gradient_checkpointing_ratio _from_model_config",
        unread="num_key_value_heads head_dim rope_theta rope_scaling rope_parameters", names={"qkv_proj": "W_pack"},
    ),
    "bailing_moe": OwnCode(
        LikeLlamaMoe(
            "BailingMoe", (30_592, 1_024, ..., 24, 16_384), (16, None, None), eps=("rms_norm_eps", 1e-5), bias=("use_qkv_bias", False),
            out_bias=False, count=("num_experts", 16), top_k=("num_experts_per_tok", 2), d_ff=("moe_intermediate_size", ...),
            normalise=("norm_topk_prob", True), shared=("num_shared_experts", 0), first=("first_k_dense_replace", 0),
        ),
        fixed=dict(use_sliding_window=False, norm_softmax=False, multi_gate=False, use_qk_norm=False, use_rmsnorm=True),
        given=_without_bias, more=_ling, written=_write_ling, names=LING, classes={"BailingMoeV2ForCausalLM": "bailing_moe_v2"},
        ignored="output_dropout max_window_layers sliding_window router_type image_patch_token",
    ),
    "bailing_moe_v2": OwnCode(
        LikeLlamaMoe(
            "BailingMoeV2", (157_184, 2_048, 5_120, 20, 32_768), (16, None, None), bias=("use_qkv_bias", False), out_bias=False, theta=6e5,
            attention={"qk_norm": {}}, fraction=1.0, count=("num_experts", 256), d_ff=("moe_intermediate_size", 512), router=BALANCED,
            normalise=True, scale=("routed_scaling_factor", 1.0), groups=True, shared=("num_shared_experts", 1),
            first=("first_k_dense_replace", 1), ahead="num_nextn_predict_layers", bias_at="gate.expert_bias",
        ),
        fixed=dict(
            use_sliding_window=False, norm_softmax=False, use_qk_norm=True, score_function="sigmoid", norm_topk_prob=True,
            moe_router_enable_expert_bias=True, moe_router_enable_shared_expert=True, use_rmsnorm=True, use_bias=False,
        ),
        more=_ling, written=_write_ling, names=LING,
        ignored="output_dropout max_window_layers sliding_window mtp_loss_scaling_factor rotary_dim",
    ),
    "sarvam_moe": OwnCode(
        LikeLlamaMoe(
            "SarvamMoE", (262_144, 4_096, 8_192, 19, 4_096), (16, 4, 256), bias=("use_qkv_bias", False), out_bias=False,
            attention={"qk_norm": {}}, count=("num_experts", 128), top_k=("num_experts_per_tok", 6), d_ff=("moe_intermediate_size", 1_024),
            router=BALANCED, normalise=True, scale=("routed_scaling_factor", 2.5), groups=True, shared=("num_shared_experts", 1),
            first=("first_k_dense_replace", 1), bias_at="gate.expert_bias",
        ),
        fixed=dict(use_qk_norm=True, score_function="sigmoid", norm_topk_prob=True, moe_router_enable_expert_bias=True, use_bias=False),
        more=_ling, names=LING, ignored="output_dropout max_window_layers default_theta",
    ),
    "chatglm": OwnCode(
        LikeLlama("ChatGLM", (65_024, 4_096, 13_696, 28, 2_048), (32, None, 128), eps=("layernorm_epsilon", 1e-5), bias=("add_qkv_bias",
        False),
            out_bias=False, rope=like_llama.PAIRS, fraction=0.5),
        keys=dict(
            vocab_size="padded_vocab_size", intermediate_size="ffn_hidden_size", num_hidden_layers="num_layers", head_dim="kv_channels",
            max_position_embeddings="seq_length",
        ),
        fixed=dict(
            rmsnorm=True, apply_residual_connection_post_layernorm=False, post_layer_norm=True, add_bias_linear=False,
            interleaved_qkv=False,
            rotary_percent=1.0, original_rope=True, pre_seq_len=None,
        ),
        given=_whole_head, written=_write_whole_head, root="transformer.",
        unread="hidden_act rope_theta rope_scaling rope_parameters partial_rotary_factor tie_word_embeddings",
        ignored="bias_dropout_fusion apply_query_key_layer_scaling fp32_residual_connection prefix_projection "
        "classifier_dropout vision_config",
        names={
            "model.embed_tokens": "transformer.embedding.word_embeddings", "model.norm": "transformer.encoder.final_layernorm",
            "model.layers.": "transformer.encoder.layers.", "lm_head": "transformer.output_layer", "self_attn.qkv_proj":
            "self_attention.query_key_value", "self_attn.o_proj": "self_attention.dense", "gate_up_proj": "dense_h_to_4h",
            "down_proj": "dense_4h_to_h",
        },
    ),
    "exaone": OwnCode(
        LikeLlama("Exaone", (102_400, 2_048, ..., 32, 2_048), (32, None, None), tied=True, eps=("layer_norm_epsilon", 1e-5), bias=False,
            activation=("activation_function", "silu")),
        keys=dict(num_hidden_layers="num_layers"), ignored="embed_dropout", root="transformer.",
        unread="head_dim",
        names=GPT_LAYERS | {
            "input_layernorm": "ln_1", "post_attention_layernorm": "ln_2", "self_attn.o_proj": "attn.attention.out_proj",
            "self_attn.": "attn.attention.", "gate_proj": "c_fc_0", "up_proj": "c_fc_1", "down_proj": "c_proj",
        },
    ),
    "internlm": OwnCode(
        LikeLlama("InternLM", (103_168, 4_096, 11_008, 32, 2_048), (32, None, None), bias=("bias", True)), given=_internlm_rotary,
        written=_write_internlm_rotary, unread="num_key_value_heads head_dim rope_theta rope_scaling rope_parameters",
    ),
    "internlm2": OwnCode(
        LikeLlama("InternLM2", (103_168, 4_096, 11_008, 32, 2_048), (32, None, None), bias=("bias", True), mixer=by_group),
        unread="head_dim",
        names={
            "embed_tokens": "tok_embeddings", "lm_head": "model.output", "input_layernorm": "attention_norm",
            "post_attention_layernorm": "ffn_norm", "self_attn.qkv_proj": "attention.wqkv", "self_attn.o_proj": "attention.wo",
            "mlp.gate_proj": "feed_forward.w1", "mlp.up_proj": "feed_forward.w3", "mlp.down_proj": "feed_forward.w2",
        },
    ),
    "mimo": OwnCode(
        replace(like_llama.MODELS["qwen2"], name="MiMo"),
        fixed=dict(attention_bias=True), more=_ahead, written=_write_ahead,
        ahead=mtp.Names(
            "mtp_layers.{module}", "mtp_layers.{module}.token_layernorm", "mtp_layers.{module}.hidden_layernorm",
            ("mtp_layers.{module}.input_proj",), "mtp_layers.{module}.final_layernorm", {}, stream_first=True,
        ),
    ),
    "minicpm": OwnCode(MiniCPM(), more=_minicpm, written=_write_minicpm, unread="head_dim"),
    "orion": OwnCode(
        LikeLlama("Orion", (84_608, 4_096, 15_360, 40, 4_096), (40, 40, None), norm=like_llama.LAYER, eps=("rms_norm_eps", 1e-5),
        bias=False),
        unread="head_dim",
    ),
    "phi-msft": OwnCode(
        phi, given=_phi_turning, written=_write_phi, root="transformer.", sources=partial(before_llama.sources, names=PHI_MSFT),
        keys=dict(
            hidden_size="n_embd", num_hidden_layers="n_layer", num_attention_heads="n_head", num_key_value_heads="n_head_kv",
            max_position_embeddings="n_positions", hidden_act="activation_function", layer_norm_eps="layer_norm_epsilon",
            intermediate_size="n_inner",
        ),
        ignored="flash_attn flash_rotary fused_dense", unread="qk_layernorm rope_theta rope_scaling",
    ),
    "qwen": OwnCode(
        LikeLlama("QWenLMHead", (151_936, 4_096, 11_008, 32, 8_192), (32, None, 128), eps=("layer_norm_epsilon", 1e-6), bias=True,
        out_bias=False,
            fraction=1.0),
        keys=dict(head_dim="kv_channels", rope_theta="rotary_emb_base", partial_rotary_factor="rotary_pct"),
        fixed=dict(no_bias=True, scale_attn_weights=True, use_cache_quantization=False), given=_qwen_half, more=_qwen, written=_write_qwen,
        ignored="attn_dropout_prob emb_dropout_prob bf16 fp16 fp32 use_flash_attn use_cache_kernel softmax_in_fp32 onnx_safe "
        "tokenizer_type visual",
        unread="hidden_act num_key_value_heads rope_scaling rope_parameters", root="transformer.",
        names=GPT_LAYERS | {
            "input_layernorm": "ln_1", "post_attention_layernorm": "ln_2", "self_attn.qkv_proj": "attn.c_attn",
            "self_attn.o_proj": "attn.c_proj", "gate_proj": "w2", "mlp.up_proj": "mlp.w1", "down_proj": "c_proj",
        },
    ),
    "skywork": OwnCode(LikeLlama("Skywork", (32_000, 4_096, 11_008, 32, 2_048), (32, None, None), bias=False), unread="head_dim"),
    "stablelm_epoch": OwnCode(
        replace(like_llama.MODELS["stablelm"], name="StableLMEpoch", eps=("norm_eps", 1e-5), more=()),
        keys=dict(partial_rotary_factor="rope_pct"), unread="head_dim rope_scaling", ignored="rotary_scaling_factor", given=_heads_again,
    ),
    "xverse": OwnCode(
        LikeLlama("Xverse", (100_278, 5_120, 13_824, 40, 8_192), (40, None, None), bias=False), ignored="max_tokenizer_truncation",
        unread="head_dim",
    ),
    "plamo": OwnCode(
        LikeLlama("Plamo", (32_000, 4_096, 13_312, 32, 2_048), (32, None, None), bias=False, parallel=True), given=_shared_heads,
        written=_write_shared_heads, ignored="num_key_value_heads", unread="head_dim rope_theta rope_scaling", sources=_plamo_sources,
    ),
    "PanguEmbedded": OwnCode(
        LikeLlama("PanguEmbedded", (153_376, 4_096, 12_800, 34, 32_768), (32, 8, None), eps=("rms_norm_eps", 1e-5), bias=("bias", True),
            theta=1.6e7),
        unread="head_dim rope_scaling",
    ),
    "Yi": OwnCode(
        LikeLlama("Yi", (64_000, 4_096, 11_008, 32, 4_096), (32, 4, None), eps=("rms_norm_eps", 1e-5), bias=False, theta=5e6),
        unread="head_dim",
        names={"input_layernorm": "ln1", "post_attention_layernorm": "ln2"},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A row as a family of its own."""

    model_type: str
    row: OwnCode

    @property
    def TYPES(self) -> tuple[str]:
        return (self.model_type,)

    @property
    def ROOTS(self) -> tuple[str]:
        return (self.row.root,)

    @property
    def AHEAD(self) -> mtp.Names:
        return self.row.ahead

    @property
    def like(self) -> Any:
        like = self.row.like
        if not isinstance(like, LikeLlama):
            return like
        table = like_llama_moe if isinstance(like, LikeLlamaMoe) else like_llama
        made = (partial(table.read, like), partial(table.write, like, self.model_type), partial(table.sources, like))
        return like_llama.Family(self.model_type, *made, KEYS=like.keys + like.network + getattr(like, "experts", ()))

    @property
    def KEYS(self) -> Keys:
        """The other family's, under this one's names, and its own."""
        row, unread, declared = self.row, self.row.unread.split(), getattr(self.like, "KEYS", ())
        declared = declared.get(self.like.TYPES[0], ()) if isinstance(declared, dict) else declared
        kept = (entry for entry in declared if getattr(entry, "name", None) not in unread)
        called = (replace(entry, name=row.keys.get(entry.name, entry.name)) if isinstance(entry, Key) else entry for entry in kept)
        return (*called, *keys.only(**row.fixed), Unread(row.ignored))

    def read(self, config: Config, model_type: str) -> dict:
        row, like = self.row, self.like
        for name in classes.names(config):
            if name in row.classes:
                return next(family for family in FAMILIES if family.model_type == row.classes[name]).read(config, model_type)
        for key, said in row.fixed.items():
            config.expect(key, said)
        config.ignore(*row.ignored.split())
        given = row.given(config)
        other = config.renamed(row.keys, given)
        unread = {key: other.raw.pop(key) for key in row.unread.split() if key in other.raw and key not in given}
        value = like.read(other, like.TYPES[0])
        for key, said in unread.items():
            if said is not None and like.read(Config(other.raw | {key: said}), like.TYPES[0]) != value:
                raise config.refuse(row.keys.get(key, key), "this family's class does not look at it")
            other.ignore(key)
        row.more(other, value)
        other.finish(value)
        return value

    def write(self, arch: Architecture) -> dict:
        if not isinstance(arch.position, self.row.position):
            raise Unsupported(f"position: this family does not have {arch.position.kind}")
        position = arch.position if isinstance(arch.position, Rope) else Rope()
        if "rope_scaling" in self.row.unread.split():
            position = position.model_copy(update={"scaling": None})
        written = self.like.write(arch.model_copy(update={"position": position}))
        unread = {*self.row.unread.split(), "model_type"}
        named = {self.row.keys.get(key, key): said for key, said in written.items() if key not in unread}
        named |= {"model_type": self.model_type} | self.row.written(arch, written)
        return {key: said for key, said in named.items() if said is not None}

    def sources(self, arch: Architecture) -> Sources:
        if self.row.sources:
            yield from self.row.sources(arch)
            return
        for path, ways in self.like.sources(arch):
            yield (path, [Source(tuple(tensors.reworded(name, self.row.names) for name in way.names), way.make) for way in ways])

    def ignored(self, name: str) -> bool:
        return tensors.ignored(name) or name.endswith("inv_freq") or ".vision." in name


FAMILIES = [Family(name, row) for name, row in MODELS.items()]
