"""The many dense models that differ from llama in their sizes and a few switches: one row of MODELS each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from ...parts import PARTS
from ...parts.base import Mixer
from ...parts.feedforward import Activated, FeedForward
from ...parts.position import NoPosition, Rope
from ...spec import Architecture, Unsupported
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Again, Always, Entry, Has, Key, Keys, Only, Rule, Unread, Writing
from ..weights import mtp, tensors
from ..weights.checkpoint import Sources


@dataclass(frozen=True)
class LikeLlama:
    """A family's defaults, and where it departs from llama. What is not said here is llama's."""

    name: str  # of its class, before ForCausalLM
    sizes: tuple[int, int, int, int, int]  # vocabulary, d_model, d_ff, layers, context
    heads: tuple[int, int | None, int | None]  # heads; kv_heads, None as many; head_dim, None what divides d_model
    tied: bool = False
    norm: Mapping[str, Any] = field(default_factory=lambda: {"kind": "rms"})
    eps: tuple[str, float] = ("rms_norm_eps", 1e-6)
    bias: tuple[str, bool] | bool = ("attention_bias", False)  # a key and its default, or what always holds
    out_bias: tuple[str, bool] | bool | None = None  # None: as `bias`
    mlp_bias: tuple[str, bool] | bool = False
    dense: Mapping[str, Any] = field(default_factory=dict)  # what the feed-forward network always says
    activation: tuple[str, str] = ("hidden_act", "silu")
    gated: bool = True
    theta: float = 1e4
    rope: Mapping[str, Any] = field(default_factory=dict)  # what the position always says
    scaled: Mapping[str, Any] = field(default_factory=dict)  # the usual rope_parameters, where no scaling is given
    typed: bool = False  # rope_parameters says how each kind of layer turns, null where it does not
    local_base: float | None = None  # layers in a window turn by a rope of their own, with this base and never scaled by default
    fraction: float | None = None  # default share of channels that turn; None where all do
    magnitudes: bool = False  # a scaled rope gives its magnitude for short texts and for long ones
    alpha: bool = False  # a dynamic rope may have a fixed alpha
    layered: bool = False  # layer_rope_theta gives each layer a base of its own, or 0 for no position
    attention: Mapping[str, Any] = field(default_factory=dict)  # what the attention part always says
    residual: Mapping[str, Any] = field(default_factory=dict)
    parallel: tuple[str, bool] | bool = False  # attention and feed-forward behind one norm
    more: Keys = ()  # keys of its own
    window: Callable[[Config, int, int | None], list[str]] | None = None  # the usual layer_types, where there are windows
    sliding: int | None = None  # the usual window
    switch: str = ""  # a key that must be true for windows to count
    needed: bool = False  # layers of sliding_attention are refused where there is no window
    unseen: bool = False  # layers without a window have no position, where there is a window at all
    ignored: str = ""  # keys that change nothing
    tensors: Mapping[str, str] = field(default_factory=dict)  # llama's name of a module -> the family's
    mixer: Callable[[str, str, Any], Sources] | None = None  # where attention's own tensors are, where not at llama's names
    ahead: str | None = None  # the key of how many modules predict ahead; of a dense model one like its first layer
    named_ahead: mtp.Names = mtp.LAYERS

    @cached_property
    def keys(self) -> Keys:
        """Of all but the feed-forward side."""
        vocabulary, width, _, depth, context = self.sizes
        return (
            *keys.sizes(vocabulary, width, context, depth, tied=self.tied, eps=self.eps[1], eps_key=self.eps[0], **self.norm),
            Always("attention", **{"kind": "attention"} | self.attention),
            *keys.heads(*self.heads),
            *keys.switch("attention.bias", self.bias),
            OutBias("attention.out_bias", self.out_bias),
            Always("residual", **self.residual),
            LlamaTurning(self),
            *self.more,
            Unread(self.ignored),
        )

    @cached_property
    def network(self) -> Keys:
        """Of the layers' feed-forward networks."""
        return keys.feed_forward(self.sizes[2], *self.activation, self.gated, self.mlp_bias, **self.dense)


@dataclass(frozen=True)
class OutBias(Entry):
    """Biases of attention's last matrix, where they may be other than the rest."""

    field: str
    says: tuple[str, bool] | bool | None

    def read(self, config: Config, said: dict) -> None:
        part = keys.read(config, keys.switch("out_bias", self.says)) if isinstance(self.says, tuple) else {"out_bias": self.says}
        if part["out_bias"] not in (None, said["attention"]["bias"]):
            said["attention"] |= part

    def write(self, of: Writing) -> dict:
        own = of.get(self.field)
        return {self.says[0]: of.get("attention.bias") if own is None else own} if isinstance(self.says, tuple) else {}

    def rows(self) -> Iterator[tuple[str, str, str]]:
        for entry in keys.switch(self.field, self.says):
            yield from entry.rows()


@dataclass(frozen=True)
class LlamaTurning(Entry):
    """How a row's layers turn: by one rope, or those in a window by another."""

    row: "LikeLlama"

    def read(self, config: Config, said: dict) -> None:
        row, context = self.row, said["context"]
        if row.scaled and not config.raw.get("rope_scaling"):
            config.suppose("rope_parameters", row.scaled)
        if row.local_base:
            said["near"], said["position"] = rotary.ropes(config, context, row.theta, row.local_base)
            return
        if row.alpha:
            rotary.stretch(config, said["attention"]["head_dim"], row.theta)
        position = rotary.rope(config, context, theta=row.theta, fraction=row.fraction, magnitudes=row.magnitudes)
        said["position"] = position | row.rope

    def write(self, of: Writing) -> dict:
        row, arch = self.row, of.arch
        if row.local_base:
            near = next((p.position for p in arch.parts.values() if getattr(p, "position", None)), arch.position)
            return rotary.write_ropes(near, arch.position, arch.context)
        rope = rotary.write_rope(arch.position, arch.context)
        if row.magnitudes and arch.position.scaling:
            magnitude = rope["rope_scaling"].pop("attention_factor", None)
            if magnitude is None:
                raise Unsupported("position.scaling.attention_factor: this family needs it; give one")
            rope["rope_scaling"] |= {"short_mscale": magnitude, "long_mscale": magnitude}
        if row.scaled and not arch.position.scaling:
            rope = {"rope_parameters": {"rope_type": "default", "rope_theta": arch.position.base}}
        if row.fraction is not None:
            rope["partial_rotary_factor"] = arch.position.fraction
        return rope

    def rows(self) -> Iterator[tuple[str, str, str]]:
        return rotary.Turning(self.row.theta, self.row.fraction).rows()


def every(fourth: int) -> Callable[[Config, int, int | None], list[str]]:
    """All in a window but each fourth layer, or as sliding_window_pattern says."""

    def types(config: Config, depth: int, window: int | None) -> list[str]:
        if isinstance(words := config.raw.get("sliding_window_pattern"), str):  # "LLLG", again and again
            if not words or set(words) - set("LG"):
                raise config.refuse("sliding_window_pattern", "give a number, or L and G for layers in a window and others")
            return ["sliding_attention" if words[n % len(words)] == "L" else "full_attention" for n in range(depth)]
        pattern = config.count("sliding_window_pattern", fourth, least=0) if window else 0
        return ["sliding_attention" if pattern and (n + 1) % pattern else "full_attention" for n in range(depth)]

    return types


def all_but(key: str, fourth: int) -> Callable[[Config, int, int | None], list[str]]:
    """All in a window but each fourth layer, or as `key` says."""

    def types(config: Config, depth: int, window: int | None) -> list[str]:
        step = config.count(key, fourth)
        return ["sliding_attention" if (n + 1) % step else "full_attention" for n in range(depth)]

    return types


def first_of(fourth: int) -> Callable[[Config, int, int | None], list[str]]:
    """All in a window but the first of each four."""
    return lambda config, depth, window: ["sliding_attention" if n % fourth else "full_attention" for n in range(depth)]


def all_alike(config: Config, depth: int, window: int | None) -> list[str]:
    return ["sliding_attention" if window else "full_attention"] * depth


def uniform(config: Config, depth: int, window: int | None) -> list[str]:
    """All in the window that is given, whatever layer_types says: transformers does not look at it here."""
    types = all_alike(config, depth, window)
    config.expect("layer_types", types)
    return types


def all_full(config: Config, depth: int, window: int | None) -> list[str]:
    return ["full_attention"] * depth


def upper(usual: int) -> Callable[[Config, int, int | None], list[str]]:
    """Only the layers from max_window_layers on have a window."""

    def types(config: Config, depth: int, window: int | None) -> list[str]:
        first = config.count("max_window_layers", usual, least=0)
        return ["sliding_attention" if window and n >= first else "full_attention" for n in range(depth)]

    return types


def per_head(said: dict) -> dict:
    """Queries and keys normalised head by head, each with weights of its own and no biases."""
    return {"own": True, "norm": said["norm"] | {"bias": False}}


def bare_norm(config: Config, said: dict) -> None:
    said["attention"]["out_norm"] = {"kind": "rms", "eps": said["norm"]["eps"], "weight": False}


def typed_rope(config: Config, said: dict) -> None:
    scaling = config.raw.get("rope_scaling")
    if isinstance(scaling, Mapping) and scaling.get("type") and not scaling.get("rope_type"):
        raise config.refuse("rope_scaling", "transformers ignores `type` here; give rope_type")


def whole_stream(config: Config, said: dict) -> None:
    if said["attention"]["heads"] * said["attention"]["head_dim"] != said["d_model"]:
        raise config.refuse("head_dim", "its heads together are as wide as the stream")


def norm_eps_alone(config: Config, said: dict) -> None:
    if config.has("norm_eps"):
        config.ignore("layer_norm_eps")


def outside(config: Config, said: dict) -> None:
    if config.raw.get("sliding_window", 4_096) is None:
        raise config.refuse("sliding_window", "give its tokens: what is outside a window has no position")


WHOLE_STREAM, NO_POSITION_OUTSIDE = Rule(whole_stream), Rule(outside)
CLIP = Key("clip_qkv", "attention.clip", None, float)
COHERE = (
    Unread("model_max_length"),
    Rule(lambda config, said: config.expect("layer_switch", config.raw.get("sliding_window_pattern") or 4)),
)
RESIDUAL_STREAM = (Key("embedding_multiplier", "embedding.scale", 1.0), Key("residual_multiplier", "residual.scale", 1.0))
MULTIPLIERS = (  # Granite's
    Key("attention_multiplier", "attention.scores.scale", 1.0, spare=1.0),
    *RESIDUAL_STREAM,
    Key("logits_scaling", "head.scale", 1.0, positive=True, form=keys.INVERSE),
)
HUNYUAN = (  # what Hunyuan's files say beside the architecture
    Again("attention_head_dim", "attention.head_dim"),
    *keys.only(use_cla=False, use_rotary_pos_emb=True),
    Only("norm_type", "rms", "hf_rms"),
    Again("org_vocab_size", "vocab_size"),  # in Hunyuan-VL
    Unread("cla_share_factor class_num dense_list pool_type enable_lm_head_fp32 num_media_embeds im_newline_id mask_init_id"),
)
PAIRS = {"interleaved": True}
LAYER = {"kind": "layer"}
GLM = dict(
    sizes=(151_552, 4_096, 13_696, 40, 131_072), heads=(32, 2, 128), eps=("rms_norm_eps", 1.5625e-7), bias=("attention_bias", True),
    out_bias=False, rope=PAIRS, fraction=0.5,
)  # fmt: skip
GRANITE = dict(sizes=(32_000, 4_096, 11_008, 32, 2_048), heads=(32, None, None), mlp_bias=("mlp_bias", False))
MODELS = {
    "apertus": LikeLlama(
        "Apertus", (131_072, 4_096, 14_336, 32, 65_536), (32, None, None), eps=("rms_norm_eps", 1e-5), theta=1.2e7,
        attention={"qk_norm": {}}, activation=("hidden_act", "xielu"), gated=False,
        scaled={"rope_type": "llama3", "rope_theta": 1.2e7, "factor": 8.0, "original_max_position_embeddings": 8_192,
                "low_freq_factor": 1.0, "high_freq_factor": 4.0},
        tensors={"input_layernorm": "attention_layernorm", "post_attention_layernorm": "feedforward_layernorm"},
        more=(*keys.only(qk_norm=True, mlp_bias=False, post_norm=False),),
    ),
    "arcee": LikeLlama(
        "Arcee", (32_000, 2_560, 18_432, 32, 4_096), (32, None, None), eps=("rms_norm_eps", 1e-5), mlp_bias=("mlp_bias", False),
        activation=("hidden_act", "relu2"), gated=False,
    ),
    "bitnet": LikeLlama(
        "BitNet", (128_256, 2_560, 6_912, 30, 2_048), (20, 5, None), eps=("rms_norm_eps", 1e-5), theta=5e5,
        attention={"sub_norm": True}, activation=("hidden_act", "relu2"), dense={"sub_norm": True},
        more=(WHOLE_STREAM,),
    ),
    "cohere": LikeLlama(
        "Cohere", (256_000, 8_192, 22_528, 40, 8_192), (64, None, None), tied=True, norm=LAYER | {"bias": False},
        eps=("layer_norm_eps", 1e-5), rope=PAIRS, theta=5e5, parallel=True,
        more=(*COHERE, Has("use_qk_norm", "attention.qk_norm", False, on=per_head), Key("logit_scale", "head.scale", 0.0625),),
    ),
    "cohere2": LikeLlama(
        "Cohere2", (256_000, 8_192, 22_528, 40, 8_192), (64, None, None), tied=True, norm=LAYER | {"bias": False},
        eps=("layer_norm_eps", 1e-5), rope=PAIRS, parallel=True, window=every(4), sliding=4_096, unseen=True,
        ignored="order_of_interleaved_layers position_embedding_type rotary_pct use_embedding_sharing use_gated_activation "
        "use_parallel_block use_parallel_embedding",
        more=(*COHERE, Only("use_qk_norm", False), Key("logit_scale", "head.scale", 0.0625), NO_POSITION_OUTSIDE,),
    ),
    "cohere_compass_text": LikeLlama(
        "CohereCompass", (256_000, 8_192, 22_528, 40, 8_192), (64, None, None), tied=True, norm=LAYER | {"bias": False},
        eps=("layer_norm_eps", 1e-5), parallel=True, local_base=1e4, typed=True, window=all_full, sliding=4_096,
        ignored="sliding_window_pattern pooling",
        more=(*COHERE, Only("use_qk_norm", False), Key("logit_scale", "head.scale", 1.0),),
    ),
    "cosmos3_edge_text": LikeLlama(
        "Cosmos3EdgeText", (131_072, 2_048, 9_216, 28, 131_072), (16, 8, 128), eps=("rms_norm_eps", 1e-5), theta=1e8,
        mlp_bias=("mlp_bias", False), activation=("hidden_act", "relu2"), gated=False, tensors={"up_proj": "fc1", "down_proj": "fc2"},
    ),
    "cwm": LikeLlama(
        "Cwm", (128_256, 6_144, 21_504, 64, 131_072), (48, 8, 128), eps=("rms_norm_eps", 1e-5), bias=False, theta=1e6,
        mlp_bias=("mlp_bias", False), window=first_of(4), sliding=8_192,
        scaled={"rope_type": "llama3", "rope_theta": 1e6, "factor": 16.0, "original_max_position_embeddings": 8_192,
                "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    ),
    "diffllama": LikeLlama(
        "DiffLlama", (32_000, 2_048, 8_192, 16, 2_048), (32, None, None), eps=("rms_norm_eps", 1e-5),
        attention={"kind": "differential_attention"}, mixer=tensors.differential_sources,
        ignored="lambda_std_dev gradient_accumulation_steps patch_size",
        more=(Rule(bare_norm),),
    ),
    "ernie4_5": LikeLlama(
        "Ernie4_5", (103_424, 1_024, 3_072, 18, 131_072), (16, 2, 128), tied=True, eps=("rms_norm_eps", 1e-5),
        bias=("use_bias", False), mlp_bias=("use_bias", False), rope=PAIRS, theta=5e5,
    ),
    "exaone4": LikeLlama(
        "Exaone4", (102_400, 4_096, 16_384, 32, 2_048), (32, 32, None), eps=("rms_norm_eps", 1e-5), bias=False,
        attention={"qk_norm": {}}, residual={"norm": "output"}, window=every(4), sliding=4_096, unseen=True,
        ahead="num_nextn_predict_layers", named_ahead=mtp.APART, ignored="mtp_share_layers",
    ),
    "gemma": LikeLlama(
        "Gemma", (256_000, 3_072, 24_576, 28, 8_192), (16, 16, 256), tied=True, norm={"kind": "rms", "unit_offset": True},
        activation=("hidden_act", "gelu_pytorch_tanh"), ignored="hidden_activation",
        more=(*keys.only(use_bidirectional_attention=False), Always("embedding", scale="sqrt_d_model"),),
    ),
    "glm": LikeLlama("Glm", **GLM),
    "glm4": LikeLlama(
        "Glm4", **GLM, residual={"norm": "sandwich"},
        tensors={"post_attention_layernorm": "post_self_attn_layernorm", "pre_feedforward_layernorm": "post_attention_layernorm",
                 "post_feedforward_layernorm": "post_mlp_layernorm"},
    ),
    "granite": LikeLlama("Granite", **GRANITE, more=MULTIPLIERS),
    "granite_swa": LikeLlama(
        "GraniteSWA", (100_352, 2_560, 8_192, 24, 8_192), (20, 4, None), tied=True, eps=("rms_norm_eps", 1e-5),
        mlp_bias=("mlp_bias", False), attention={"scores": {"sinks": True}}, window=first_of(4), sliding=128,
        layered=True,
        more=(*MULTIPLIERS,),
    ),
    "hyperclovax": LikeLlama(
        "HyperCLOVAX", **GRANITE,
        tensors={"post_attention_layernorm": "post_norm1", "pre_feedforward_layernorm": "post_attention_layernorm",
                 "post_feedforward_layernorm": "post_norm2"},
        more=(Key("attention_multiplier", "attention.scores.scale", None, float), *RESIDUAL_STREAM,
              Key("logits_scaling", "head.scale", 1.0, positive=True), Key("use_post_norm", "residual.norm", True, form=keys.SANDWICH)),
    ),
    "helium": LikeLlama(
        "Helium", (48_000, 2_560, 7_040, 24, 4_096), (20, 20, 128), eps=("rms_norm_eps", 1e-8), rope=PAIRS, theta=1e5, out_bias=False,
        mlp_bias=("mlp_bias", False),
        more=(WHOLE_STREAM,),
    ),
    "hunyuan_v1_dense": LikeLlama(
        "HunYuanDenseV1", (290_943, 4_096, 11_008, 32, 2_048), (32, None, None), eps=("rms_norm_eps", 1e-5), alpha=True,
        attention={"qk_norm": {"after_position": True}}, tensors={"q_norm": "query_layernorm", "k_norm": "key_layernorm"},
        ignored="im_start_id im_end_id text_start_id text_end_id",
        more=(*keys.only(use_qk_norm=True, num_experts=1), *HUNYUAN,),
    ),
    "internlm3": LikeLlama(
        "InternLM3", (128_512, 4_096, 10_240, 48, 32_768), (32, 2, 128), eps=("rms_norm_eps", 1e-5), mlp_bias=("mlp_bias", False),
    ),
    "iquestcoder": LikeLlama(
        "IQuestCoder", (76_800, 5_120, 27_648, 80, 131_072), (40, 8, 128), eps=("rms_norm_eps", 1e-5), mlp_bias=("mlp_bias", False),
        more=(*keys.only(clip_qkv=None, use_sliding_window=False),),
    ),
    "jais2": LikeLlama(
        "Jais2", (150_272, 3_328, 26_624, 32, 8_192), (26, None, None), norm=LAYER, eps=("layer_norm_eps", 1e-5),
        bias=("attention_bias", True), mlp_bias=("mlp_bias", True), activation=("hidden_act", "relu2"), gated=False,
    ),
    "ministral": LikeLlama("Ministral", (32_000, 4_096, 14_336, 32, 131_072), (32, 8, None), bias=False, window=all_alike, sliding=4_096),
    "nanochat": LikeLlama(
        "NanoChat", (50_304, 768, 8_192, 12, 2_048), (6, None, None), norm={"kind": "rms", "weight": False}, rope={"reverse": True},
        attention={"qk_norm": {"after_position": True}}, activation=("hidden_act", "relu2"), gated=False,
        tensors={"up_proj": "fc1", "down_proj": "fc2"},
        more=(Always("embedding", norm=True), Key("final_logit_softcapping", "head.softcap", 15.0, null=None),),
    ),
    "nemotron": LikeLlama(
        "Nemotron", (256_000, 6_144, 24_576, 32, 4_096), (48, None, None), norm=LAYER | {"unit_offset": True}, eps=("norm_eps", 1e-5),
        mlp_bias=("mlp_bias", False), activation=("hidden_act", "relu2"), gated=False, fraction=0.5,
        more=(Rule(norm_eps_alone),
              Rule(lambda config, said: config.expect("rope_percent", config.raw.get("partial_rotary_factor", 0.5))),),
    ),
    "olmo": LikeLlama(
        "Olmo", (50_304, 4_096, 11_008, 32, 2_048), (32, None, None), norm=LAYER | {"weight": False, "bias": False},
        eps=("layer_norm_eps", 1e-5),
        more=(*keys.only(layer_norm_eps=1e-5), CLIP,),
    ),
    "olmo3": LikeLlama(
        "Olmo3", (50_304, 4_096, 11_008, 32, 2_048), (32, None, None), eps=("rms_norm_eps", 1e-5), theta=5e5, local_base=5e5,
        attention={"qk_norm": {"across": "heads"}}, residual={"norm": "output"}, window=every(4), sliding=4_096,
        more=(Rule(typed_rope),),
    ),
    "phi3": LikeLlama(
        "Phi3", (32_064, 3_072, 8_192, 32, 4_096), (32, None, None), eps=("rms_norm_eps", 1e-5), bias=False, fraction=1.0, window=uniform,
        more=(*keys.only(full_attn_mod=1, interpolate_factor=1),),
    ),
    "qwen2": LikeLlama(
        "Qwen2", (151_936, 4_096, 22_016, 32, 32_768), (32, 32, None), bias=True, out_bias=False, window=upper(28), sliding=4_096,
        switch="use_sliding_window", ignored="max_window_layers use_mrope",
    ),
    "seed_oss": LikeLlama(
        "SeedOss", (155_136, 4_096, 27_648, 64, 524_288), (80, 8, 128), bias=("attention_bias", True),
        out_bias=("attention_out_bias", False), mlp_bias=("mlp_bias", False), ignored="residual_dropout",
    ),
    "stablelm": LikeLlama(
        "StableLm", (50_304, 2_560, 6_912, 32, 4_096), (32, 32, None), norm=LAYER, eps=("layer_norm_eps", 1e-5),
        bias=("use_qkv_bias", False), out_bias=False, fraction=0.25, parallel=("use_parallel_residual", False),
        more=(*keys.only(rotary_scaling_factor=1.0), Again("norm_eps", "norm.eps"), Again("num_heads", "attention.heads"),
              Rule(lambda config, said: config.expect("rope_pct", config.raw.get("partial_rotary_factor", 0.25))), WHOLE_STREAM,
              Has("qk_layernorm", "attention.qk_norm", False, on=per_head),),
    ),
    "starcoder2": LikeLlama(
        "Starcoder2", (49_152, 3_072, 12_288, 30, 4_096), (24, 2, None), tied=True, norm=LAYER, eps=("norm_epsilon", 1e-5),
        bias=("use_bias", True), mlp_bias=("use_bias", True), activation=("hidden_act", "gelu_pytorch_tanh"), gated=False,
        window=uniform, tensors={"up_proj": "c_fc", "down_proj": "c_proj"},
        ignored="residual_dropout rms_norm_eps activation_function layer_norm_epsilon "
        "scale_attn_weights",
        more=(*keys.only(mlp_type="default", norm_type="layer_norm"),),
    ),
}  # fmt: skip


def read(row: LikeLlama, config: Config, model_type: str) -> dict:
    said, mixers, order = frame(config, model_type, row)
    keys.read(config, row.network, said)
    beside = parallel(config, row)
    blocks = [[[name, "dense"]] if beside else [name, "dense"] for name in order]
    ahead = config.count(row.ahead, 0, least=0, most=1) if row.ahead else 0
    config.expect("_num_mtp_layers", ahead)
    return pieces.model(config, said | mixers, blocks, **mtp.modules(ahead, blocks[0]))


def parallel(config: Config, row: LikeLlama) -> bool:
    return config.take(*row.parallel[:1], bool, row.parallel[1]) if isinstance(row.parallel, tuple) else row.parallel


def frame(config: Config, model_type: str, row: LikeLlama) -> tuple[dict, dict, list[str]]:
    """All but the feed-forward side: what the keys say, the kinds of attention, and which of them each layer has."""
    said = keys.read(config, row.keys)
    part, depth, near = said.pop("attention"), said["depth"], said.pop("near", None)
    if not row.window:
        return said, {"attention": part}, ["attention"] * depth
    window = None
    if not row.switch or config.take(row.switch, bool, False):
        window = config.count("sliding_window", row.sliding, null=None)
    config.ignore("sliding_window")  # where it is switched off
    types = pieces.layer_types(config, depth, row.window(config, depth, window), "sliding_attention", "full_attention")
    config.ignore("sliding_window_pattern")
    if row.typed:
        _say_how_they_turn(config, types)
    if row.layered:
        windows = [window if "sliding" in word else None for word in types]
        return said, *_layered(config, part, said["position"], windows)
    if window is None and row.needed and "sliding_attention" in types:
        raise config.refuse("sliding_window", "layers of sliding_attention need one")
    if window is None and not (row.needed and row.unseen):
        return said, {"attention": part}, ["attention"] * depth
    if "full_attention" not in types:
        near, said["position"] = None, near or said["position"]
    own = {"position": near} if near not in (None, said["position"]) else {}
    mixers, order = pieces.windowed(types, part, window, own)
    if row.unseen:
        nowhere = {"position": {"kind": "none"}}
        mixers = {name: mixer if mixer.get("sight") else mixer | nowhere for name, mixer in mixers.items()}
    return said, mixers, order


def _say_how_they_turn(config: Config, types: list[str]) -> None:
    """Kinds of layers whose rope nobody knows."""
    for kind in sorted(set(types) - set(config.raw.get("rope_parameters") or ())):
        raise config.refuse("rope_parameters", f"say how {kind} turns, or null where it does not")


def _layered(config: Config, part: dict, position: dict, windows: list[int | None]) -> tuple[dict[str, dict], list[str]]:
    """The kinds of attention of layers that each have a window or none, and a base of its own or no position (0)."""
    bases = config.listing("layer_rope_theta", (int, float)) or [position["base"]] * len(windows)
    if len(bases) < len(windows):
        raise config.refuse("layer_rope_theta", f"it has {len(bases)} entries for {len(windows)} layers")
    kinds = list(zip(windows, bases, strict=False))
    names: dict[tuple, str] = {}
    mixers = {}
    for kind in kinds:
        if kind not in names:
            window, base = kind
            word = "local" if window else "global"
            count = sum(name.startswith(word) for name in mixers)
            names[kind] = word + (f"_{chr(ord('a') + count)}" if count else "")
            own = {"kind": "none"} if not base else position | {"base": float(base)}
            mixers[names[kind]] = part | pieces.sight(window) | ({} if own == position else {"position": own})
    if len(mixers) == 1:
        return {"attention": mixers.popitem()[1]}, ["attention"] * len(windows)
    return mixers, [names[kind] for kind in kinds]


def write(row: LikeLlama, model_type: str, arch: Architecture) -> dict:
    written = write_frame(arch, model_type, row, {"dense": FeedForward}) | keys.write(arch, row.network)
    return written | ({row.ahead: arch.mtp.count} if row.ahead and arch.mtp else {})


def write_frame(arch: Architecture, model_type: str, row: LikeLlama, beside: Mapping[str, pieces.Kind], **parts: Any) -> dict:
    """All but the feed-forward side; `beside` is what layers are made of beside the attention of this row."""
    mixer = PARTS[row.attention.get("kind", "attention")]
    names = ("local*", "global*") if row.layered else ("local", "global") if row.window else ()
    kinds = dict.fromkeys(names, mixer | None) | {"attention": mixer | None if names else mixer} | beside
    layer = (Mixer, Activated)
    if row.parallel:
        layer = pieces.abreast(arch) if isinstance(row.parallel, tuple) else ((Mixer, Activated),)
    pieces.made_of(arch, kinds, Rope | NoPosition if row.local_base else Rope, layer)
    part = next(part for part in pieces.mixers(arch) if isinstance(part, mixer))
    written = pieces.write_model(arch, row.name, model_type, row.keys, attention=part, **parts)
    if isinstance(row.parallel, tuple):
        written[row.parallel[0]] = len(arch.sequence[0]) == 1
    if row.layered:
        written["layer_rope_theta"] = [getattr(arch.part(b[0].parts[0]).position, "base", 0) for b in arch.sequence]
    if row.window:
        window = pieces.window(arch)
        if row.unseen and part.position and part.position.kind == "none":
            window = window or row.sliding  # no layer has it, but it takes the positions away
        written |= {"sliding_window": window, "layer_types": pieces.write_layer_types(arch)}
    return written | ({row.switch: pieces.window(arch) is not None} if row.switch else {})


def sources(row: LikeLlama, arch: Architecture) -> Sources:
    names = row.tensors
    if arch.residual.norm != "sandwich" and "pre_feedforward_layernorm" in names:  # HyperCLOVA X without its second norms
        names = {ours: theirs for ours, theirs in names.items() if not ours.endswith("layernorm")}
    return tensors.renamed(tensors.llama_sources(arch, mixer=row.mixer), **names)


@dataclass(frozen=True)
class Family:
    """A row as a family of its own."""

    model_type: str
    read: Callable[[Config, str], dict]
    write: Callable[[Architecture], dict]
    sources: Callable[[Architecture], Sources]
    ignored: Callable[[str], bool] = tensors.ignored
    AHEAD: mtp.Names = mtp.LAYERS
    KEYS: Keys = ()

    @property
    def TYPES(self) -> tuple[str]:
        return (self.model_type,)


FAMILIES = [
    Family(
        name, partial(read, row), partial(write, row, name), partial(sources, row), AHEAD=row.named_ahead,
        KEYS=row.keys + row.network,
    )
    for name, row in MODELS.items()
]  # fmt: skip
