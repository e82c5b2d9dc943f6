"""Modules that predict further tokens: what a config.json says of them, and what checkpoints call their tensors."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ...spec import Architecture, Segment, Step
from ..reading.pieces import unless
from .checkpoint import Source, Sources


@dataclass(frozen=True)
class Names:
    """What a family's files call a module's tensors below `model.`: {module} is its number, {layer} that number counted on from
    the model's own layers, {first} and {last} those of the module's steps, where each of them is a layer (Nemotron-H).

    A join of two names is one matrix for the token and one for the stream.
    """

    block: str = "layers.{layer}"
    token_norm: str = "layers.{layer}.enorm"
    stream_norm: str = "layers.{layer}.hnorm"
    join: tuple[str, ...] = ("layers.{layer}.eh_proj",)
    norm: str = "layers.{layer}.shared_head.norm"
    copies: Mapping[str, str] = field(
        default_factory=lambda: {"embedding": "layers.{layer}.embed_tokens", "head": "layers.{layer}.shared_head.head"}
    )
    renamed: Mapping[str, str] = field(default_factory=dict)  # within the block
    stream_first: bool = False  # the join's matrix is for the stream, then the token
    stepped: bool = False  # each step of the block is a layer of its own
    sources: Callable[[Architecture], Sources] | None = None  # of the block, where it is unlike the model's own layers


LAYERS = Names()  # DeepSeek-V3's: they go on where the model's own layers end
APART = Names(  # Qwen3-Next's
    "mtp.layers.{module}", "mtp.pre_fc_norm_embedding", "mtp.pre_fc_norm_hidden", ("mtp.fc",), "mtp.norm", {},
)  # fmt: skip


def modules(count: int | None, block: list, **more: Any) -> dict:
    """`{mtp: ...}` of so many modules of this block, {} for none."""
    return each([block] * (count or 0), **more)


def foretold(said: Mapping[str, Any], block: list, **more: Any) -> dict:
    """The same of as many as the keys say."""
    return modules(said.get("mtp", {}).get("count"), block, **more)


def each(blocks: Sequence[list], **more: Any) -> dict:
    """The same of a module for each of these blocks."""
    alike = all(block == blocks[0] for block in blocks)
    said = {} if alike else {"further": list(blocks[1:])}
    return {"mtp": unless(1, count=len(blocks)) | {"block": blocks[0]} | said | more} if blocks else {}


def sources(family: Any, arch: Architecture) -> Sources:
    """Where the modules' tensors are: those of their blocks as if they were the model's last layers, under other names."""
    names: Names = getattr(family, "AHEAD", LAYERS)
    join = _swapped if names.stream_first else _beside
    if not arch.mtp:
        return
    blocks = [[(step,) for step in block] if names.stepped else [block] for block in arch.mtp.each]
    below = [*(names.sources or family.sources)(_deeper(arch, [step for steps in blocks for step in steps]))]
    for module, steps in enumerate(blocks):
        first = module * len(steps)
        numbers = {"module": module, "layer": arch.depth + module, "first": first, "last": first + len(steps) - 1}

        def named(pattern: str, numbers: dict[str, int] = numbers, **more: int) -> str:
            return "model." + pattern.format_map(numbers | more)

        if module == 0 or not arch.mtp.one_join:
            yield f"{module}.token_norm.weight", [Source((named(names.token_norm) + ".weight",))]
            yield f"{module}.stream_norm.weight", [Source((named(names.stream_norm) + ".weight",))]
            yield f"{module}.join.weight", [Source(tuple(named(name) + ".weight" for name in names.join), join)]
            if arch.mtp.norm:
                yield f"{module}.norm.weight", [Source((named(names.norm) + ".weight",))]
        for path, ways in below:
            layer = re.match(r"layers\.(\d+)\.(.*)", path)
            step = int(layer[1]) - arch.depth if layer else first
            if not first <= step < first + len(steps) or not layer and not path.startswith("merge."):
                continue
            here = named(names.block, step=step) + "."
            own = f"model.layers.{arch.depth + step}." if layer else "model."
            moved = [Source(tuple(_moved(name, own, here, names.renamed) for name in way.names), way.make) for way in ways]
            yield f"{module}.block.{layer[2]}" if layer else f"{module}.{path}", moved


def copies(family: Any, arch: Architecture) -> Iterator[tuple[str, str]]:
    """(what is repeated, the name that its copy may have) for every module."""
    names: Names = getattr(family, "AHEAD", LAYERS)
    for module in range(arch.mtp.count if arch.mtp else 0):
        for what, pattern in names.copies.items():
            yield what, f"model.{pattern.format(module=module, layer=arch.depth + module)}.weight"


def _beside(*matrices: torch.Tensor) -> torch.Tensor:
    return torch.cat(matrices, dim=1)


def _swapped(matrix: torch.Tensor) -> torch.Tensor:
    return torch.cat(matrix.chunk(2, dim=1)[::-1], dim=1)


def _moved(name: str, own: str, here: str, renamed: Mapping[str, str]) -> str:
    name = name.replace(own, here, 1)
    for ours, theirs in renamed.items():
        name = name.replace(ours, theirs)
    return name


def _deeper(arch: Architecture, blocks: Sequence[tuple[Step, ...]]) -> Architecture:
    """The model with the blocks of a module as its last layers."""
    further = tuple(Segment(blocks=(block,)) for block in blocks)
    own = {name: getattr(arch, name) for name in type(arch).model_fields}
    return Architecture.model_construct(**own | {"layers": (*arch.layers, *further), "mtp": None})
