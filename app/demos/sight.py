"""What a token may see, for each kind of attention, read off the part's own module: an output depends on the tokens that it sees."""

from collections.abc import Callable
from functools import cache
from html import escape
from typing import NamedTuple

import torch

from core.library import preset, presets
from core.parts import Part
from core.parts.attention import Attention
from core.parts.block_sparse import BlockSparseAttention
from core.parts.latent import LatentAttention
from core.parts.native_sparse import NativeSparseAttention
from core.parts.norm import RMSNorm
from core.parts.position import NoPosition
from core.parts.sparse import SparseLatentAttention
from core.spec import Architecture

from . import Control, Demo
from ._draw import panel, rect, svg

D_MODEL, SEED = 16, 3
NARROW = {"norm": RMSNorm(), "position": NoPosition()}


class Kind(NamedTuple):
    """A kind of attention: its title and a small part for a size, which parts of presets are of the kind, and the module in it that sees
    several tokens as one."""

    title: str
    part: Callable[[int], Part]
    holds: Callable[[Part], bool]
    pooled: str = ""


def _attention(**sight: int) -> Part:
    return Attention(heads=1, kv_heads=1, head_dim=D_MODEL, sight=sight, **NARROW)


def _blocks(size: int) -> Part:
    indexer = {"heads": 1, "dim": D_MODEL, "block": 2, "top_blocks": max(1, size // 2)}
    return BlockSparseAttention(kind="block_sparse_attention", heads=1, kv_heads=1, head_dim=D_MODEL, indexer=indexer, **NARROW)


def _native(size: int) -> Part:
    sizes = {"block": 2, "stride": 2, "select_block": 2, "top_blocks": max(2, size // 2), "local_blocks": 1, "window": size}
    return NativeSparseAttention(
        kind="native_sparse_attention", heads=1, kv_heads=1, head_dim=D_MODEL, pool_hidden=D_MODEL, **sizes, **NARROW
    )  # fmt: skip


def _indexer(size: int) -> Part:
    ranks = {"kv_rank": D_MODEL, "q_rank": D_MODEL, "nope_dim": D_MODEL, "rope_dim": 2, "v_dim": D_MODEL}
    indexer = {"heads": 2, "dim": D_MODEL, "top_k": size}
    return SparseLatentAttention(kind="sparse_latent_attention", heads=1, indexer=indexer, **ranks, **NARROW)


def _whole(part: Part) -> bool:
    return type(part) in (Attention, LatentAttention) and part.reach is None


def _limited(by: str) -> Callable[[Part], bool]:
    return lambda part: bool(getattr(getattr(part, "sight", None), by, None))


KINDS = {
    "full": Kind("Full", lambda size: _attention(), _whole),
    "window": Kind("Window of {}", lambda size: _attention(window=size), _limited("window")),
    "chunk": Kind("Chunk of {}", lambda size: _attention(chunk=size), _limited("chunk")),
    "indexer": Kind("Best {} of an indexer", _indexer, lambda part: isinstance(part, SparseLatentAttention)),
    "blocks": Kind("Best {half} blocks of 2", _blocks, lambda part: isinstance(part, BlockSparseAttention)),
    "native": Kind("Native sparse", _native, lambda part: isinstance(part, NativeSparseAttention), "compressed_kv"),
}


def seen(part: Part, tokens: int, but: str = "") -> torch.Tensor:
    """Which tokens each token reads, (T, T) of bool: the part's module runs, and the gradients of its outputs say it. A token's own
    query does not count, and neither does the module `but`."""
    module, generator = part.build(D_MODEL).requires_grad_(False), torch.Generator().manual_seed(SEED)
    for tensor in module.parameters():
        tensor.normal_(0, 0.3, generator=generator)
    x = torch.randn(1, tokens, D_MODEL, generator=generator).requires_grad_()
    for name in filter(None, ("q", but)):
        module.get_submodule(name).register_forward_hook(lambda _, args, output: output.detach())
    y = module(x, torch.arange(tokens))[0].sum(dim=-1)  # (T,)
    (by,) = torch.autograd.grad(y, x, torch.eye(tokens), is_grads_batched=True)  # (T, 1, T, D)
    return (by[:, 0] != 0).any(dim=-1)


@cache
def having(name: str) -> tuple[Architecture, ...]:
    """The presets that have such attention in some layer, in order of release."""
    return tuple(arch for arch in map(preset, presets()) if any(KINDS[name].holds(arch.part(part)) for part in arch.parts))


def users(name: str) -> tuple[str, ...]:
    """Their titles."""
    return tuple(arch.title for arch in having(name))


def draw(tokens: int, size: int) -> tuple[str, str]:
    drawn = [_panel(name, kind, tokens, size) for name, kind in KINDS.items()]
    full, window, chunk, best = (scores(KINDS[name].part(size), tokens) for name in ("full", "window", "chunk", "indexer"))
    said = (
        f"A row is a token, a column one that it may read. Full attention computes {full} scores, a window of {size} only {window} and a "
        f"chunk of {size} only {chunk}; an indexer leaves {best}, but computes {full} narrow ones first and keeps all {tokens} tokens."
    )
    return said, f'<div class="side few" style="--least:160px">{"".join(drawn)}</div>'


def scores(part: Part, tokens: int) -> int:
    """How many scores the part's own closed form counts for a text, in all branches."""
    pairs = part.pairs(tokens, 0)  # type: ignore[attr-defined]
    return sum(pairs.values()) if isinstance(pairs, dict) else pairs


def _panel(name: str, kind: Kind, tokens: int, size: int) -> str:
    part = kind.part(size)
    whole = seen(part, tokens)
    near = seen(part, tokens, kind.pooled) if kind.pooled else whole
    title, marked = kind.title.format(size, half=max(1, size // 2)), round(tokens * 0.8) - 1
    kept = max(shape[0] for shape in part.cache(tokens).values())
    some = f"<b>{int(near[marked].sum())}</b> seen by the marked"
    some += f", {int((whole & ~near)[marked].sum())} more pooled" if kind.pooled else ""
    count = f"<b>{kept}</b> tokens kept, <b>{scores(part, tokens)}</b> scores"
    if "indexer" in part.flops(D_MODEL, tokens, 0):
        count += f", after {scores(KINDS['full'].part(size), tokens)} narrow ones"
    return panel(title, _grid(near, whole, marked, title), some, count, f'<span class="soft">{escape(_users(name))}</span>')


def _users(name: str) -> str:
    found, dated = users(name), [arch.title for arch in having(name) if arch.released]
    if len(found) < 3:
        return ", ".join(found) or "no preset yet"
    return f"{len(found)} presets, from {dated[0]} to {dated[-1]}"


def _grid(near: torch.Tensor, whole: torch.Tensor, marked: int, said: str) -> str:
    """A cell of 10 × 10 for each token before each token, in the colour of how it is read."""
    tokens, cells = len(near), dict[str, str]()
    for row in range(tokens):
        for column in range(row + 1):
            how = "attention" if near[row, column] else "attention-near" if whole[row, column] else "idle"
            cells[how] = cells.get(how, "") + f"M{10 * column + 2} {10 * row + 2}h6v6h-6z"
    look = "stroke-width:2.6;stroke-linejoin:round"
    drawn = [f'<path d="{path}" style="fill:var(--{how});stroke:var(--{how});{look}"/>' for how, path in cells.items()]
    drawn.append(rect(-1, 10 * marked - 1, 10 * marked + 12, 12, "none", f"stroke:var(--accent);stroke-width:{tokens / 9:.1f}", 4))
    side = 10 * tokens + 4
    return svg(side, [f'<g transform="translate(2 2)">{"".join(drawn)}</g>'], said, side).replace(
        f"max-width:{1.35 * side:.0f}px", "max-width:230px"
    )


DEMO = Demo(
    "What may a token see?", (Control("tokens", "Tokens", (12, 16, 24), 12), Control("size", "Window, chunk, best", (2, 4, 8), 4)), draw
)
