"""Formats that weights and caches are stored in, with their scales."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

FormatName = Literal[
    "fp32", "bf16", "fp16", "fp8", "fp8_block", "fp8_ue8m0", "fp8_row", "int8", "int8_g128", "q8_0", "int4", "int4_g64", "int4_g128",
    "uint4_g32", "uint4_g64", "uint4_g128", "mxfp4", "nvfp4", "nf4", "nf4_fp32", "ternary", "int64",
    "q4_1", "q5_0", "q5_1", "q2_K", "q3_K", "q4_K", "q5_K", "q6_K", "iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s",
    "iq4_xs", "tq1_0", "tq2_0",
]  # fmt: skip


@dataclass(frozen=True)
class Format:
    """`bits` per value; blocks of the last dimensions (0: the whole dimension) share one scale of `scale_bits`."""

    bits: int
    block: tuple[int, ...] = ()
    scale_bits: int = 0
    source: str = ""
    offered: bool = True  # for a whole model; others are formats of single matrices in files

    @property
    def matrices_only(self) -> bool:
        """Formats narrower than 16 bits hold matrices; norms and biases keep a wider format."""
        return self.bits < 16

    def bytes(self, shape: Sequence[int]) -> int:
        """Bytes of one tensor, its scales included."""
        return math.ceil(math.prod(shape) * self.bits / 8) + self.scale_bytes(shape)

    def scale_bytes(self, shape: Sequence[int]) -> int:
        """Bytes of the scales alone."""
        return math.ceil(self.scales(shape) * self.scale_bits / 8) if self.scale_bits else 0

    def scales(self, shape: Sequence[int]) -> int:
        """The number of scales; stacked leading dimensions are separate matrices."""
        lead, last = shape[: len(shape) - len(self.block)], shape[len(shape) - len(self.block) :]
        return math.prod(lead) * math.prod(math.ceil(n / (b or n)) for n, b in zip(last, self.block, strict=True))


FORMATS: dict[str, Format] = {
    "fp32": Format(32),
    "bf16": Format(16),
    "fp16": Format(16),
    "fp8": Format(8, source="OCP OFP8; one scale a tensor, not counted"),
    "fp8_block": Format(8, (128, 128), 32, "DeepSeek-V3, arXiv:2412.19437, section 3.3"),
    "fp8_ue8m0": Format(8, (128, 128), 8, "the same with scales that are powers of two, a byte each (DeepSeek-V4)"),
    "fp8_row": Format(8, (1, 0), 32, "one scale a row, as Llama 3.1 405B's fp8 has it (FBGEMM)"),
    "int8": Format(8, source="one scale a row, not counted"),
    "int8_g128": Format(8, (128,), 24, "GPTQ: groups of 128 with a 16-bit scale and a zero point"),
    "q8_0": Format(8, (32,), 16, "llama.cpp: blocks of 32 with a 16-bit scale; its q4_0 is int4 here"),
    "int4": Format(4, (32,), 16, "groups of 32 with a bf16 scale, as Kimi K2 ships it"),
    "int4_g64": Format(4, (64,), 16, "groups of 64 with a 16-bit scale"),
    "int4_g128": Format(4, (128,), 16, "groups of 128 with a 16-bit scale"),
    "uint4_g32": Format(4, (32,), 20, "AWQ, GPTQ: groups of 32 with a 16-bit scale and a zero point"),
    "uint4_g64": Format(4, (64,), 20, "AWQ, GPTQ: groups of 64 with a 16-bit scale and a zero point"),
    "uint4_g128": Format(4, (128,), 20, "AWQ, GPTQ: groups of 128 with a 16-bit scale and a zero point"),
    "mxfp4": Format(4, (32,), 8, "OCP Microscaling Formats (MX) v1.0"),
    "nvfp4": Format(4, (16,), 8, "blocks of 16 with an fp8 scale"),
    "int64": Format(64, source="tables of indices"),
    "ternary": Format(2, source="BitNet b1.58, arXiv:2504.12285: -1, 0 and 1, four to a byte; one scale a matrix, not counted"),
    "nf4": Format(4, (64,), 8, "QLoRA, arXiv:2305.14314: blocks of 64 with a scale that is quantised itself"),
    "nf4_fp32": Format(4, (64,), 32, "bitsandbytes without double quantisation: blocks of 64 with a 32-bit scale"),
    "q4_1": Format(4, (32,), 32, "llama.cpp: blocks of 32 with a 16-bit scale and a 16-bit minimum", False),
    "q5_0": Format(5, (32,), 16, "llama.cpp: blocks of 32 with a 16-bit scale", False),
    "q5_1": Format(5, (32,), 32, "llama.cpp: blocks of 32 with a 16-bit scale and a 16-bit minimum", False),
} | {
    name: Format(bits, (256,), beside, f"llama.cpp: blocks of 256 with {beside} bits of scales and the rest", False)
    for name, bits, beside in (
        ("q2_K", 2, 160), ("q3_K", 3, 112), ("q4_K", 4, 128), ("q5_K", 5, 128), ("q6_K", 6, 144), ("iq1_s", 1, 144), ("iq1_m", 1, 192),
        ("iq2_xxs", 2, 16), ("iq2_xs", 2, 80), ("iq2_s", 2, 144), ("iq3_xxs", 3, 16), ("iq3_s", 3, 112), ("iq4_xs", 4, 64),
        ("tq1_0", 1, 176), ("tq2_0", 2, 16),
    )
}  # fmt: skip
assert set(FORMATS) == set(get_args(FormatName))
OFFERED = [name for name, fmt in FORMATS.items() if fmt.offered]
CACHE_FORMATS = [
    name for name in OFFERED if len(FORMATS[name].block) < 2 and FORMATS[name].bits <= 32
]  # a token's values have no second dimension


# ---- paths of `precision`: a part's name and a module path in it, and after an @ the layers, if only some are meant ----


def root(path: str) -> str:
    """The part or the module around the layers: attention.v@0-3,7 -> attention."""
    return re.split("[.@]", path, maxsplit=1)[0]


def at_layers(path: str) -> tuple[str, frozenset[int] | None]:
    """A path without its layers, and those: attention.v@0-3,7 -> attention.v, {0, 1, 2, 3, 7}. None if all are meant."""
    module, at, words = path.partition("@")
    if not at:
        return path, None
    found: set[int] = set()
    for run in words.split(","):
        first, _, last = run.partition("-")
        if not run.replace("-", "", 1).isdecimal() or not first or int(last or first) < int(first):
            raise ValueError(f"{path[:80]}: give layers from 0, such as {module[:40]}@0-3,7")
        found |= set(range(int(first), int(last or first) + 1))
    return module, frozenset(found)


def in_layers(path: str, layers: Iterable[int]) -> str:
    """The path of these layers alone, in the shortest form."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return f"{path}@{','.join(str(a) if a == b else f'{a}-{b}' for a, b in runs)}"
