"""What is left of a matrix that was stored in a narrow format."""

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import FORMATS, FormatName
from .spec import Unsupported

_WIDE = {"bf16": torch.bfloat16, "fp16": torch.float16}
_GGML = {"q8_0": "Q8_0", "int4": "Q4_0", "q4_1": "Q4_1", "q5_0": "Q5_0", "q5_1": "Q5_1", "mxfp4": "MXFP4"}
ROUNDED = ("bf16", "fp16", "fp8", "fp8_block", "fp8_row", "int8", *_GGML)


def rounded(matrix: Tensor, name: FormatName) -> Tensor:
    """A matrix (out, in) as it is read back from the format of this name, in float32. Formats of blocks of 32 are rounded as llama.cpp
    does it; fp8 is E4M3 with its largest value at each block's largest. Unsupported for other formats, and if `in` is no multiple
    of the block."""
    if name in _WIDE:
        return matrix.to(_WIDE[name]).float()
    if name in _GGML:
        from gguf import GGMLQuantizationType, dequantize, quantize

        if matrix.shape[-1] % FORMATS[name].block[-1]:
            raise Unsupported(f"{name}: rows of {matrix.shape[-1]} are no blocks of {FORMATS[name].block[-1]}; give a multiple of it")
        kind = GGMLQuantizationType[_GGML[name]]
        return torch.from_numpy(dequantize(quantize(np.ascontiguousarray(matrix.float().numpy()), kind), kind))
    if name == "int8":
        scale = matrix.float().abs().amax(dim=-1, keepdim=True).clamp(min=1e-30) / 127
        return (matrix / scale).round() * scale
    if name in ROUNDED:
        return _fp8(matrix.float(), FORMATS[name].block or (0, 0))
    raise Unsupported(f"{name[:40]!r} is not rounded here; give one of {', '.join(ROUNDED)}")


def _fp8(matrix: Tensor, block: tuple[int, ...]) -> Tensor:
    """Blocks of `block`, where 0 is the whole dimension, each with a scale of its own."""
    rows, columns = (side or whole for side, whole in zip(block, matrix.shape, strict=True))
    out, into = matrix.shape
    padded = F.pad(matrix, (0, -into % columns, 0, -out % rows))
    blocks = padded.unflatten(1, (-1, columns)).unflatten(0, (-1, rows))  # (blocks, rows, blocks, columns)
    scale = blocks.abs().amax(dim=(1, 3), keepdim=True).clamp(min=1e-30) / torch.finfo(torch.float8_e4m3fn).max
    read = cast(Tensor, (blocks / scale).to(torch.float8_e4m3fn).float()) * scale
    return read.flatten(2).flatten(0, 1)[:out, :into]
