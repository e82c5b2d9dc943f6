"""A checkpoint against the model that its config.json builds, by the headers of its files alone.

Every parameter is looked up under the names that its family's checkpoints use; its shape, with what packing and stacking
do to it undone, and the type that it is stored in are compared with ours. What differs is said, tensor by tensor.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from .hf import ahead, family_for, from_hf, mtp
from .hf.weights import Sources
from .hub import PREFIX, config, headers
from .model import build, build_mtp
from .precision import FORMATS
from .reading import read_file, read_yaml
from .spec import Architecture, Unsupported

Headers = Mapping[str, tuple[str, tuple[int, ...]]]  # a tensor's name -> its stored type and shape

BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "I64": 64, "I32": 32, "I16": 16,
    "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
}  # fmt: skip
STORED = {  # a format of the spec -> the types that a file may hold its values in
    "fp32": {"F32"}, "bf16": {"BF16"}, "fp16": {"F16"}, "fp8": {"F8_E4M3"}, "fp8_block": {"F8_E4M3"}, "fp8_ue8m0": {"F8_E4M3"},
    "fp8_row": {"F8_E4M3"},
    "int64": {"I64"}, "mxfp4": {"U8", "I8", "F4"}, "nvfp4": {"U8", "F4"}, "nf4": {"U8"}, "int8": {"I8"},
}  # fmt: skip
PACKED = {"I32"}  # the integer formats: eight values of four bits, or four of eight, in one number
# What stands beside a matrix that is stored narrow: scales, zero points, the order of its groups, how it is packed.
BESIDE = (
    *(f".weight_{word}" for word in ("scale_inv", "scale", "scale_2", "zero_point", "g_idx", "shape", "global_scale", "format")),
    *(f".weight.{word}" for word in ("absmax", "quant_map", "nested_absmax", "nested_quant_map")), ".weight.quant_state.bitsandbytes__nf4",
    ".weight.quant_state.bitsandbytes__fp4", ".qzeros", ".scales", ".g_idx", ".input_scale", ".input_global_scale", ".SCB",
    "_scale_inv", "_scale", ".scale",
)  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """One tensor of a checkpoint as the model would have it: its type, its shape unpacked, all its bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Verification:
    """What a checkpoint holds beside what its architecture says. `exact` where nothing differs."""

    source: str
    architecture: Architecture = field(repr=False)
    tensors: int  # of the model itself, in the file
    parameters: int  # their values, packed ones counted singly, tied ones once
    expected_parameters: int
    bytes: int
    expected_bytes: int
    apart: dict[str, int]  # bytes of what is no part of the compared model: what predicts ahead, what sees images
    differences: tuple[str, ...]

    @property
    def exact(self) -> bool:
        return not self.differences

    @property
    def verdict(self) -> str:
        if self.exact:
            return f"all {self.tensors:,} tensors are what the config.json says: names, shapes and stored types"
        return f"{len(self.differences):,} things differ from what the config.json says"

    def to_dict(self) -> dict:
        names = ("source", "tensors", "parameters", "expected_parameters", "bytes", "expected_bytes", "apart", "exact")
        return {name: getattr(self, name) for name in names} | {"differences": list(self.differences)}


def verify(source: str | Path, arch: Architecture | None = None) -> Verification:
    """Compare a checkpoint's headers with the model that its config.json builds.

    `source` is `hf:organisation/model`, a folder of safetensors files with its config.json, or one .safetensors or .gguf
    file; `arch` stands for the config.json where there is none beside it. Raises Unsupported for what cannot be read.
    """
    source = str(source)
    if source.startswith(PREFIX):
        return compare(source, arch or from_hf(config(source)), headers(source))
    path = Path(source)
    if not path.exists():
        raise Unsupported(f"{source[:200]}: is no folder, file or hf:organisation/model")
    folder = path if path.is_dir() else path.parent
    if arch is None:
        if not (folder / "config.json").exists():
            raise Unsupported(f"{source[:200]}: has no config.json beside it; say which architecture it is of")
        arch = from_hf(read_yaml(read_file(str(folder / "config.json"))))
    if path.suffix == ".gguf":
        return compare_gguf(source, arch)
    return compare(source, arch, _local(path))


def compare(source: str, arch: Architecture, found: Headers) -> Verification:
    """The tensors of these headers against the architecture's."""
    stored = _unpacked(found)
    family, names = family_for(arch, stored)
    mine, further, apart = {}, {}, Counter()
    for plain, name in names.items():
        if ahead(plain, arch):
            further[plain] = stored[name]
            apart["ahead"] += stored[name].bytes
        elif family.ignored(plain):
            apart["other"] += stored[name].bytes
        else:
            mine[plain] = stored[name]
    more = _foretold(arch, family, further, names) if further else ()
    return _against(source, arch, family, mine, names, apart, more=more)


def _foretold(arch: Architecture, family, found: Mapping[str, Stored], names: Mapping[str, str]) -> list[str]:
    """How the modules that predict ahead differ from what the config.json says; their copies of the model's own tables may be
    there or not."""
    repeated = {name for _, name in mtp.copies(family, arch)}
    found = {name: one for name, one in found.items() if name not in repeated}
    modules = build_mtp(arch)
    differences, _ = _compared(arch, modules, mtp.sources(family, arch), found, names)
    return differences


def _compared(
    arch: Architecture, model: torch.nn.Module, sources: Sources, mine: Mapping[str, Stored], names: Mapping[str, str],
    types: bool = True,
) -> tuple[list[str], set[str]]:  # fmt: skip
    """What differs, and the tensors that were looked at. `names` are the checkpoint's own of the plain ones."""
    own = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
    differences, used = [], set()
    other_types: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, ways in sources:
        way = next((w for w in ways if all(name in mine for name in w.names)), None)
        if way is None:
            missing = next(name for name in ways[0].names if name not in mine)
            differences.append(f"{missing}: is missing ({path} needs it)")
            continue
        parts = [mine[name] for name in way.names]
        with torch.device("meta"):
            made = way.make(*(torch.empty(part.shape, dtype=_like(part.dtype)) for part in parts))
        if made.squeeze().shape != own[path].squeeze().shape and made.numel() != math.prod(own[path].shape):
            differences.append(
                f"{names[way.names[0]]}: has shape {parts[0].shape}, which gives {tuple(made.shape)}; the config.json says "
                f"{tuple(own[path].shape)}"
            )
        fmt = arch.format(_in_part(arch, path), tuple(own[path].shape))
        for name, part in zip(way.names, parts, strict=True):
            if types and part.dtype not in STORED.get(fmt, PACKED):
                other_types[part.dtype, fmt].append(names[name])
        used.update(way.names)
    for (dtype, fmt), which in other_types.items():
        more = f" and {len(which) - 1:,} others" if len(which) > 1 else ""
        differences.append(f"{which[0]}{more}: stored as {dtype}, where the config.json says {fmt}")
    for name in sorted({names[plain] for plain in mine.keys() - used} - {names[plain] for plain in used}):
        differences.append(f"{name}: is in the checkpoint, and nowhere in the model that the config.json builds")
    return differences, used


def _against(
    source: str, arch: Architecture, family, mine: Mapping[str, Stored], names: Mapping[str, str], apart: Mapping[str, int],
    types: bool = True, more: Sequence[str] = (),
) -> Verification:  # fmt: skip
    model = build(arch)
    differences, used = _compared(arch, model, family.sources(arch), mine, names, types)
    parameters = sum(p.numel() for p in model.parameters())
    buffers = sum(b.numel() for b in model.buffers())
    held = sum(
        math.prod(mine[n].shape) * (2 if n.endswith("_blocks") else 1) for n in used if not n.endswith("_scales")
    )
    own = dict(model.named_parameters()) | dict(model.named_buffers())  # each once
    return Verification(
        source, arch, len(used), held - buffers, parameters, sum(mine[name].bytes for name in used), _bytes(arch, own),
        dict(apart), (*differences, *more),
    )  # fmt: skip


def _bytes(arch: Architecture, own: Mapping[str, torch.Tensor]) -> int:
    """What these tensors take in their stored formats."""
    shapes = ((_in_part(arch, path), tuple(tensor.shape)) for path, tensor in own.items())
    return sum(FORMATS[arch.format(path, shape)].bytes(shape) for path, shape in shapes)


def _in_part(arch: Architecture, path: str) -> str:
    """The path that `precision` knows a parameter by: layers.3.moe.router.weight -> moe.router.weight."""
    if path.endswith(".join.weight"):
        return "mtp.join.weight"
    inner = re.sub(r"^(layers\.\d+|\d+(\.block)?)\.", "", path)
    name = inner.split(".")[0]
    if (inner == path and name != "merge") or name in arch.parts:
        return inner
    plain = re.sub(r"_\d+$", "", name)
    if name == "merge" or name.endswith(("_read", "_add")):
        return f"streams.{inner}"
    return inner.replace(name, plain, 1) if plain in arch.parts else f"norm.{inner}"


# ---- what a file's tensors are ----


def _unpacked(found: Headers) -> dict[str, Stored]:
    """Tensors as a plain checkpoint names and shapes them; what stands beside a matrix counts among its bytes."""
    matrices: dict[str, Stored] = {}
    beside: Counter[str] = Counter()
    for name, (dtype, shape) in found.items():
        size = math.ceil(math.prod(shape) * BITS.get(dtype, 8) / 8)
        if owner := _owner(name, found):
            beside[owner] += size
        else:
            plain, shape = _plain(name, dtype, shape, found)
            matrices[plain] = Stored(dtype, shape, size)
    return {
        name: Stored(one.dtype, one.shape, one.bytes + beside[name]) if name in beside else one
        for name, one in matrices.items()
    }


def _owner(name: str, found: Headers) -> str | None:
    """The matrix that a tensor stands beside; None for one that stands for itself."""
    suffix = next((suffix for suffix in BESIDE if name.endswith(suffix)), None)
    owner = suffix and name.removesuffix(suffix) + (".weight" if suffix.startswith(".") else "")
    alone = suffix in ("_scale", ".scale") and owner not in found  # a parameter that is called so
    return None if alone else owner


def _plain(name: str, dtype: str, shape: tuple[int, ...], found: Headers) -> tuple[str, tuple[int, ...]]:
    """A packed matrix's plain name and shape (out, in)."""
    base, _, leaf = name.rpartition(".")
    if leaf == "weight_packed":
        values = 2 if dtype == "U8" else _values(base, shape, found)
        return f"{base}.weight", (*shape[:-1], shape[-1] * values)
    if leaf == "qweight" and len(shape) == 2:
        scales = found.get(f"{base}.scales", ("", (1, shape[1])))[1]  # (groups, out) in both methods
        rows, columns = shape
        return f"{base}.weight", (
            scales[1],
            rows * columns * 32 // (scales[1] * _bits(base, shape, found)) if scales[1] else 0,
        )
    if leaf == "weight" and dtype == "U8" and f"{name}_scale" in found and len(shape) > 1:
        return name, (*shape[:-1], 2 * shape[-1])
    if leaf == "weight" and dtype == "I8" and f"{base}.scale" in found:  # DeepSeek-V4's pairs of four bits
        return name, (*shape[:-1], 2 * shape[-1])
    if leaf == "weight" and dtype == "U8":  # bitsandbytes: a column of pairs
        return name, (2 * math.prod(shape),)
    return name, shape


def _values(base: str, shape: tuple[int, ...], found: Headers) -> int:
    """Values in one 32-bit number: eight of four bits, unless the scales say four of eight."""
    scales = found.get(f"{base}.weight_scale", ("", (1, 1)))[1]
    return 4 if scales[-1] == 1 else 8


def _bits(base: str, shape: tuple[int, ...], found: Headers) -> int:
    """Bits of a value: zero points hold as many as fit a number for each group and column."""
    zeros, scales = found.get(f"{base}.qzeros"), found.get(f"{base}.scales")
    return 32 * zeros[1][1] // scales[1][1] or 4 if zeros and scales and scales[1][1] else 4


def _like(dtype: str) -> torch.dtype:
    return {"U8": torch.uint8, "I32": torch.int32}.get(dtype, torch.float32)


def _local(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    from safetensors import SafetensorError, safe_open

    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        raise Unsupported(f"{path}: holds no safetensors files")
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
                found |= {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}
        except (OSError, SafetensorError) as error:
            raise Unsupported(f"{file}: cannot be read ({str(error)[:200]})") from None
    return found


# ---- GGUF ----


def compare_gguf(source: str, arch: Architecture) -> Verification:
    """A GGUF file's tensors against the architecture's, by llama.cpp's names for them; its types are the file's own."""
    import gguf

    try:
        reader = gguf.GGUFReader(source)
        kind = next(
            k for k, name in gguf.MODEL_ARCH_NAMES.items() if name == reader.fields["general.architecture"].contents()
        )
    except (OSError, ValueError, KeyError, IndexError, StopIteration) as error:
        raise Unsupported(f"{source}: is no GGUF file of a known architecture ({str(error)[:200]})") from None
    tensors = {
        t.name: Stored(t.tensor_type.name, tuple(map(int, reversed(t.shape))), int(t.n_bytes)) for t in reader.tensors
    }
    family, _ = family_for(arch, {})
    known = gguf.get_tensor_name_map(kind, arch.depth)
    mine, names = {}, {}
    for plain in {name for _, ways in family.sources(arch) for way in ways for name in way.names}:
        theirs, expert = _in_gguf(plain, known)
        if theirs in tensors:
            one = tensors[theirs]
            share = one.shape[0] if expert else 1
            mine[plain] = Stored(one.dtype, one.shape[1:] if expert else one.shape, one.bytes // share)
            names[plain] = theirs
    left = sum(t.bytes for name, t in tensors.items() if name not in names.values() and name.startswith("rope_"))
    for name in tensors.keys() - set(names.values()):
        if not name.startswith("rope_"):
            mine[name], names[name] = tensors[name], name
    return _against(source, arch, family, mine, names, {"other": left} if left else {}, types=False)


def _in_gguf(plain: str, known) -> tuple[str | None, bool]:
    """llama.cpp's name for a tensor, and whether it is one expert's share of a stacked one."""
    name = re.sub(r"(\.experts)\.\d+\.", r"\1.", plain)
    tried = (name, f"model.{name}", name.removesuffix("_bias"), name.removesuffix("_bias") + ".bias")
    found = (known.get_name(one, try_suffixes=(".weight", ".bias")) for one in tried)
    return next((one for one in found if one), None), name != plain
