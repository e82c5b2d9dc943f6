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
    channels = part.pop("gate_channels") if isinstance(part.get("gate_channels"), bool) else None
    if part.get("gate") is True:
        part["gate"] = {"per": "channel" if channels else "head"}
    elif part.get("gate") is False:
        part["gate"] = None
    elif isinstance(part.get("gate"), Mapping) and channels is not None:
        part["gate"] = {**part["gate"], "per": "channel" if channels else "head"}
    if part.get("joint_gate") is False or (part.get("joint_gate") is True and kind == "sparse_latent_attention"):
        part |= {"kind": "sparse_gated_latent_attention"} if part.pop("joint_gate") else {}
    return part


def path_today(tree: Mapping[str, Any], path: str) -> str:
    """The path of a field by today's names: parts.local.temperature.length is parts.local.scores.temperature.length."""
    root, _, rest = path.partition(".")
    name, _, inner = rest.partition(".")
    field, dot, more = inner.partition(".")
    part = tree.get("parts", {}).get(name) if root == "parts" else None
    new = RENAMED.get(part.get("kind", ""), {}).get(field) if isinstance(part, Mapping) else None
    return f"{root}.{name}.{new}{dot}{more}" if new else path
