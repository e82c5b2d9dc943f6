"""The tokenizer in a GGUF header, as the `tokenizers` library has it: byte-level BPE ("gpt2") and SentencePiece's BPE ("llama")."""

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from ...spec import Unsupported
from .header import Header

WHOLE = tuple(f"tokenizer.ggml.{name}" for name in ("tokens", "merges", "scores", "token_type"))  # lists to read at any length
_CONTROL, _USER = 3, 4  # token types
_LETTERS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# tokenizer.ggml.pre -> how a text is cut before merging: "" as GPT-2 does, "digits" with each digit alone before that, or an expression.
_CUTS = (
    dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling"), "")
    | dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), "digits")
    | dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "dbrx", "smaug-bpe", "lfm2", "pixtral"), _LETTERS.format(digits="{1,3}"))
    | dict.fromkeys(("qwen2", "stablelm2", "deepseek-r1-qwen", "hunyuan", "megrez"), _LETTERS.format(digits=""))
)
_BEGIN = {"llama-bpe", "llama3", "llama-v3", "falcon3"}  # those to which llama.cpp adds a first token where the header says nothing


def tokenizer(header: Header) -> Tokenizer:
    """The tokenizer; its header must be read with the lists in `WHOLE`. Unsupported for one that is not known here, or damaged."""
    kind = header.said.get("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise Unsupported(f"tokenizer.ggml.model: {str(kind)[:40]!r} is not supported; only gpt2 and llama are")
    tokens, types = _texts(header, "tokens"), header.said.get("tokenizer.ggml.token_type") or []
    if not isinstance(types, list) or len(types) not in (0, len(tokens)):
        raise Unsupported(f"tokenizer.ggml.token_type: give a type for each of the {len(tokens):,} tokens")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if len(vocabulary) < len(tokens):
        raise Unsupported("tokenizer.ggml.tokens: a token occurs twice")
    try:
        made = _bytes(header, vocabulary) if kind == "gpt2" else _pieces(header, vocabulary, tokens)
    except Unsupported:
        raise
    except Exception as error:  # the library raises plain Exceptions
        raise Unsupported(f"tokenizer.ggml: the lists are no tokenizer ({str(error)[:200]})") from None
    added = [AddedToken(one, special=kind == _CONTROL, normalized=False) for one, kind in zip(tokens, types) if kind in (_CONTROL, _USER)]
    made.add_special_tokens([one for one in added if one.special])
    made.add_tokens([one for one in added if not one.special])
    begin = header.said.get("tokenizer.ggml.bos_token_id")
    usual = kind == "llama" or header.said.get("tokenizer.ggml.pre") in _BEGIN
    if header.said.get("tokenizer.ggml.add_bos_token", usual) and isinstance(begin, int) and 0 <= begin < len(tokens):
        first = tokens[begin]
        made.post_processor = processors.TemplateProcessing(single=f"{first}:0 $A:0", special_tokens=[(first, begin)])
    return made


def ends(header: Header) -> set[int]:
    """The ids of the tokens that end a text."""
    ids = (header.said.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom"))
    return {one for one in ids if isinstance(one, int)}


def _texts(header: Header, name: str) -> list[str]:
    value: Any = header.said.get(f"tokenizer.ggml.{name}")
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Unsupported(f"tokenizer.ggml.{name}: is missing from the header, so text cannot be read")
    return value


def _bytes(header: Header, vocabulary: dict[str, int]) -> Tokenizer:
    pre = header.said.get("tokenizer.ggml.pre", "gpt-2")
    if pre not in _CUTS:
        raise Unsupported(f"tokenizer.ggml.pre: {str(pre)[:40]!r} is not one that Strata knows; it knows {', '.join(sorted(_CUTS))}")
    pairs = [(first, second) for first, _, second in (merge.partition(" ") for merge in _texts(header, "merges"))]
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    cut, plain = _CUTS[pre], pre_tokenizers.ByteLevel(add_prefix_space=False)
    if cut == "digits":
        made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain])
    elif cut:
        expression = pre_tokenizers.Split(Regex(cut), "isolated")
        made.pre_tokenizer = pre_tokenizers.Sequence([expression, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        made.pre_tokenizer = plain
    made.decoder = decoders.ByteLevel()
    return made


def _pieces(header: Header, vocabulary: dict[str, int], tokens: list[str]) -> Tokenizer:
    """SentencePiece joins the two neighbours whose piece has the highest score, which is a merge for each way to cut a piece in two."""
    scores: Any = header.said.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise Unsupported(f"tokenizer.ggml.scores: give a score for each of the {len(tokens):,} tokens")
    merges = [
        (-scores[number], vocabulary[piece[:at]], vocabulary[piece[at:]], (piece[:at], piece[at:]))
        for piece, number in vocabulary.items()
        for at in range(1, len(piece))
        if piece[:at] in vocabulary and piece[at:] in vocabulary
    ]
    pairs = [pair for *_, pair in sorted(merges)]
    unknown = header.said.get("tokenizer.ggml.unknown_token_id", 0)
    unknown = tokens[unknown] if isinstance(unknown, int) and 0 <= unknown < len(tokens) else None
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    space = "\u2581"
    begins = header.said.get("tokenizer.ggml.add_space_prefix", True)
    made.normalizer = normalizers.Sequence([*([normalizers.Prepend(space)] if begins else []), normalizers.Replace(" ", space)])
    made.decoder = decoders.Sequence(
        [decoders.Replace(space, " "), decoders.ByteFallback(), decoders.Fuse(), *([decoders.Strip(" ", 1, 0)] if begins else [])]
    )
    return made
