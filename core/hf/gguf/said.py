"""A GGUF header while it is read: its keys by their meaning, and what nobody asked for."""

import math
from typing import Any

from ...spec import MAX_LAYERS, Unsupported
from ..reading.config import FILLED, says, shown
from .header import Header, Long

Made = dict[str, Any]  # keys of a config.json

MEANINGS = {  # llama.cpp's key, below the architecture's name -> the key of a config.json
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.layer_norm_epsilon": "layer_norm_eps",
    "attention.sliding_window": "sliding_window",
    "attention.clamp_kqv": "clip_qkv",
    "attention.scale": "attention_multiplier",
    "attention.q_lora_rank": "q_lora_rank",
    "attention.kv_lora_rank": "kv_lora_rank",
    "attention.shared_kv_layers": "num_kv_shared_layers",
    "attention.indexer.head_count": "index_n_heads",
    "attention.indexer.key_length": "index_head_dim",
    "attention.indexer.top_k": "index_topk",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "router_logit_softcapping": "router_logit_softcapping",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logit_scale",
    "embedding_length_per_layer_input": "hidden_size_per_layer_input",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_count": "n_shared_experts",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "expert_group_count": "n_group",
    "expert_group_used_count": "topk_group",
    "expert_weights_scale": "routed_scaling_factor",
    "expert_weights_norm": "norm_topk_prob",
    "leading_dense_block_count": "first_k_dense_replace",
    "interleave_moe_layer_step": "interleave_moe_layer_step",
    "moe_latent_size": "moe_latent_size",
    "nextn_predict_layers": "num_nextn_predict_layers",
    "shortconv.l_cache": "conv_L_cache",
    "ssm.conv_kernel": "conv_kernel",
    "ssm.state_size": "state_size",
    "ssm.time_step_rank": "time_step_rank",
    "ssm.group_count": "n_groups",
}
# Keys that change nothing here: what sees images, how tensors were once laid out, what only training knew.
IDLE = {"rope.dimension_sections", "tensor_data_layout", "rope.scaling.finetuned", "n_deepstack_layers", "rope.scaling.yarn_ext_factor"}
BY_LAYER = ("feed_forward_length", "attention.head_count", "attention.head_count_kv")  # which may be a list
GATING = {1: "softmax", 2: "sigmoid", 3: "softmax"}  # expert_gating_func; the third is a softmax over the chosen alone
SLIDING, FULL = "sliding_attention", "full_attention"


class Said:
    """A header while it is read. What nobody asked for refuses it."""

    def __init__(self, header: Header):
        self.header, self.arch = header, header.arch
        own = f"{self.arch}."
        self.values = {key.removeprefix(own): value for key, value in header.said.items() if key.startswith(own)}
        self.left = set(self.values)
        self.depth = self.count("block_count", least=1, most=MAX_LAYERS) - self.count("nextn_predict_layers", 0, most=16)
        if self.depth < 1:
            raise self.refuse("nextn_predict_layers", "there are no more layers in all")
        blocks = [name.split(".", 2)[1:] for name in header.tensors if name.startswith("blk.") and name.count(".") > 1]
        layers = {number for number, _ in blocks}
        holes = self.arch == "deci"  # of which a layer may have no part at all
        if missing := next((layer for layer in range(self.depth) if str(layer) not in layers and not holes), None):
            raise self.refuse("block_count", f"the file has no tensors of layer {missing}")
        self.inner = {inner for _, inner in blocks}
        self.heads = max(self.each("attention.head_count"))
        self.d_model = self.count("embedding_length", least=1)
        self.head_dim = self.count("attention.key_length", self.d_model // self.heads if self.heads else 0)

    def refuse(self, key: str, why: str) -> Unsupported:
        return Unsupported(f"{self.arch}.{key}: {shown(self.values.get(key))} is not supported: {why}")

    def get(self, key: str, default: Any = None) -> Any:
        self.left.discard(key)
        value = self.values.get(key, default)
        if isinstance(value, Long):
            raise Unsupported(f"{self.arch}.{key}: has {value.length:,} entries, more than a model has layers")
        return value

    def count(self, key: str, default: Any = ..., least: int = 0, most: int = 2**31) -> int:
        value = self.get(key, default)
        if value is ...:
            raise Unsupported(f"{self.arch}.{key}: is missing from the header, and the model cannot be known without it")
        if value is not default and (type(value) is not int or not least <= value <= most):
            raise self.refuse(key, f"give a whole number, {least:,} to {most:,}")
        return value

    def number(self, key: str, default: Any = ...) -> float:
        value = self.get(key, default)
        if value is ...:
            raise Unsupported(f"{self.arch}.{key}: is missing from the header, and the model cannot be known without it")
        if default and key not in self.values and (filled := FILLED.get()) is not None:
            filled[f"{self.arch}.{key}"] = value  # llama.cpp's own
        if value is not default and (type(value) not in (int, float) or not math.isfinite(value)):
            raise self.refuse(key, "give a number")
        return value

    def plain(self, key: str) -> Any:
        """A number of any kind, a list of whole ones where layers may differ, or None."""
        value = self.get(key)
        if isinstance(value, list) and key in BY_LAYER:
            return self.each(key)
        if value is not None and (not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 2**63):
            raise self.refuse(key, "give a number")
        return value

    def each(self, key: str, default: Any = ...) -> list[Any]:
        """A value for every layer, which may be the same for all."""
        value = self.get(key, default)
        if not isinstance(value, list):
            return [self.count(key, default)] * self.depth
        if len(value) < self.depth or not all(type(one) in (int, bool) and 0 <= one < 2**31 for one in value):
            raise self.refuse(key, f"give a whole number for each of the {self.depth} layers")
        return value[: self.depth]

    def same(self, key: str, default: Any = ...) -> int:
        """The one value of the layers that have any."""
        found = {one for one in self.each(key, default) if one} or {0}
        if len(found) > 1:
            raise self.refuse(key, "the layers differ, and this family's are alike")
        return found.pop()

    def expect(self, key: str, *accepted: Any) -> None:
        value = self.get(key)
        if value is not None and not any(says(value, one) for one in accepted):
            raise self.refuse(key, f"only {' or '.join(map(shown, accepted))} is")

    def has(self, tensor: str) -> bool:
        """Whether some layer has this tensor."""
        return tensor in self.inner

    def shape(self, tensor: str) -> tuple[int, ...]:
        found = next((one for name, one in self.header.tensors.items() if name == tensor or name.endswith(f".{tensor}")), None)
        if found is None:
            raise Unsupported(f"{tensor}: is missing from the file, and the model cannot be known without it")
        return found.shape

    def windows(self, every: int) -> list[str]:
        """layer_types: as the header's list says, or all in a window but each n-th layer."""
        pattern = self.get("attention.sliding_window_pattern", every)
        if isinstance(pattern, list):
            near = self.each("attention.sliding_window_pattern")
        else:
            step = self.count("attention.sliding_window_pattern", every)
            near = [bool(step) and layer % step < step - 1 for layer in range(self.depth)]
        return [SLIDING if one else FULL for one in near]
