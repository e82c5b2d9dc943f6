"""What a GGUF header says of its model, in the keys of a config.json, so that the family reads it as it reads any other.

llama.cpp's converters write one header key for each meaning (`MEANINGS`), and leave out what their architecture always does
(`KINDS` in kinds.py). What neither says the tensors do: the vocabulary is the rows of the embedding table, embeddings without an output
matrix are tied, biases are there or not. Source: llama.cpp's `conversion/*.py` and its `load_hparams`, read backwards.
"""

from ...spec import Unsupported
from ..reading.config import shown
from .header import Header
from .kinds import KINDS
from .positions import turned, yarn_log
from .said import IDLE, MEANINGS, Made, Said


def translate(header: Header) -> Made:
    """The config.json that says what this header does; Unsupported for what cannot be said."""
    if header.said.get("general.type") == "imatrix":
        raise Unsupported("the file is an importance matrix, which only says how to quantise a model; give the model's own GGUF file")
    if not header.arch:
        raise Unsupported("general.architecture: is missing, so this GGUF file is no language model")
    if header.arch in ("clip", "mmproj") or header.said.get("general.type", "model") not in ("model", "vocab"):
        what = shown(header.said.get("general.type", header.arch))
        raise Unsupported(f"the file is of {what}, which stands beside a language model (mmproj, adapter); give the model's own GGUF file")
    kind = KINDS.get(header.arch)
    if kind is None:
        raise Unsupported(
            f"general.architecture: {shown(header.arch)} is not one that Strata reads yet; it reads {', '.join(sorted(KINDS))}"
        )
    said = Said(header)
    made: Made = {"model_type": kind.model_type, "vocab_size": said.shape("token_embd.weight")[0]}
    said.expect("vocab_size", made["vocab_size"])
    if kind.tied:
        made["tie_word_embeddings"] = "output.weight" not in header.tensors
    for key, name in MEANINGS.items():
        if (value := said.plain(key)) is not None:
            made[name] = value
    said.count("leading_dense_block_count", 0, most=said.depth)
    if not said.has("nextn.eh_proj.weight"):  # the header counts what predicts ahead, and the converter left it out
        made.update(dict.fromkeys(made.keys() & {"num_nextn_predict_layers"}, 0))
    made |= {"num_hidden_layers": said.depth} | {switch: said.has(tensor) for switch, tensor in kind.biases.items()}
    for name in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        if isinstance(value := made.get(name), list) and len(set(value)) == 1:
            made[name] = value[0]
    said.expect("attention.causal", True)
    said.expect("pooling_type", 0)
    if kind.rope:
        turned(said, made)
    if kind.gating:
        said.expect("expert_gating_func", *kind.gating)
    try:
        kind.more(said, made)
    except KeyError as error:
        key = next((key for key, name in MEANINGS.items() if name == error.args[0]), error.args[0])
        raise Unsupported(f"{header.arch}.{key}: is missing from the header, and the model cannot be known without it") from None
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, Unsupported):
            raise
        raise Unsupported(f"{header.arch}: the header's values contradict each other, so no model can be made of them") from None
    said.expect("attention.value_length", *{made.get("v_head_dim"), said.head_dim} - {None})
    for key in sorted(said.left - IDLE):
        raise Unsupported(
            f"{header.arch}.{key}: {shown(said.values[key])} is not a key that Strata knows for this architecture, and it could change it"
        )
    if "log" in (scaling := made.get("rope_scaling") or {}):
        yarn_log(scaling, 1.0)
    renamed = {kind.names.get(name, name): value for name, value in made.items() if kind.names.get(name, name)}
    label = header.said.get("general.name")
    return {"_name_or_path": label} | dict(kind.always) | renamed if isinstance(label, str) and label else dict(kind.always) | renamed
