"""dots3.note (rednote-hilab 2026): latent attention in a window, with heads and ranks of its own, between layers whose indexer chooses
what they read. The wrapper hears and sees as well; published files say the text model's keys beside its own."""

from collections.abc import Mapping
from typing import Any

from ...parts.latent import LatentAttention
from ...parts.sparse import SparseLatentAttention
from ...spec import Architecture
from ..reading import keys, pieces, rotary
from ..reading.config import Config, wrapped
from ..reading.keys import Always, Rule
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import one
from . import deepseek_v3 as v3
from . import deepseek_v32 as v32

TYPES = ("dots3_note_text", "dots3_note")
NAMES = {"indexed_attention": "sparse", "full_attention": "full", "sliding_attention": "local"}
# What layers in a window have of their own, by the keys that older files say it with.
LOCAL = {
    "num_attention_heads": 64, "q_lora_rank": 1_024, "kv_lora_rank": 1_024, "head_dim": 256, "qk_nope_head_dim": 192, "v_head_dim": 128,
}  # fmt: skip


LATENT = v3.latent(128, (1_024, 512), (128, 64, 128), gate={"per": "head"}, key_norm=True, scaled_ranks=True)
INDEXER = (*v32.indexer(64), Always("attention.indexer", interleaved=True))


def _shared_width(config: Config, said: dict) -> None:
    key = "moe_shared_expert_intermediate_size"
    width = config.count(key, config.count("shared_experts_intermediate_size", 1_536))
    if "shared" in said["moe"]:
        said["moe"]["shared"]["d_ff"] = width * said["moe"]["shared"]["count"]


KEYS = (
    *keys.sizes(152_064, 5_120, 524_288, 46, eps=1e-5),
    *keys.feed_forward(13_824),
    *keys.experts(256, 8, 1_536),
    keys.shared(1),
    Rule(_shared_width),
    *v3.balanced(1, 1, 1.0),
)


def read(config: Config, model_type: str) -> dict:
    if model_type == "dots3_note":
        config.ignore("vision_config", "audio_config")
        if config.has("text_config"):
            return wrapped(config, read, "dots3_note_text")
        config.ignore("text_config")
    said = keys.read(config, KEYS)
    depth = said["depth"]
    types = _types(config, depth)
    own = _own(config, types)
    config.ignore(*(f"swa_{key}" for key in (*LOCAL, "num_key_value_heads", "qk_rope_head_dim")), "per_layer_config")
    config.ignore("mlp_bias", "ep_size", "num_nextn_predict_layers")  # nothing reads them
    ropes = _ropes(config, said["context"], types)
    parts = {}
    for word in dict.fromkeys(types):
        inner = Config({**config.raw, **own.get(word, {})}, config.where)
        part = keys.read(inner, LATENT + INDEXER * (word == "indexed_attention"))["attention"]
        part["rank_norm"] = {"kind": "rms", "eps": said["norm"]["eps"]}
        if word == "sliding_attention":
            part |= pieces.sight(config.count("sliding_window", config.count("sliding_window_size", 512)))
        parts[NAMES[word]] = part | {"position": ropes[word]}
    config.ignore("num_attention_heads", "attention_bias", "sliding_window", "sliding_window_size")
    config.ignore("num_key_value_heads", "head_dim", "qk_head_dim", "q_lora_rank", "kv_lora_rank", "v_head_dim")
    config.ignore("qk_nope_head_dim", "qk_rope_head_dim", "index_n_heads", "index_head_dim", "index_topk")
    feeds = ["moe" if sparse else "dense" for sparse in _sparse(config, depth)]
    main = next(iter(ropes.values()))
    for part in parts.values():
        if part.get("position") == main:
            del part["position"]
    blocks = [[NAMES[word], feed] for word, feed in zip(types, feeds, strict=True)]
    return pieces.model(config, said | parts | {"position": main}, blocks)


def _types(config: Config, depth: int) -> list[str]:
    """Each layer's kind of attention. Older files call the layers with an indexer full_attention and say use_dsa."""
    indexed = config.take("use_dsa", bool, None if "per_layer_config" in config.raw else True)
    windows = config.take("use_sliding_window", bool, True)
    far = "full_attention" if indexed is False else "indexed_attention"
    usual = ["sliding_attention" if windows and layer > 1 and layer % 4 != 1 else far for layer in range(depth)]
    types = pieces.layer_types(config, depth, usual, *NAMES)
    other = {True: "full_attention", False: "indexed_attention"}.get(indexed)
    return [far if word == other else word for word in types]


def _own(config: Config, types: list[str]) -> dict[str, dict[str, Any]]:
    """What all layers of one kind say otherwise than the model."""
    if "per_layer_config" not in config.raw:  # null says that all layers are alike
        local = {key: config.raw.get(f"swa_{key}", usual) for key, usual in LOCAL.items()}
        turned = config.raw.get("swa_qk_rope_head_dim")
        return {"sliding_attention": local | {"qk_rope_head_dim": _turned(local) if turned is None else turned}}
    given = config.take("per_layer_config", dict, {})
    known = {*LOCAL, "num_key_value_heads", "qk_rope_head_dim", "qk_head_dim"}
    layers = {}
    for key, says in given.items():
        if not str(key).isdecimal() or not isinstance(says, Mapping) or not set(says) <= known:
            raise config.refuse("per_layer_config", f"give {', '.join(sorted(known))} by a layer's number")
        layers[int(key)] = dict(says)
    own = {}
    for layer, word in enumerate(types):
        if own.setdefault(word, layers.get(layer, {})) != layers.get(layer, {}):
            raise config.refuse("per_layer_config", f"layers of {word} must be alike")
    return own


def _turned(local: Mapping[str, Any]) -> int | None:
    widths = local["head_dim"], local["qk_nope_head_dim"]
    return widths[0] - widths[1] if all(type(width) is int for width in widths) else None


def _ropes(config: Config, context: int, types: list[str]) -> dict[str, dict]:
    """The rope of each kind of attention there is: one dictionary for each, or the same for all."""
    base, near = config.take("rope_theta", float, 8e7), config.take("swa_rope_theta", float, 5e4)
    if config.raw.get("rope_parameters") == {}:
        raise config.refuse("rope_parameters", "an empty one gives layers in a window the others' base; leave it out")
    key = "rope_parameters" if config.has("rope_parameters") else "rope_scaling"
    given = config.nested(key)
    config.ignore("rope_parameters", "rope_scaling")
    if set(given.raw) & set(NAMES):
        inner = {word: given.nested(word) for word in NAMES}
        given.finish()
    else:
        inner = {word: Config(given.raw, given.where) for word in NAMES}
    found = {}
    for word in dict.fromkeys(types):
        rope = inner[word]
        rope.ignore("partial_rotary_factor")  # always the rotary channels' share
        if rope.raw.get("mscale_all_dim"):
            raise rope.refuse("mscale_all_dim", "this family does not scale the softmax by it")
        theta = near if word == "sliding_attention" and not given.raw else base
        found[word] = {"kind": "rope", "base": rope.take("rope_theta", float, theta), "interleaved": True}
        found[word] |= rotary.rope_scaling(rope, context)
    return found


def _sparse(config: Config, depth: int) -> list[bool]:
    first, every = config.count("first_k_dense_replace", 1, least=0), config.take("moe_layer_freq", (int, list), 1)
    if isinstance(every, list) and not config.has("mlp_layer_types"):
        if len(every) < depth:
            raise config.refuse("moe_layer_freq", f"give a number for each of the {depth} layers")
        return [layer >= first and bool(every[layer]) for layer in range(depth)]
    if isinstance(every, int) and every < 1:
        raise config.refuse("moe_layer_freq", "give 1 or more")
    return pieces.sparse_layers(config, depth, first, every if isinstance(every, int) else 1)


def write(arch: Architecture) -> dict:
    kinds = {"sparse": SparseLatentAttention | None, "full": LatentAttention | None, "local": LatentAttention | None}
    pieces.made_of(arch, kinds | pieces.FEEDS)
    words = {name: word for word, name in NAMES.items()}
    types = [words[block[0].parts[0]] for block in arch.sequence]
    parts = {word: arch.part(NAMES[word]) for word in dict.fromkeys(types)}
    main = next((part for word, part in parts.items() if word != "sliding_attention"), None) or arch.part("local")
    written = pieces.write_model(arch, "Dots3Note", "dots3_note_text", KEYS)
    written |= _write_latent(arch, main) | keys.write(arch, INDEXER, attention=parts.get("indexed_attention"))
    written |= {"layer_types": types, "mlp_layer_types": pieces.write_sparse_layers(arch)}
    if (moe := arch.parts.get("moe")) and moe.shared:
        written["shared_experts_intermediate_size"] = moe.shared.d_ff // moe.shared.count
    if "sliding_attention" in parts:
        written["sliding_window"] = arch.parts["local"].sight.window
    usual = _write_latent(arch, main)
    own = {word: dict(_write_latent(arch, part).items() - usual.items()) for word, part in parts.items()}
    written["per_layer_config"] = {str(layer): own[word] for layer, word in enumerate(types) if own[word]}
    written["rope_parameters"] = {word: rotary.write_dictionary(part.position, arch.context) for word, part in parts.items()}
    return written


def _write_latent(arch: Architecture, part: LatentAttention) -> dict:
    return keys.write(arch, LATENT, attention=part) | {"head_dim": part.qk_dim}


def sources(arch: Architecture) -> Sources:
    def mixer(path, at, part):
        yield from v32.sparse_sources(path, at, part)
        yield one(f"{path}.key_norm.weight", f"{at}.self_attn.k_rope_only_layernorm.weight")
        yield one(f"{path}.gate.weight", f"{at}.self_attn.g_proj.weight")

    return tensors.llama_sources(arch, mixer=mixer)


def ignored(name: str) -> bool:
    heard = ("vision_encoder.", "audio_encoder.", "audio_adapter.", "audio_tower.", "mtp.")
    return tensors.ignored(name) or any(piece in name for piece in heard)
