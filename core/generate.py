"""Text from a checkpoint on disk, by Strata's own model."""

import math
from collections.abc import Iterator
from pathlib import Path

import torch

from .diff import diff
from .hf import load_weights
from .hf.weights.checkpoint import Checkpoint
from .library import load
from .model import Model, build
from .reading import is_gguf, read_file, read_yaml
from .spec import Architecture, Unsupported

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


def generate(
    arch: Architecture, source: str | Path, prompt: str, tokens: int = 64, temperature: float = 0.0, seed: int = 0
) -> Iterator[str]:
    """Continue `prompt` by at most `tokens` tokens, yielding the text piece by piece; greedy at temperature 0.

    `source` is a folder of safetensors files and their tokenizer.json, or a GGUF file, which holds its tokenizer. Raises Unsupported
    if something is missing, or if the source describes another architecture.
    """
    source = Path(source)
    if tokens < 1 or not 0 <= temperature < math.inf:
        raise Unsupported(f"{tokens} tokens at temperature {temperature}: give at least 1 token and a temperature of at least 0")
    if is_gguf(str(source)):
        from .hf.gguf import opened, read
        from .hf.gguf.tokenizer import WHOLE, ends
        from .hf.gguf.tokenizer import tokenizer as tokenizer_of

        file = opened(read(source, WHOLE))
        if changes := diff(file.stored(), arch).changes:
            raise Unsupported(f"{source} describes another architecture than {arch.title}: {changes[0]}")
        stop, tokenizer = ends(file.header), tokenizer_of(file.header)
        filled = file.filled
    else:
        if not source.is_dir():
            raise Unsupported(f"{source}: is not a folder or a GGUF file; give a folder with safetensors files and a tokenizer.json")
        stop, tokenizer, filled = _checked(arch, source), _tokenizer(source), lambda: read_model(arch, source)
    ids = tokenizer.encode(prompt).ids
    if not ids or max(ids) >= arch.vocab_size:
        raise Unsupported(f"the tokenizer and the vocabulary of {arch.vocab_size:,} do not fit, or the prompt is empty")
    if arch.meant_for and len(ids) + tokens > arch.meant_for:
        raise Unsupported(f"{len(ids):,} + {tokens:,} tokens are more than {arch.title} reads: at most {arch.meant_for:,}")
    model = filled()
    made, said = [], ""
    for new in model.generate(torch.tensor([ids]), tokens, temperature, seed):
        if int(new) in stop:
            break
        made.append(int(new))
        text = tokenizer.decode(ids + made)[len(tokenizer.decode(ids)) :]
        if not text.endswith("\ufffd"):  # an incomplete character: its other bytes are in later tokens
            yield text[len(said) :]
            said = text


def read_model(arch: Architecture, folder: str | Path) -> Model:
    """The architecture's model on the processor with a folder's weights, in their stored dtype."""
    dtype = DTYPES.get(arch.precision.get("default", "bf16"), torch.bfloat16)
    model = build(arch, device="meta", dtype=dtype).to_empty(device="cpu")
    load_weights(model, Checkpoint(folder))
    return model


def _checked(arch: Architecture, folder: Path) -> set[int]:
    """The end-of-text ids, after a check that the folder's own config.json describes the same architecture."""
    stop: set[int] = set()
    for name in ("config.json", "generation_config.json"):
        if not (folder / name).exists():
            continue
        config = read_yaml(read_file(str(folder / name)))
        if name == "config.json" and (changes := diff(load(folder / name), arch).changes):
            raise Unsupported(f"{folder / name} describes another architecture than {arch.title}: {changes[0]}")
        given = config.get("eos_token_id")
        stop |= {one for one in (given if isinstance(given, list) else [given]) if isinstance(one, int)}
    return stop


def _tokenizer(folder: Path):
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise Unsupported(f"{folder / 'tokenizer.json'}: cannot be read ({error.strerror})") from None
    except Exception as error:  # the library raises plain Exceptions
        raise Unsupported(f"{folder / 'tokenizer.json'}: is not a tokenizer ({str(error)[:200]})") from None
