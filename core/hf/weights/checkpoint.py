"""Filling a built model from a checkpoint's tensors, by each family's own names."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ...reading import what_begins
from ...spec import Unsupported
from .module_names import beginning


@dataclass(frozen=True)
class Source:
    """Where one of our parameters comes from: the names it is read from, and how they become it."""

    names: tuple[str, ...]
    make: Callable[..., Tensor] = lambda tensor: tensor

    def made(self, *tensors: Tensor) -> Tensor:
        """Our parameter of these tensors; Unsupported where their shapes are none that it can be made of."""
        try:
            return self.make(*tensors)
        except (RuntimeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            shapes = " and ".join(str(tuple(one.shape)) for one in tensors[:4])
            why = f": {error}" if isinstance(error, Unsupported) else ""
            raise Unsupported(f"has shape {shapes}, of which the model's parameter cannot be made{why}") from None


def stack(*tensors: Tensor) -> Tensor:
    return torch.stack(tensors)


# Our parameter path -> the ways in which checkpoints hold it, in order of preference.
Sources = Iterator[tuple[str, list[Source]]]


def plain_names(names: Iterable[str], roots: Sequence[str]) -> dict[str, str]:
    """A checkpoint's names as a text model alone has them, below the first root or another one, and without a multimodal
    wrapper's prefix -> its own."""
    return {_plain_name(name, (*roots, "lm_head.")): name for name in names}


def _plain_name(name: str, roots: tuple[str, ...]) -> str:
    begin = beginning(name)
    name = name.removeprefix(begin) if begin != "model." else name
    return name if name.startswith(roots) else roots[0] + name


def misfits(names: set[str], sources: Sources) -> int:
    """How many tensors are missing or left over by these names: 0 where the names are the checkpoint's own."""
    missing = 0
    used: set[str] = set()
    for _, ways in sources:
        way = next((w for w in ways if all(name in names for name in w.names)), None)
        missing += way is None
        used.update(way.names if way else ())
    return missing + len(names - used)


class Reader:
    """A checkpoint's tensors by plain names, each read when it is asked for; `used` are those that were."""

    def __init__(self, tensors: Mapping[str, Tensor], names: Mapping[str, str]):
        self.tensors, self.names = tensors, names
        self.used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def read(self, name: str) -> Tensor:
        """A tensor's values: one in fp8 is multiplied by the scales of its blocks, which stand beside it."""
        tensor, beside = self._take(name), f"{name}_scale_inv"
        if beside not in self:
            return tensor
        scales = self._take(beside)
        blocks = (*tensor.shape[:-2], *(-(-n // 128) for n in tensor.shape[-2:]))
        if tensor.ndim < 2 or scales.shape != blocks:
            raise Unsupported(f"{beside}: has shape {tuple(scales.shape)}; blocks of 128 x 128 have {blocks}")
        rows, columns = tensor.shape[-2:]
        scales = scales.float().repeat_interleave(128, dim=-2)[..., :rows, :]
        return tensor.float() * scales.repeat_interleave(128, dim=-1)[..., :columns]

    def holds(self, name: str) -> bool:
        """Whether a tensor has any values; a network of no width has none."""
        return self.tensors[self.names[name]].numel() > 0

    def _take(self, name: str) -> Tensor:
        self.used.add(name)
        return self.tensors[self.names[name]]


def fill(model: nn.Module, checkpoint: Reader, sources: Sources, ignored: Callable[[str], bool]) -> None:
    """Copy every parameter and buffer of `model` from a checkpoint.

    Raises Unsupported for one that is missing, left over or of another shape; the model is then partly filled.
    """
    own = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
    for path, ways in sources:
        way = next((w for w in ways if all(name in checkpoint for name in w.names)), None)
        if way is None:
            missing = next(name for name in ways[0].names if name not in checkpoint)
            raise Unsupported(f"{missing}: is missing from the checkpoint ({path} needs it)")
        read = [*map(checkpoint.read, way.names)]
        try:
            value = way.made(*read)
        except Unsupported as error:
            raise Unsupported(f"{way.names[0]}: {error}") from None
        target = own.pop(path)
        if target.shape != value.shape:
            raise Unsupported(f"{way.names[0]}: has shape {tuple(value.shape)}; {path} needs {tuple(target.shape)}")
        with torch.no_grad():
            target.copy_(value)
    if own.keys() - _tied(model):
        raise Unsupported(f"{sorted(own)[0]}: its tensor names are not known for this family, so a checkpoint cannot fill it")
    left = sorted(name for name in checkpoint.names if name not in checkpoint.used and not ignored(name))
    left = [name for name in left if checkpoint.holds(name)]
    if left:
        raise Unsupported(f"{left[0]}: is in the checkpoint but not in the architecture ({len(left)} such tensors)")


def _tied(model: nn.Module) -> set[str]:
    """Paths that name a parameter which another path names first."""
    return set(dict(model.named_parameters(remove_duplicate=False))) - set(dict(model.named_parameters()))


MAX_HEADER = 25_000_000  # bytes of one file, as on the Hub


def open_file(file: Path) -> Any:
    """A safetensors file with its header read and checked; Unsupported for what is none."""
    if not file.is_file():
        raise Unsupported(f"{file}: is not a readable file")
    try:
        with open(file, "rb") as opened:
            begins = opened.read(64)
        what = what_begins(begins) or ("a JSON file" if begins[:1] == b"{" else None)
        if what and "safetensors" not in what:
            raise Unsupported(f"{file}: is {what}; give a safetensors or a .gguf file")
        if file.stat().st_size > 8 and int.from_bytes(begins[:8], "little") > MAX_HEADER:
            raise Unsupported(f"{file}: is not a safetensors file, or its header has more than {MAX_HEADER:,} bytes")
        return safe_open(file, framework="pt")
    except (OSError, SafetensorError) as error:
        raise Unsupported(f"{file}: cannot be read ({str(error)[:200]})") from None


def _files(folder: Path) -> tuple[list[Path], Mapping[str, str]]:
    """The safetensors files of a folder that are its model, as transformers takes them: model.safetensors, those that the index
    names, or all that are called model; otherwise its makers' own. An adapter's are no part of it. Beside them the index."""
    if (whole := folder / "model.safetensors").exists():
        return [whole], {}
    if (index := folder / "model.safetensors.index.json").is_file():
        return _indexed(folder, index)
    found = [file for file in sorted(folder.glob("*.safetensors")) if not file.name.startswith("adapter_")]
    for first in ("model", "consolidated", ""):
        if files := [file for file in found if file.name.startswith(first)]:
            return files, {}
    raise Unsupported(f"{folder}: has no safetensors files of a model")


def _indexed(folder: Path, index: Path) -> tuple[list[Path], Mapping[str, str]]:
    with open(index, "rb") as opened:
        data = opened.read(MAX_HEADER + 1)
    try:
        where = json.loads(data)["weight_map"] if len(data) <= MAX_HEADER else {}
        names = sorted(set(where.values()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        names = []
    if not names:
        raise Unsupported(f"{index}: is not an index; it needs a `weight_map` from tensors to files")
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not os.path.isfile(folder / name):
            raise Unsupported(f"{index}: names {str(name)[:80]!r}, which is not a file of this folder")
    return [folder / name for name in names], where


class Checkpoint(Mapping[str, Tensor]):
    """The tensors of a folder's safetensors files, sharded or not, or of one file, each read from disk when it is asked for."""

    def __init__(self, path: str | Path):
        path = Path(path)
        files, self.index = _files(path) if path.is_dir() else ([path], {})
        self.where: dict[str, Any] = {}  # a tensor's name -> its file, open
        self.misplaced: list[str] = []  # sentences on tensors that are not where the index says
        for file in files:
            opened = open_file(file)
            for name in opened.keys():  # noqa: SIM118 - not a mapping
                if name in self.where:
                    raise Unsupported(f"{file}: has {name[:200]!r}, which another file of the folder also has; remove one")
                self.where[name] = opened
                if self.index and self.index.get(name) != file.name:
                    self.misplaced.append(f"{name[:200]}: is in {file.name}, where the index does not have it")
        absent = [(name if name.isprintable() else ascii(name), file) for name, file in self.index.items() if name not in self.where]
        self.misplaced += [f"{name[:200]}: the index has it in {file}, which does not have it" for name, file in absent]

    def headers(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Every tensor's name -> its stored type and shape."""
        slices = {name: file.get_slice(name) for name, file in self.where.items()}
        return {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}

    def __getitem__(self, name: str) -> Tensor:
        return self.where[name].get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.where)

    def __len__(self) -> int:
        return len(self.where)
