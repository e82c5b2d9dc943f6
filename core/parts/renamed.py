"""Old field names in links and files made before: they are translated to today's names."""

from collections.abc import Mapping
from typing import Any

_SIGHT = {"window": "sight.window", "chunk": "sight.chunk"}
_SCORES = {name: f"scores.{name}" for name in ("scale", "softcap", "temperature", "sinks")}
_BLOCKS = {"index_heads": "indexer.heads", "index_dim": "indexer.dim"} | {
    name: f"indexer.{name}" for name in ("block", "top_blocks", "local_blocks")
}
_TOKENS = {
    "index_heads": "indexer.heads", "index_dim": "indexer.dim", "top_k": "indexer.top_k", "index_last": "indexer.last",
    "index_interleaved": "indexer.interleaved", "index_eps": "indexer.eps",
}  # fmt: skip
RENAMED: dict[str, dict[str, str]] = {
    "attention": _SIGHT | _SCORES,
    "relative_attention": _SIGHT | _SCORES,
    "dynamic_mask_attention": _SIGHT | _SCORES,
    "block_sparse_attention": _SIGHT | _SCORES | _BLOCKS,
    "pooled_sparse_attention": _SIGHT | _SCORES | _BLOCKS,
    "latent_attention": _SIGHT | _SCORES,
    "sparse_latent_attention": _SIGHT | _SCORES | _TOKENS,
    "convolutional_attention": _SIGHT,
}


def today(part: Any) -> Any:
    """A part's mapping with today's names; a mapping without old names is returned unchanged."""
    if not isinstance(part, Mapping) or not isinstance(kind := part.get("kind", "attention"), str):
        return part
    if kind == "shared_block" and isinstance(part.get("attention"), Mapping):
        return {**part, "attention": today(part["attention"])}
    part = _gated(kind, part) if "latent" in kind else part
    names = RENAMED.get(kind, {})
    if not names.keys() & part.keys():
        return part
    new = {name: value for name, value in part.items() if name not in names}
    for old, path in names.items():
        outer, _, inner = path.partition(".")
        if old in part and isinstance(new.setdefault(outer, {}), Mapping):
            new[outer] = {**new[outer], inner: part[old]}
    return new


def _gated(kind: str, part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Latent attention's gates were three booleans."""
    part = dict(part)
    per = "channel" if part.pop("gate_channels", False) is True else "head"
    if isinstance(gate := part.get("gate"), bool):
        part["gate"] = {"per": per} if gate else None
    if part.get("joint_gate") is False or kind == "sparse_latent_attention":
        part |= {"kind": "joint_sparse_attention"} if part.pop("joint_gate", False) is True else {}
    return part
