"""A checkpoint compared with the model that its config.json builds, using only the headers of its files.

Every parameter is looked up under the names in its family's checkpoints. Its shape, after unpacking and unstacking,
and its stored type are compared with ours. Differences are listed tensor by tensor.
"""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from .hf import ahead, family_for, from_hf
from .hf.weights import mtp
from .hf.weights.checkpoint import Checkpoint, Sources
from .hf.weights.tensors import in_part, layer_of, stored_bytes
from .hub import config, headers, is_name
from .library import load
from .model import build, build_mtp, shapes
from .parts.base import Shape
from .precision import FORMATS
from .reading import is_gguf
from .spec import Architecture, Unsupported

Headers = Mapping[str, tuple[str, tuple[int, ...]]]  # a tensor's name -> its stored type and shape

BITS = {
    "C64": 64, "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16,
    "U8": 8, "BOOL": 8,
}  # fmt: skip
STORED = {  # a format of the spec -> the types that a file may hold its values in
    "fp32": {"F32"}, "bf16": {"BF16"}, "fp16": {"F16"}, "fp8": {"F8_E4M3"}, "fp8_block": {"F8_E4M3"}, "fp8_ue8m0": {"F8_E4M3"},
    "fp8_row": {"F8_E4M3"},
    "int64": {"I64"}, "mxfp4": {"U8", "I8", "F4"}, "nvfp4": {"U8", "F4"}, "nf4": {"U8"},
    "nf4_fp32": {"U8"}, "int8": {"I8"}, "ternary": {"U8"},
}  # fmt: skip
PACKED = {"I32"}  # the integer formats: eight values of four bits, or four of eight, in one number
# Tensors beside a matrix in a narrow format: scales, zero points, the order of its groups, its packing.
SCALES = (
    ".weight_scale_inv", ".weight_scale", ".scales", ".SCB", ".weight.absmax", "_scale_inv", "_scale", ".scale",
)  # fmt: skip
_FP8 = (".weight_scale_inv", "_scale_inv", ".weight_scale", "_scale", ".scale")
_SCALED = dict.fromkeys(("fp8", "fp8_block", "fp8_ue8m0", "fp8_row"), _FP8) | {
    "int8": (".weight_scale", ".SCB"),
    "mxfp4": (".weight_scale", "_scale", ".scale"),
    "nvfp4": (".weight_scale", "_scale"),
    "nf4": (".weight.absmax",),
    "nf4_fp32": (".weight.absmax",),
    "ternary": (".weight_scale",),
}  # fmt: skip - names of the scales of a format; grouped integers have .weight_scale or .scales
_BLOCKS = {"nf4": "U8", "nf4_fp32": "F32"}  # bitsandbytes' formats of four bits, and the type of their scales
_WIDE = {"F32", "BF16", "F16"}  # types of a scale that is not narrow itself
_ONCE = {  # tensors that exist once per matrix -> the formats that have them
    ".input_scale": ("fp8", "fp8_block", "fp8_row", "int8", "nvfp4"), ".activation_scale": ("fp8", "fp8_block"),
    ".input_global_scale": ("nvfp4",), ".weight_global_scale": ("nvfp4",), ".weight_scale_2": ("nvfp4",), ".weight_format": ("int8",),
}  # fmt: skip
ONE = tuple(_ONCE)
ZEROS = (".qzeros", ".weight_zero_point")
ORDER = (".g_idx", ".weight_g_idx")
STATE = (
    ".weight.quant_map", ".weight.nested_absmax", ".weight.nested_quant_map", ".weight.quant_state.bitsandbytes__nf4",
    ".weight.quant_state.bitsandbytes__fp4",
)  # fmt: skip
BESIDE = sorted((*SCALES, *ONE, *ZEROS, *ORDER, *STATE, ".weight_shape"), key=len, reverse=True)
MOST_VALUES = 2**59  # in one tensor, so that its bytes do not overflow


@dataclass(frozen=True)
class Stored:
    """One tensor of a checkpoint in the form of the model: its type, its unpacked shape, all its bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int
    beside: tuple[tuple[str, str, str, tuple[int, ...]], ...] = ()  # (name, suffix, type, shape) of the tensors beside it
    flat: bool = False  # the header has no shape for it, only its number of values
    unknown: bool = False  # its packing is not known: only its presence is checked


@dataclass(frozen=True)
class Verification:
    """The content of a checkpoint compared with its architecture. `exact` if nothing differs."""

    source: str
    architecture: Architecture = field(repr=False)
    tensors: int  # number of the model's own tensors in the file
    parameters: int | None  # their values, packed ones unpacked, tied ones once; None if the packing is not known
    expected_parameters: int
    bytes: int
    expected_bytes: int | None  # None if the architecture is `unsized`
    apart: dict[str, int]  # bytes outside the compared model: multi-token prediction, vision
    differences: tuple[str, ...]
    against: str = "config.json"  # what the tensors were compared with; a GGUF file's own header says it too

    @property
    def exact(self) -> bool:
        return not self.differences

    @property
    def verdict(self) -> str:
        if self.exact and self.architecture.unsized:
            return f"all {self.tensors:,} tensors exist, with the right shapes if these are known; stored types are not compared"
        if self.exact:
            return f"all {self.tensors:,} tensors match the {self.against}: names, shapes and stored types"
        many = len(self.differences)
        return f"{many:,} {'things differ' if many > 1 else 'thing differs'} from the {self.against}"

    def to_dict(self) -> dict:
        names = ("source", "tensors", "parameters", "expected_parameters", "bytes", "expected_bytes", "apart", "exact")
        return {name: getattr(self, name) for name in names} | {"differences": list(self.differences)}


def verify(source: str | Path, arch: Architecture | None = None) -> Verification:
    """Compare a checkpoint's headers with the model that its config.json builds.

    `source` is `hf:organisation/model`, a folder of safetensors files with its config.json, a .safetensors file, or a .gguf file,
    whose header describes its model; `arch` is what to compare with instead. Raises Unsupported for input that cannot be read.
    """
    source = str(source)
    if is_name(source):
        return compare(source, arch or from_hf(config(source)), headers(source))
    path = Path(source)
    if not os.path.exists(source):
        raise Unsupported(f"{source[:200]}: is not a folder, a file or hf:organisation/model; give one of them")
    if path.suffix.lower() == ".gguf" or is_gguf(source):
        return compare_gguf(source, arch)
    folder = path if path.is_dir() else path.parent
    if arch is None:
        if not (folder / "config.json").exists():
            raise Unsupported(f"{source[:200]}: has no config.json beside it; give its architecture")
        arch = load(folder / "config.json")
    checkpoint = Checkpoint(path)
    return compare(source, arch, checkpoint.headers(), checkpoint.misplaced)


def compare(source: str, arch: Architecture, found: Headers, misplaced: Sequence[str] = ()) -> Verification:
    """Compare the tensors of these headers with those of the architecture; `misplaced` are sentences on what an index says of them."""
    _check(found)
    found, wrapped = _unwrapped(source, found)
    stored = _as_they_are(found) if arch.unsized else _unpacked(found, "ternary" in arch.precision.values())
    family, names = family_for(arch, stored)
    if twice := sorted(stored.keys() - set(names.values())):
        raise Unsupported(f"{twice[0]}: the checkpoint has this tensor twice, with different prefixes of its name")
    mine, further = {}, {}
    apart: Counter[str] = Counter()
    for plain, name in names.items():
        if ahead(plain, arch):
            further[plain] = stored[name]
            apart["ahead"] += stored[name].bytes
        elif family.ignored(plain):
            apart["other"] += stored[name].bytes
        else:
            mine[plain] = stored[name]
    more = [*misplaced, *wrapped, *(_foretold(arch, family, further, names) if further else ())]
    return _against(source, arch, family, mine, names, apart, more=more)


_AROUND = {  # prefix of all names if a model was saved inside another -> what the other is
    "base_model.model.": "PEFT", "module.": "DistributedDataParallel", "_orig_mod.": "torch.compile",
}  # fmt: skip


def _unwrapped(source: str, found: Headers) -> tuple[Headers, list[str]]:
    """The headers without a common prefix of all names, and a sentence about it."""
    begins = ""
    while begin := next((one for one in _AROUND if found and all(n.startswith(begins + one) for n in found)), None):
        begins += begin
        if begin == "base_model.model." and any(".lora_" in name or ".base_layer." in name for name in found):
            raise Unsupported(f"{source}: holds a PEFT adapter, not a whole model; merge it (merge_and_unload) and save the result")
    if not begins:
        return found, []
    who = " and ".join(words for one, words in _AROUND.items() if one in begins)
    said = f"every tensor's name begins with {begins}, which {who} adds; save the inner model"
    return {name.removeprefix(begins): one for name, one in found.items()}, [said]


def _foretold(arch: Architecture, family, found: Mapping[str, Stored], names: Mapping[str, str]) -> list[str]:
    """Differences between the multi-token-prediction modules and the config.json; their copies of the model's own tables are
    optional."""
    repeated = {name for _, name in mtp.copies(family, arch)}
    found = {name: one for name, one in found.items() if name not in repeated}
    modules = build_mtp(arch)
    differences, _ = _compared(arch, modules, mtp.sources(family, arch), found, names)
    return differences


def _compared(
    arch: Architecture, model: torch.nn.Module, sources: Sources, mine: Mapping[str, Stored], names: Mapping[str, str]
) -> tuple[list[str], set[str]]:
    """The differences, and the tensors that were compared. `names` maps plain names to the checkpoint's."""
    own = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
    differences: list[str] = []
    used: set[str] = set()
    other_types: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, ways in sources:
        way = next((w for w in ways if all(name in mine for name in w.names)), None)
        if way is None:
            missing = next(name for name in ways[0].names if name not in mine)
            differences.append(f"{missing}: is missing ({path} needs it)")
            continue
        parts = [mine[name] for name in way.names]
        if any(part.unknown for part in parts):
            used.update(way.names)
            continue
        wanted = tuple(own[path].shape)
        try:
            with torch.device("meta"):
                made = way.made(*(torch.empty(part.shape, dtype=_like(part.dtype)) for part in parts))
            if not _alike(tuple(made.shape), wanted, any(part.flat for part in parts)):
                differences.append(
                    f"{names[way.names[0]]}: has shape {parts[0].shape}, which gives {tuple(made.shape)}; the config.json says {wanted}"
                )
        except Unsupported as error:
            differences.append(f"{names[way.names[0]]}: {error}; the config.json says {wanted}")
        fmt = arch.format(in_part(arch, path), wanted, layer=layer_of(path))
        for name, part in zip(way.names, parts, strict=True):
            if name in used or arch.unsized:
                continue
            if part.dtype not in STORED.get(fmt, PACKED):
                other_types[part.dtype, fmt].append(names[name])
            elif _unscaled(name, part, fmt):
                differences.append(f"{names[name]}: is stored as {fmt}, but the scales of its blocks are missing")
            for beside, ending, dtype, shape in part.beside:
                if not _belongs(ending, dtype, shape, part.shape, fmt):
                    differences.append(
                        f"{beside}: has shape {shape} of {dtype}, and belongs to {part.shape} in {fmt}, which has no such tensor"
                    )
            scales = [beside for beside, ending, *_ in part.beside if ending in SCALES]
            differences += [f"{beside}: exists beside {scales[0]}; a matrix has its scales only once" for beside in scales[1:]]
        used.update(way.names)
    for (dtype, fmt), which in other_types.items():
        more = f" and {len(which) - 1:,} others" if len(which) > 1 else ""
        differences.append(f"{which[0]}{more}: stored as {dtype}, but the config.json says {fmt}")
    for name in sorted({names[plain] for plain in mine.keys() - used} - {names[plain] for plain in used}):
        differences.append(f"{name}: is in the checkpoint, but not in the model that the config.json builds")
    return differences, used


def _alike(made: tuple[int, ...], wanted: tuple[int, ...], flat: bool) -> bool:
    return math.prod(made) == math.prod(wanted) if flat else made == wanted


def _unscaled(name: str, one: Stored, fmt: str) -> bool:
    own = name.endswith(("_blocks", "_scales"))  # gpt-oss's, which are sources themselves
    return bool(FORMATS[fmt].block) and not own and not any(ending in SCALES for _, ending, *_ in one.beside)


def _belongs(ending: str, dtype: str, shape: tuple[int, ...], matrix: tuple[int, ...], fmt: str) -> bool:
    """Whether a tensor with this suffix, type and shape belongs to a matrix in this format, as published tools write it."""
    block = FORMATS[fmt].block
    if not FORMATS[fmt].matrices_only or len(matrix) < max(len(block), 1 if fmt in _BLOCKS else 2) or 0 in matrix:
        return False
    lead, rows, columns = matrix[:-2], math.prod(matrix[-2:-1]), matrix[-1]
    grouped = fmt.startswith(("int4", "uint4", "int8_g"))
    one = {lead, (*lead, 1), (*lead, 1, 1)} if lead else {(), (1,)}
    row = {(*lead, rows), (*lead, rows, 1)} | ({(*lead, 1, columns)} if lead else set())  # stacked matrices may be transposed
    split = len(matrix) - len(block)
    grid = (*matrix[:split], *(-(-n // (b or n)) for n, b in zip(matrix[split:], block, strict=True)))
    if ending in SCALES:
        if ending not in _SCALED.get(fmt, (".weight_scale", ".scales") if grouped else ()):
            return False
        types = {"F8_E8M0", "U8"} if fmt in ("fp8_ue8m0", "mxfp4") else {"F8_E4M3"} if fmt == "nvfp4" else _WIDE
        match fmt:
            case "nf4" | "nf4_fp32":
                return dtype == _BLOCKS[fmt] and shape == grid
            case "fp8" | "ternary":
                shapes = one
            case "int8":
                shapes = one | row
            case "fp8_row":
                shapes = row
            case _:
                shapes = {grid, (*lead, grid[-1], rows)} if grouped else {grid}
        return dtype in types and shape in shapes
    if ending in ONE:
        return fmt in _ONCE[ending] and shape in one and dtype in ({"U8"} if ending == ".weight_format" else _WIDE)
    if fmt in _BLOCKS and ending in STATE:
        if "nested" in ending and fmt != "nf4":
            return False
        if "quant_state" in ending:
            return dtype == "U8" and len(shape) == 1 and shape[0] <= 1_024
        sizes = {".weight.quant_map": 16, ".weight.nested_quant_map": 256}
        return dtype == "F32" and shape == (sizes.get(ending, -(-math.prod(grid) // 256)),)
    if ending == ".weight_shape":
        return grouped and dtype in ("I32", "I64") and shape == (len(matrix),)
    if grouped and ending in ORDER:
        return dtype == "I32" and shape == (columns,)
    if grouped and ending in ZEROS:  # one per number, or packed along either dimension
        groups, packed = grid[-1], [-(-n * FORMATS[fmt].bits // 32) for n in (rows, grid[-1])]
        whole = {(*lead, rows, groups), (*lead, groups, rows)}
        narrow = {(*lead, packed[0], groups), (*lead, groups, packed[0]), (*lead, rows, packed[1])}
        return dtype in ("I8", "U8", "I32") and shape in whole or dtype == "I32" and shape in narrow
    return fmt == "int8" and ending in ZEROS and dtype == "I8" and shape in one | row


def _against(
    source: str, arch: Architecture, family, mine: Mapping[str, Stored], names: Mapping[str, str], apart: Mapping[str, int],
    more: Sequence[str] = (),
) -> Verification:  # fmt: skip
    model = build(arch)
    differences, used = _compared(arch, model, family.sources(arch), mine, names)
    parameters = sum(p.numel() for p in model.parameters())
    buffers = sum(b.numel() for b in model.buffers())
    held = sum(math.prod(mine[n].shape) * (2 if n.endswith("_blocks") else 1) for n in used if not n.endswith("_scales"))
    own = {path: tuple(tensor.shape) for path, tensor in (*model.named_parameters(), *model.named_buffers())}  # each once
    known = not any(mine[name].unknown for name in used)
    return Verification(
        source, arch, len(used), held - buffers if known else None, parameters, sum(mine[name].bytes for name in used),
        None if arch.unsized else _bytes(arch, own),
        dict(apart), (*differences, *more),
    )  # fmt: skip


def _bytes(arch: Architecture, own: Mapping[str, Shape]) -> int:
    """Bytes of these tensors in their stored formats."""
    return sum(stored_bytes(arch, path, shape) for path, shape in own.items())


# ---- the tensors of a file ----


def _check(found: Headers) -> None:
    """Refuse headers that no real file has, before anything uses their values."""
    for name, (dtype, shape) in found.items():
        said = f"{name[:200]!r}" if isinstance(name, str) else "a tensor"
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 1_000:
            raise Unsupported(f"{said}: is not a tensor's name; give the headers of a checkpoint")
        if not isinstance(dtype, str) or dtype not in BITS:
            raise Unsupported(f"{name}: is stored as {str(dtype)[:40]!r}, which is not a safetensors type")
        if len(shape) > 8 or not all(type(n) is int and n >= 0 for n in shape):
            raise Unsupported(f"{name}: has shape {str(shape)[:80]}, which is not a shape; give at most 8 whole numbers from 0")
        if math.prod(max(n, 1) for n in shape) > MOST_VALUES:
            raise Unsupported(f"{name}: has shape {str(shape)[:80]}, which is more values than any file holds")


def _unpacked(found: Headers, ternary: bool) -> dict[str, Stored]:
    """Tensors with the names and shapes of a plain checkpoint; the bytes of a matrix include those of the tensors beside it."""
    matrices: dict[str, Stored] = {}
    some = tuple(BESIDE)
    ending = {name: next(one for one in some if name.endswith(one)) if name.endswith(some) else "" for name in found}
    for name in (name for name in found if not ending[name]):
        dtype, shape = found[name]
        plain, unpacked, flat = _plain(name, dtype, shape, found, ternary)
        if plain in matrices:
            raise Unsupported(f"{name}: the checkpoint has this matrix twice, packed and not, or packed in two ways")
        matrices[plain] = Stored(dtype, unpacked, _size(dtype, shape), flat=flat)
    beside, alone = defaultdict(list), {}
    for name in (name for name in found if ending[name]):
        dtype, shape = found[name]
        owner = name.removesuffix(ending[name]) + (".weight" if ending[name].startswith(".") else "")
        if owner in matrices:
            beside[owner].append((name, ending[name], dtype, shape))
        else:  # a parameter with this name, or a stray tensor
            alone[name] = Stored(dtype, shape, _size(dtype, shape))
    for owner, those in beside.items():
        one = matrices[owner]
        size = one.bytes + sum(_size(*found[name]) for name, *_ in those)
        matrices[owner] = replace(one, bytes=size, beside=tuple(those))
    return matrices | alone


def _as_they_are(found: Headers) -> dict[str, Stored]:
    """Tensors of a checkpoint whose packing is not known: a module with a packed tensor has its weight, whatever other
    tensors belong to it; the others are taken unchanged."""
    packed = {name.rpartition(".")[0] for name, (dtype, _) in found.items() if dtype not in ("F64", "F32", "BF16", "F16")}
    out: dict[str, Stored] = {}
    for name, (dtype, shape) in found.items():
        base, _, leaf = name.rpartition(".")
        one = Stored(dtype, shape, _size(dtype, shape))
        if base in packed and leaf != "bias":
            before = out.get(f"{base}.weight")
            out[f"{base}.weight"] = replace(one, bytes=one.bytes + (before.bytes if before else 0), unknown=True)
        else:
            out[name] = one
    return out


def _size(dtype: str, shape: tuple[int, ...]) -> int:
    return math.ceil(math.prod(shape) * BITS[dtype] / 8)


def _plain(name: str, dtype: str, shape: tuple[int, ...], found: Headers, ternary: bool) -> tuple[str, tuple[int, ...], bool]:
    """A packed matrix's plain name and shape (out, in), and whether the shape is flat."""
    base, _, leaf = name.rpartition(".")
    packed = leaf in ("weight_packed", "qweight") or leaf == "weight" and dtype in ("U8", "I8")
    if packed and not shape:
        raise Unsupported(f"{name}: is a packed matrix without dimensions")
    if leaf == "weight_packed":
        values = 2 if dtype == "U8" else _values(base, found)
        return f"{base}.weight", (*shape[:-1], shape[-1] * values), False
    if leaf == "qweight":
        return f"{base}.weight", _columns(base, shape, found), False
    if leaf == "weight" and dtype == "U8" and ternary and f"{name}_scale" in found:  # BitNet: four rows in one byte
        return name, (4 * shape[0], *shape[1:]), False
    if leaf == "weight" and dtype == "U8" and f"{name}_scale" in found and len(shape) > 1:
        return name, (*shape[:-1], 2 * shape[-1]), False
    if leaf == "weight" and dtype == "I8" and f"{base}.scale" in found:  # DeepSeek-V4: two 4-bit values in a byte
        return name, (*shape[:-1], 2 * shape[-1]), False
    if leaf == "weight" and dtype == "U8":  # bitsandbytes: one column, two values in a byte
        return name, (2 * math.prod(shape),), True
    return name, shape, False


def _values(base: str, found: Headers) -> int:
    """Values in one 32-bit number: eight of 4 bits, or four of 8 bits if the scales say so."""
    scales = _beside_of(base, "weight_scale", found, range(1, 9)) or (0,)
    return 4 if scales[-1] == 1 else 8


def _columns(base: str, shape: tuple[int, ...], found: Headers) -> tuple[int, int]:
    """(out, in) of a matrix in AWQ's or GPTQ's packing: scales are (groups, out) in both, and zero points are packed in
    32-bit numbers for each group and column."""
    if len(shape) != 2:
        raise Unsupported(f"{base}.qweight: has shape {shape}; a packed matrix has two dimensions")
    groups, out = _beside_of(base, "scales", found, (2,)) or (1, shape[1])
    zeros = _beside_of(base, "qzeros", found, (2,)) or (groups, out // 8)
    if not groups or not out or zeros[0] != groups or not zeros[1] or 32 * zeros[1] // out not in (2, 3, 4, 8):
        raise Unsupported(f"{base}.qweight: scales of shape {(groups, out)} and zero points of {zeros} do not match")
    return out, math.prod(shape) * 32 // (out * (32 * zeros[1] // out))


def _beside_of(base: str, leaf: str, found: Headers, ranks: Collection[int]) -> tuple[int, ...] | None:
    """The shape of a tensor beside a packed matrix; None if there is none."""
    if (name := f"{base}.{leaf}") not in found:
        return None
    shape = found[name][1]
    if len(shape) not in ranks:
        raise Unsupported(f"{name}: has shape {shape}, which is not possible beside a packed matrix")
    return shape


def _like(dtype: str) -> torch.dtype:
    return {"U8": torch.uint8, "I32": torch.int32}.get(dtype, torch.float32)


# ---- GGUF ----


def compare_gguf(source: str, arch: Architecture | None = None) -> Verification:
    """Compare a GGUF file's tensors with the architecture that its header describes, or with another one, by llama.cpp's names."""
    from .hf.gguf import File, opened, read

    header = read(source)
    _language(source, header.arch)
    file = opened(header) if arch is None else File(header, arch)
    given, arch = arch, file.stored() if arch is None else arch
    parameters, buffers = (sum(map(math.prod, some.values())) for some in shapes(arch))
    held = sum(math.prod(file.header.tensors[name].shape) for name in file.used)
    return Verification(
        source, arch, len(file.used), held - buffers, parameters, file.bytes, None if arch.unsized else _bytes(arch, file.parameters),
        file.apart, (*file.differences, *(_other_kind(file.header.arch, given) if given else ())), "config.json" if given else "header",
    )  # fmt: skip


def _language(source: str, said: str) -> None:
    from gguf import MODEL_ARCH_NAMES

    if said in ("clip", "mmproj"):
        raise Unsupported(f"{source}: is the vision or audio encoder of a language model (mmproj); give the language model's GGUF file")
    if said not in MODEL_ARCH_NAMES.values():
        raise Unsupported(f"{source}: is of {said[:40]!r}, which is not an architecture that llama.cpp names")


def _other_kind(said: str, arch: Architecture) -> list[str]:
    """A difference if llama.cpp has a name for the config.json's model_type, and the file has another name."""
    from gguf import MODEL_ARCH_NAMES

    plain, own = said.translate(_DASHES), (arch.model_type or "").translate(_DASHES)
    known = {name.translate(_DASHES) for name in MODEL_ARCH_NAMES.values()}
    if own not in known or plain.startswith(own) or own.startswith(plain):
        return []
    return [f"general.architecture: is {said!r}, but the config.json says {arch.model_type}"]


_DASHES = str.maketrans("", "", "-_")
