"""Filling a built model from a checkpoint's tensors, by each family's own names."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..spec import Unsupported


@dataclass(frozen=True)
class Source:
    """Where one of our parameters comes from: the names it is read from, and how they become it."""

    names: tuple[str, ...]
    make: Callable[..., Tensor] = lambda tensor: tensor


def stack(*tensors: Tensor) -> Tensor:
    return torch.stack(tensors)


# Our parameter path -> the ways in which checkpoints hold it, in order of preference.
Sources = Iterator[tuple[str, list[Source]]]


def plain_names(tensors: Mapping[str, Tensor], root: str) -> dict[str, Tensor]:
    """The tensors as a text model alone names them: below `root`, without a multimodal wrapper's prefix."""
    return {_plain_name(name, root): tensor for name, tensor in tensors.items()}


def _plain_name(name: str, root: str) -> str:
    for wrapper in ("model.language_model.", "language_model.model.", "language_model."):
        if name.startswith(wrapper):
            name = name.removeprefix(wrapper)
            break
    return name if name.startswith((root, "lm_head.")) else root + name


def misfits(tensors: Mapping[str, Tensor], sources: Sources, ignored: Callable[[str], bool]) -> int:
    """How many tensors are missing or left over by these names: 0 where the names are the checkpoint's own."""
    missing, used = 0, set()
    for _, ways in sources:
        way = next((w for w in ways if all(name in tensors for name in w.names)), None)
        missing += way is None
        used.update(way.names if way else ())
    return missing + sum(name not in used and not ignored(name) for name in tensors)


def fill(model: nn.Module, tensors: Mapping[str, Tensor], sources: Sources, ignored: Callable[[str], bool]) -> None:
    """Copy every parameter and buffer of `model` from `tensors`.

    Raises Unsupported for one that is missing, left over or of another shape; the model is then partly filled.
    """
    own = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
    used: set[str] = set()
    for path, ways in sources:
        way = next((w for w in ways if all(name in tensors for name in w.names)), None)
        if way is None:
            missing = next(name for name in ways[0].names if name not in tensors)
            raise Unsupported(f"{missing}: is missing from the checkpoint ({path} needs it)")
        value = way.make(*(_wide(tensors, name, used) for name in way.names))
        target = own.pop(path)
        if target.shape != value.shape:
            raise Unsupported(f"{way.names[0]}: has shape {tuple(value.shape)}; {path} needs {tuple(target.shape)}")
        with torch.no_grad():
            target.copy_(value)
        used.update(way.names)
    if own.keys() - _tied(model):
        raise Unsupported(
            f"{sorted(own)[0]}: this family's names for it are not known, so the checkpoint cannot fill it"
        )
    left = sorted(name for name in tensors if name not in used and not ignored(name))
    if left:
        raise Unsupported(f"{left[0]}: is in the checkpoint but nowhere in the architecture ({len(left)} such tensors)")


def _wide(tensors: Mapping[str, Tensor], name: str, used: set[str]) -> Tensor:
    """A tensor's values: one in fp8 is multiplied by the scales of its blocks, which stand beside it."""
    tensor, scales = tensors[name], tensors.get(f"{name}_scale_inv")
    if scales is None:
        return tensor
    used.add(f"{name}_scale_inv")
    rows, columns = tensor.shape[-2:]
    scales = scales.float().repeat_interleave(128, dim=-2)[..., :rows, :].repeat_interleave(128, dim=-1)[..., :columns]
    return tensor.float() * scales


def _tied(model: nn.Module) -> set[str]:
    """Paths that name a parameter which another path names first."""
    return set(dict(model.named_parameters(remove_duplicate=False))) - set(dict(model.named_parameters()))


def read(folder: str | Path) -> dict[str, Tensor]:
    """All tensors of a folder's safetensors files, sharded or not."""
    from safetensors.torch import load_file

    folder = Path(folder)
    index = folder / "model.safetensors.index.json"
    names = (
        sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.exists() else ["model.safetensors"]
    )
    out: dict[str, Tensor] = {}
    for name in names:
        if not (folder / name).exists():
            raise Unsupported(
                f"{folder / name}: no such file; a folder with model.safetensors (or its shards and index) is needed"
            )
        out |= load_file(folder / name)
    return out
