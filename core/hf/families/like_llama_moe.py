"""The many models with experts that differ from one another in their sizes and a few switches: one row of MODELS each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

from ...parts.attention import Attention
from ...parts.experts import Experts, Shared
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Entry, Key, Keys, Only, Unread, Writing
from ..weights import mtp, tensors
from ..weights.checkpoint import Source, Sources
from . import like_llama
from .like_llama import Family, LikeLlama

Count = tuple[str, int]  # a key and its default


def typed(first: int) -> Callable[[Config, int], list[bool]]:
    """As mlp_layer_types says; usually all but the first."""

    return lambda config, depth: pieces.sparse_layers(config, depth, config.count("first_k_dense_replace", first, least=0))


def exaone_sparse(config: Config, depth: int) -> list[bool]:
    """As mlp_layer_types says, or LG's own is_moe_layer; usually all but the first."""
    said, given = typed(1)(config, depth), config.take("is_moe_layer", (list, tuple), None)
    if given is None or config.has("mlp_layer_types"):
        return said
    if len(given) != depth or not all(isinstance(routed, bool) for routed in given):
        raise config.refuse("is_moe_layer", f"give true or false for each of the {depth} layers")
    return list(given)


def stepped(config: Config, depth: int, usual: tuple[int, ...] = ()) -> list[bool]:
    """Every decoder_sparse_step-th layer but those that mlp_only_layers names."""
    alone, step = set(config.listing("mlp_only_layers", int, usual)), config.count("decoder_sparse_step", 1)
    return [layer not in alone and (layer + 1) % step == 0 for layer in range(depth)]


def spaced(config: Config, depth: int) -> list[bool]:
    """Every moe_layer_interval-th layer from moe_layer_start_index to moe_layer_end_index."""
    step, first = config.count("moe_layer_interval", 1), config.count("moe_layer_start_index", 1, least=0)
    last = config.take("moe_layer_end_index", int, -1)
    return [(n + 1) % step == 0 and first <= n <= (depth - 1 if last == -1 else last) for n in range(depth)]


def prefixed(config: Config, depth: int, window: int | None) -> list[str]:
    """Command A+: the kind of each layer; in the first dense layers and in the rest, every n-th layer has no window."""
    first = min(config.count("first_k_dense_replace", 0, least=0), depth)
    runs = ((first, config.count("prefix_dense_sliding_window_pattern", 1)), (depth - first, config.count("sliding_window_pattern", 4)))
    return ["sliding_attention" if (n + 1) % every else "full_attention" for length, every in runs for n in range(length)]


def after_two(config: Config, depth: int) -> list[bool]:
    return stepped(config, depth, (0, 1))


def each_fifth(config: Config, depth: int, window: int | None) -> list[str]:
    """All in a window but each fifth layer."""
    return ["sliding_attention" if (n + 1) % 5 else "full_attention" for n in range(depth)]


def lower_of_two(config: Config, depth: int, window: int | None) -> list[str]:
    """Every other layer in a window, below max_window_layers."""
    last = config.count("max_window_layers", 28, least=0)
    return ["sliding_attention" if window and n % 2 == 0 and n < last else "full_attention" for n in range(depth)]


def flint_types(config: Config, depth: int, window: int | None) -> list[str]:
    """All in a window but the first, the last and each fourth layer."""
    full = {0, 1, depth - 1, *range(1, depth, 4)}
    return ["full_attention" if n in full else "sliding_attention" for n in range(depth)]


@dataclass(frozen=True)
class LikeLlamaMoe(LikeLlama):
    """What a row says of its experts, beside what LikeLlama says of the rest."""

    before: Callable[[Config], None] | None = None  # what is looked at before the keys are read
    after: Callable[[Config, dict, list[str], list[bool]], None] | None = (
        None  # of all that was read, each layer's attention, and experts or not
    )
    written: Callable[[Architecture, Experts, dict], Mapping[str, Any]] | None = None  # the keys for what `after` reads
    fixed: Mapping[str, Any] = field(default_factory=dict)  # keys of published files that say only what the family does anyway
    count: Count = ("num_experts", 64)
    top_k: Count = ("num_experts_per_tok", 8)
    d_ff: Count = ("moe_intermediate_size", 1_408)
    router: Mapping[str, Any] = field(default_factory=lambda: {"score": "softmax"})  # what it always says
    normalise: tuple[str, bool] | bool = ("norm_topk_prob", False)
    scale: tuple[str, float] | None = None
    groups: bool = False  # n_group and topk_group
    shared: Count | None = None  # a number of shared experts, or the width of one where the key is an intermediate_size
    always: bool = False  # for a number of 0 the shared expert is as wide as a dense layer's
    gate: bool = False  # on the shared expert
    sparse: Callable[[Config, int], list[bool]] = lambda config, depth: [True] * depth  # which layers have experts
    first: Count | None = None  # how many layers are dense before them, where a key says only that
    foretold: tuple[int, str] = (-1, "moe")  # the layer whose attention they have, and what follows it
    at: str = "mlp"  # where a layer keeps them, and below it the router and the selection bias
    routed_by: str = "gate"
    bias_at: str | None = None
    shared_at: str = "mlp.shared_experts"
    shared_tensors: Mapping[str, str] = field(default_factory=dict)
    turned: bool = False  # stacked experts are (experts, in, out)
    others: Mapping[str, Any] = field(default_factory=dict)  # further mixers that another module reads and writes
    also: Mapping[str, str] = field(default_factory=dict)  # pieces of names that published files have in the place of the class's

    @cached_property
    def experts(self) -> Keys:
        """Of the layers' experts."""
        same = "num_experts num_local_experts n_routed_experts".split()  # one number under several names
        return (
            Always("moe", kind="experts"),
            Always("moe.router", **self.router),
            Key(self.d_ff[0], "moe.d_ff", self.d_ff[1]),
            *keys.switch("moe.router.normalise", self.normalise),
            *((Key(self.scale[0], "moe.router.scale", self.scale[1]),) if self.scale else ()),
            *((keys.Groups(1, 1, alone=True),) if self.groups else ()),
            Key(self.count[0], "moe.count", self.count[1], also=" ".join(name for name in same if name != self.count[0])),
            Key(self.top_k[0], "moe.top_k", self.top_k[1]),
            Key(self.activation[0], "moe.activation", self.activation[1], form=keys.GATED_ACTIVATION),
            *((SharedExperts(self),) if self.shared else ()),
            *keys.only(**self.fixed),
        )


@dataclass(frozen=True)
class SharedExperts(Entry):
    """Shared experts by their number, each as wide as a routed one, or by the width of one."""

    row: LikeLlamaMoe

    def read(self, config: Config, said: dict) -> None:
        row, (key, usual) = self.row, self.row.shared
        many = config.count(key, usual, least=int(row.gate))  # a gate would stand alone
        width, count = (many, 1) if self._wide else (many * said["moe"]["d_ff"], many)
        if not many and row.always:
            width, count = config.count("intermediate_size", row.sizes[2]), 1
        if width:
            said["moe"]["shared"] = {"d_ff": width, "count": count, "gate": row.gate}
            keys.read(config, keys.switch("moe.shared.bias", row.mlp_bias), said)

    def write(self, of: Writing) -> dict:
        row, shared = self.row, of.get("moe.shared")
        written = {row.shared[0]: 0 if shared is None else shared.d_ff if self._wide else shared.count}
        if isinstance(row.mlp_bias, tuple) and shared:
            written[row.mlp_bias[0]] = shared.bias
        if row.always and shared and shared.d_ff != shared.count * of.get("moe.d_ff"):
            written |= {row.shared[0]: 0, "intermediate_size": shared.d_ff}
        return written

    def rows(self) -> Iterator[tuple[str, str, str]]:
        yield self.row.shared[0], "moe.shared.d_ff" if self._wide else "moe.shared.count", str(self.row.shared[1])

    @property
    def _wide(self) -> bool:
        return self.row.shared[0].endswith("intermediate_size")


BALANCED = {"score": "sigmoid", "selection_bias": True}
COUNTED = BALANCED | {"counted": True}
COUNTED_SOFTMAX = COUNTED | {"score": "softmax"}
GRANITE = dict(
    sizes=(32_000, 4_096, 11_008, 32, 2_048), heads=(32, None, None), more=like_llama.MULTIPLIERS,
    count=("num_local_experts", 8),
    top_k=("num_experts_per_tok", 2), d_ff=("intermediate_size", 11_008), router={"score": "softmax", "over": "chosen"}, normalise=False,
    at="block_sparse_moe", routed_by="router",
)  # fmt: skip
GRANITE_SHARED = dict(
    shared=("shared_intermediate_size", 0), shared_at="shared_mlp",
    shared_tensors={"gate_up_proj": "input_linear", "down_proj": "output_linear"},
)  # fmt: skip


def hunyuan(config: Config) -> None:
    config.expect("use_mixed_mlp_moe", True)
    config.expect("num_shared_expert", 1, [1] * config.depth("num_hidden_layers", 32))
    config.ignore("use_qk_norm", "moe_intermediate_size", "moe_drop_tokens", "moe_random_routing_dropped_token")
    config.expect("moe_layer_num_skipped", 0)
    config.expect("norm_topk_prob", True)
    for key in ("moe_topk", "num_experts"):  # a number for all layers, or one for each
        said = config.raw.get(key)
        if isinstance(said, list) and said and said == said[:1] * config.depth("num_hidden_layers", 32):
            config.raw = {**config.raw, key: said[0]}


def aria(config: Config, said: dict, order: list[str], sparse: list[bool]) -> None:
    config.expect("hidden_act", "silu", "swish")  # the shared experts' alone: the routed have it always
    config.expect("moe_intermediate_size", said["moe"]["d_ff"])
    config.expect("num_experts_per_tok", said["moe"]["top_k"])


def minimax(config: Config, said: dict, order: list[str], sparse: list[bool]) -> None:
    config.expect("attn_type_list", [1] * len(order))
    head_dim, position = said[order[0]]["head_dim"], said["position"]
    turned = config.count("rotary_dim", None, most=head_dim)
    if turned and not config.has("partial_rotary_factor") and "fraction" not in position:
        position["fraction"] = turned / head_dim


def command(config: Config, said: dict, order: list[str], sparse: list[bool]) -> None:
    """Command A+: other widths and positions of the dense layers, the router's function, how shared experts join."""
    config.expect("use_parallel_block", True)
    config.expect("rope_scaling", None)  # transformers keeps it and never looks at it
    if config.has("rms_norm_eps"):
        said["norm"] = {"kind": "rms", "eps": config.take("rms_norm_eps", float)}
    wide = config.count("prefix_dense_intermediate_size", None)
    if "dense" in said and wide:
        said["dense"]["d_ff"] = wide
    if config.count("prefix_dense_sliding_window_pattern", 1) == 1:  # dense layers outside a window turn nevertheless
        for layer, name in enumerate(order):
            if not sparse[layer] and not said[name].get("sight"):
                said["leading"] = {key: value for key, value in said[name].items() if key != "position"}
                order[layer] = "leading"
    moe, normalise = said["moe"], config.take("norm_topk_prob", bool, True)
    score = config.take("expert_selection_fn", str, "softmax")
    config.expect("expert_selection_fn", "softmax", "sigmoid")
    moe["router"] = {"score": score} | ({"over": "chosen"} if score == "softmax" else {"normalise": normalise})
    config.expect("shared_expert_combination_strategy", "average", "sum")
    average = config.take("shared_expert_combination_strategy", str, "average") == "average"
    if "shared" in moe:
        moe["shared"]["average"] = average


def write_command(arch: Architecture, moe: Experts, written: dict) -> dict:
    dense, average = arch.parts.get("dense"), moe.shared is None or moe.shared.average
    if arch.norm.kind == "rms":
        written["rms_norm_eps"] = written.pop("layer_norm_eps")
    return {
        "expert_selection_fn": moe.router.score, "norm_topk_prob": moe.router.normalise,
        "shared_expert_combination_strategy": "average" if average else "sum", "intermediate_size": moe.d_ff,
        "prefix_dense_intermediate_size": dense and dense.d_ff,
        "prefix_dense_sliding_window_pattern": 1 if "leading" in arch.parts else arch.depth + 1,
    }  # fmt: skip


def ernie(config: Config, said: dict, order: list[str], sparse: list[bool]) -> None:
    if config.take("moe_norm_min", float, 1e-12) > 1e-6:
        raise config.refuse("moe_norm_min", "weights are divided by their sum, however small; give at most 1e-6")
    config.expect("num_experts_per_tok", said["moe"]["top_k"])


MODELS = {
    "afmoe": LikeLlamaMoe(
        "Afmoe", (200_192, 2_048, 6_144, 32, 16_384), (16, None, 128), eps=("rms_norm_eps", 1e-5), residual={"norm": "sandwich"},
        attention={"qk_norm": {}, "gate": {"bias": False}}, window=like_llama.all_but("global_attn_every_n_layers", 4), sliding=1_024,
        unseen=True,
        count=("num_experts", 64), top_k=("num_experts_per_tok", 6), router=COUNTED, normalise=True, scale=("route_scale", 1.0),
        shared=("num_shared_experts", 2), first=("num_dense_layers", 1), routed_by="router.gate", bias_at="expert_bias",
        tensors={"pre_feedforward_layernorm": "pre_mlp_layernorm", "post_feedforward_layernorm": "post_mlp_layernorm"},
        ignored="global_attn_every_n_layers use_grouped_mm load_balance_coeff",
        fixed=dict(n_group=1, topk_group=1, num_expert_groups=1, num_limited_groups=1, route_norm=True, score_func="sigmoid"),
        needed=True, more=(Key("mup_enabled", "embedding.scale", False, form=keys.SQRT_D_MODEL),),
    ),
    "aria_text": LikeLlamaMoe(
        "AriaText", (32_000, 4_096, 4_096, 32, 2_048), (32, None, None), mlp_bias=("mlp_bias", False), count=("moe_num_experts", 8),
        top_k=("moe_topk", 2), d_ff=("intermediate_size", 4_096), router={"score": "softmax", "over": "chosen"}, normalise=False,
        shared=("moe_num_shared_experts", 2), routed_by="router", turned=True,
        also={"experts.gate_up_proj": "experts.fc1.weight", "experts.down_proj": "experts.fc2.weight"},
        ignored="moe_z_loss_coeff moe_aux_loss_coeff",
        after=aria,
    ),
    "cohere2_moe": LikeLlamaMoe(
        "Cohere2Moe", (256_000, 8_192, 22_528, 40, 8_192), (64, None, 128), tied=True, norm={"kind": "layer", "bias": False},
        eps=("layer_norm_eps", 1e-5), rope=like_llama.PAIRS, parallel=True, window=prefixed, sliding=4_096, unseen=True,
        count=("num_experts", 8),
        top_k=("num_experts_per_tok", 2), d_ff=("intermediate_size", 22_528), shared=("num_shared_experts", 0), sparse=typed(0),
        others={"leading": Attention | None},
        ignored="order_of_interleaved_layers position_embedding_type rotary_pct use_embedding_sharing use_gated_activation "
        "use_parallel_embedding layer_switch",
        more=(*like_llama.COHERE, Only("use_qk_norm", False), Key("logit_scale", "head.scale", 0.0625), like_llama.NO_POSITION_OUTSIDE),
        after=command, written=write_command,
    ),
    "dots1": LikeLlamaMoe(
        "Dots1", (152_064, 4_608, 10_944, 62, 2_048), (32, 32, None), attention={"qk_norm": {}}, window=like_llama.upper(62), sliding=4_096,
        count=("n_routed_experts", ...), top_k=("num_experts_per_tok", ...), router=BALANCED, scale=("routed_scaling_factor", 1.0),
        groups=True, shared=("n_shared_experts", ...), first=("first_k_dense_replace", 0),
        ignored="topk_method scoring_func ep_size moe_layer_freq",
    ),
    "ernie4_5_moe": LikeLlamaMoe(
        "Ernie4_5_Moe", (103_424, 2_560, 12_288, 28, 131_072), (20, 4, None), tied=True, eps=("rms_norm_eps", 1e-5),
        bias=("use_bias", False), mlp_bias=("use_bias", False), rope=like_llama.PAIRS, theta=5e5,
        count=("moe_num_experts", 64), top_k=("moe_k", 6), d_ff=("moe_intermediate_size", 1_536), router=COUNTED_SOFTMAX, normalise=True,
        shared=("moe_num_shared_experts", 2), sparse=spaced,
        bias_at="gate.moe_statics.e_score_correction_bias moe_statics.e_score_correction_bias",
        ahead="num_nextn_predict_layers", foretold=(-1, "dense"),
        named_ahead=mtp.Names(
            "mtp_block.{module}", "mtp_emb_norm.{module}", "mtp_hidden_norm.{module}", ("mtp_linear_proj.{module}",), "", {}
        ),
        ignored="moe_capacity moe_gate moe_use_aux_free",
        more=(Key("use_bias", "head.bias", False),), after=ernie, written=lambda arch, moe, written: {"use_bias": arch.head.bias},
    ),
    "exaone_moe": LikeLlamaMoe(
        "ExaoneMoe", (102_400, 4_096, 16_384, 32, 2_048), (32, 32, None), eps=("rms_norm_eps", 1e-5), bias=False,
        attention={"qk_norm": {}}, window=like_llama.every(4), sliding=4_096, unseen=True, d_ff=("moe_intermediate_size", 1_024),
        router=BALANCED,
        normalise=("norm_topk_prob", True), scale=("routed_scaling_factor", 2.5), groups=True, shared=("num_shared_experts", 1),
        sparse=exaone_sparse, ahead="num_nextn_predict_layers", foretold=(0, "dense"), named_ahead=mtp.APART,
        ignored="first_last_k_dense_replace",
        fixed=dict(scoring_func="sigmoid", topk_method="noaux_tc"),
    ),
    "flex_olmo": LikeLlamaMoe(
        "FlexOlmo", (100_352, 4_096, 11_008, 32, 4_096), (32, None, None), theta=5e5, attention={"qk_norm": {"across": "heads"}},
        residual={"norm": "output"}, count=("num_experts", 7), top_k=("num_experts_per_tok", 5), d_ff=("intermediate_size", 11_008),
    ),
    "flint": LikeLlamaMoe(
        "Flint", (150_144, 2_048, 6_144, 49, 262_144), (32, 4, 128), attention={"qk_norm": {}, "scores": {"sinks": True}},
        window=flint_types,
        sliding=513, unseen=True, count=("num_experts", 256), top_k=("num_experts_per_tok", 6), d_ff=("moe_intermediate_size", 512),
        router={"score": "sigmoid"}, normalise=("norm_topk_prob", True), shared=("shared_expert_intermediate_size", 1_024),
        sparse=after_two, shared_at="mlp.shared_expert",
    ),
    "granitemoe": LikeLlamaMoe("GraniteMoe", **GRANITE),
    "granitemoe_swa": LikeLlamaMoe(
        "GraniteMoeSWA", **GRANITE, **GRANITE_SHARED, attention={"scores": {"sinks": True}}, window=like_llama.first_of(4),
        sliding=128, layered=True,
    ),
    "granitemoeshared": LikeLlamaMoe("GraniteMoeShared", **GRANITE, **GRANITE_SHARED),
    "hunyuan_v1_moe": LikeLlamaMoe(
        "HunYuanMoEV1", (290_943, 4_096, 11_008, 32, 2_048), (32, None, None), eps=("rms_norm_eps", 1e-5), alpha=True,
        attention={"qk_norm": {"after_position": True}}, tensors={"q_norm": "query_layernorm", "k_norm": "key_layernorm"},
        count=("num_experts", 1), top_k=("moe_topk", 1), d_ff=("intermediate_size", 11_008), normalise=True,
        shared=("intermediate_size", 11_008), routed_by="gate.wg", shared_at="mlp.shared_mlp",
        ignored="im_start_id im_end_id text_start_id text_end_id",
        more=like_llama.HUNYUAN, before=hunyuan,
    ),
    "hy_v3": LikeLlamaMoe(
        "HYV3", (120_832, 4_096, 13_312, 80, 131_072), (64, 8, 128), eps=("rms_norm_eps", 1e-5), theta=11_158_840.0,
        attention={"qk_norm": {}}, count=("num_experts", 192), d_ff=("moe_intermediate_size", 1_536), router=BALANCED, normalise=True,
        scale=("router_scaling_factor", 2.826), shared=("num_shared_experts", 1), always=True, sparse=typed(1),
        mlp_bias=("mlp_bias", False), bias_at="e_score_correction_bias", ahead="num_nextn_predict_layers",
        named_ahead=mtp.Names(norm="layers.{layer}.final_layernorm", copies={}),
        ignored="enable_moe_fp32_combine enable_attention_fp32_softmax enable_lm_head_fp32 expert_hidden_dim use_grouped_mm",
        fixed=dict(qk_norm=True, moe_router_use_sigmoid=True, moe_router_enable_expert_bias=True, route_norm=True),
    ),
    "kolibri1": LikeLlamaMoe(
        "Kolibri1", (128_000, 2_560, 10_240, 50, 262_144), (48, 4, 128), bias=False, attention={"qk_norm": {}},
        residual={"norm": "sandwich"}, window=each_fifth, sliding=513, unseen=True, count=("num_experts", 384),
        top_k=("num_experts_per_tok", 6), d_ff=("moe_intermediate_size", 512), router=BALANCED | {"over": "chosen"},
        shared=("shared_expert_intermediate_size", 512), ignored="use_sliding_window head_dtype",
        tensors={"post_attention_layernorm": "post_self_attn_layernorm", "pre_feedforward_layernorm": "post_attention_layernorm",
                 "post_feedforward_layernorm": "post_mlp_layernorm"},
    ),
    "mellum": LikeLlamaMoe(
        "Mellum", (98_304, 2_304, 7_168, 28, 131_072), (32, 4, 128), theta=5e5, local_base=1e4, attention={"qk_norm": {}},
        window=like_llama.all_full, sliding=1_024, count=("num_experts", 64), d_ff=("moe_intermediate_size", 896),
        normalise=("norm_topk_prob", True), sparse=typed(0),
        ignored="num_mtp_layers mtp_layer_types mtp_mlp_layer_types num_nextn_predict_layers max_window_layers use_sliding_window",
        more=keys.only(rope_theta=5e5),
    ),
    "minimax_m2": LikeLlamaMoe(
        "MiniMaxM2", (200_064, 3_072, 1_536, 62, 196_608), (48, 8, 128), theta=5e6, fraction=1.0, bias=False,
        attention={"qk_norm": {"across": "heads"}}, count=("num_local_experts", 256), d_ff=("intermediate_size", 1_536), router=BALANCED,
        normalise=True, bias_at="e_score_correction_bias",
        ignored="num_mtp_modules mtp_transformer_layers use_mtp mlp_intermediate_size",  # the files hold no such modules
        fixed=dict(
            use_qk_norm=True, qk_norm_type="per_layer", scoring_func="sigmoid", use_routing_bias=True, shared_intermediate_size=0,
            layernorm_full_attention_beta=1.0, layernorm_linear_attention_beta=1.0, layernorm_mlp_beta=1.0, shared_moe_mode="sigmoid",
        ),
        after=minimax,
    ),
    "olmoe": LikeLlamaMoe(
        "Olmoe", (50_304, 2_048, 2_048, 16, 4_096), (16, None, None), eps=("rms_norm_eps", 1e-5),
        attention={"qk_norm": {"across": "heads"}}, d_ff=("intermediate_size", 2_048),
        more=(like_llama.WHOLE_STREAM, like_llama.CLIP),
    ),
    "phimoe": LikeLlamaMoe(
        "Phimoe", (32_064, 4_096, 6_400, 32, 131_072), (32, 8, None), norm={"kind": "layer"}, eps=("rms_norm_eps", 1e-5), theta=1e6,
        magnitudes=True, window=like_llama.all_alike, count=("num_local_experts", 16),
        top_k=("num_experts_per_tok", 2), d_ff=("intermediate_size", 6_400), normalise=False, routed_by="router",
        more=(Key("lm_head_bias", "head.bias", False), Only("num_experts_per_tok", 2), Unread("input_jitter_noise"),
              Key("router_jitter_noise", "moe.router.near", 0.01, form=keys.TWICE)), router={"over": "near"},
    ),
    "qwen2_moe": LikeLlamaMoe(
        "Qwen2Moe", (151_936, 2_048, 5_632, 24, 32_768), (16, 16, None), bias=("qkv_bias", True), out_bias=False,
        count=("num_experts", 60), top_k=("num_experts_per_tok", 4), shared=("shared_expert_intermediate_size", 5_632), gate=True,
        sparse=stepped, shared_at="mlp.shared_expert", window=lower_of_two, sliding=4_096, switch="use_sliding_window",
        ignored="max_window_layers",
        needed=True,
    ),
    "solar_open": LikeLlamaMoe(
        "SolarOpen", (196_608, 4_096, 10_240, 48, 131_072), (64, 8, 128), eps=("rms_norm_eps", 1e-5), theta=1e6,
        out_bias=False, count=("n_routed_experts", 128), d_ff=("moe_intermediate_size", 1_280), router=BALANCED,
        normalise=("norm_topk_prob", True), scale=("routed_scaling_factor", 1.0), groups=True, shared=("n_shared_experts", 1),
        ignored="intermediate_size first_k_dense_replace use_qk_norm",
    ),
}  # fmt: skip


def read(row: LikeLlamaMoe, config: Config, model_type: str) -> dict:
    if row.before:
        row.before(config)
    said, mixers, order = like_llama.frame(config, model_type, row)
    sparse = row.sparse(config, len(order))
    if row.first:
        first = config.count(*row.first, least=0)
        sparse = [layer >= first for layer in range(len(order))]
    said |= mixers
    if not all(sparse) or row.foretold[1] == "dense":
        keys.read(config, row.network, said)
    config.ignore("intermediate_size")
    keys.read(config, row.experts, said)
    if row.after:
        row.after(config, said, order, sparse)
    ahead = config.count(row.ahead, 0, least=0, most=16) if row.ahead else 0
    pairs = [(name, "moe" if routed else "dense") for name, routed in zip(order, sparse, strict=True)]
    blocks = [[pair] if row.parallel else pair for pair in pairs]
    layer, feed = row.foretold
    modules = mtp.modules(ahead, [order[layer], feed], **({} if row.named_ahead.norm else {"norm": False}))
    return pieces.model(config, said, blocks, **modules)


def write(row: LikeLlamaMoe, model_type: str, arch: Architecture) -> dict:
    always = row.sparse is LikeLlamaMoe.sparse and not row.first
    made = row.others | ({"moe": Experts} if always else pieces.FEEDS)
    dense = arch.parts.get("dense")
    # Where no layer has experts, some stand for what the keys must say of them.
    none = {"count": 8, "top_k": 1, "d_ff": 8, "shared": Shared(d_ff=8) if row.shared else None}
    moe = arch.parts.get("moe") or Experts.model_construct(activation=getattr(dense, "activation", None), **none)
    written = like_llama.write_frame(arch, model_type, row, made, moe=moe)
    written["intermediate_size"] = dense.d_ff if dense else 4 * arch.d_model
    written |= keys.write(arch, row.experts, moe=moe)
    sparse = [any("moe" in step.parts for step in block) for block in arch.sequence]
    if row.sparse in (stepped, after_two):
        written |= {"decoder_sparse_step": 1, "mlp_only_layers": [layer for layer, routed in enumerate(sparse) if not routed]}
    elif row.first:
        written[row.first[0]] = sparse.index(True) if any(sparse) else arch.depth
    elif row.sparse is spaced:
        routed = [layer for layer, here in enumerate(sparse) if here] or [arch.depth]
        steps = {after - before for before, after in pairwise(routed)} or {1}
        written |= {"moe_layer_start_index": routed[0], "moe_layer_end_index": routed[-1], "moe_layer_interval": min(steps)}
    elif row.sparse is not LikeLlamaMoe.sparse:
        written["mlp_layer_types"] = ["sparse" if routed else "dense" for routed in sparse]
    if row.ahead:
        written[row.ahead] = arch.mtp.count if arch.mtp else 0
    return written | (row.written(arch, moe, written) if row.written else {})


def turned(source: tuple[str, list[Source]]) -> tuple[str, list[Source]]:
    """The same source where a checkpoint has the transpose of stacked experts."""
    path, (stacked, *others) = source
    if ".experts." not in path:
        return source
    return path, [Source(stacked.names, lambda tensor: stacked.make(tensor.mT)), *others]


def sources(row: LikeLlamaMoe, arch: Architecture) -> Sources:
    def experts(path, at, part):
        if part.kind != "experts":
            yield from tensors.part_sources(path, at, part)
            return
        routed = part.model_copy(update={"shared": None})
        bias = row.bias_at or f"{row.routed_by}.e_score_correction_bias"
        own = tensors.experts_sources(path, f"{at}.{row.at}", routed, router=row.routed_by, bias=bias)
        yield from tensors.also_named(map(turned, own) if row.turned else own, row.also)
        if part.shared:
            shared = part.model_copy(update={"bias": part.shared.bias})
            own = tensors.dense_sources(f"{path}.shared", f"{at}.{row.shared_at}", shared)
            yield from tensors.renamed(own, **row.shared_tensors)
            if part.shared.gate:
                yield tensors.one(f"{path}.shared_gate.weight", f"{at}.{row.shared_at}_gate.weight")

    return tensors.renamed(tensors.llama_sources(arch, mixer=row.mixer, ff=experts), **row.tensors)


FAMILIES = [
    Family(
        name, partial(read, row), partial(write, row, name), partial(sources, row), AHEAD=row.named_ahead,
        KEYS=row.keys + row.network + row.experts,
    )
    for name, row in MODELS.items()
]  # fmt: skip
