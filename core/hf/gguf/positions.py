"""What a GGUF header says of positions: the base of RoPE, the share that is turned, and what stretches the context."""

import math

from ...spec import Unsupported
from .said import Made, Said


def turned(said: Said, made: Made, width: int = 0) -> None:
    """rope_theta, rope_scaling and partial_rotary_factor."""
    width = width or said.head_dim
    dim = said.count("rope.dimension_count", width)
    made["rope_theta"] = said.number("rope.freq_base", 10_000.0)
    if not 0 < made["rope_theta"] < 1e30:
        raise said.refuse("rope.freq_base", "give a positive number")
    if width and dim != width:
        made["partial_rotary_factor"] = dim / width
    if scaling := stretched(said, made["rope_theta"], dim):
        made["rope_scaling"] = scaling


def stretched(said: Said, base: float, dim: int) -> Made:
    kind = said.get("rope.scaling.type")
    factor = said.number("rope.scaling.factor", 0.0) or said.number("rope.scale_linear", 0.0)
    original = said.count("rope.scaling.original_context_length", 0)
    attention, whole = said.number("rope.scaling.attn_factor", 0.0), said.number("rope.scaling.yarn_attn_factor", 0.0)
    log = said.number("rope.scaling.yarn_log_multiplier", 0.0)
    betas = {key: said.number(f"rope.scaling.yarn_{key}", 0.0) for key in ("beta_fast", "beta_slow")}
    tensors = said.header.tensors
    if kind == "longrope" or any(name.startswith("rope_factors") for name in tensors):
        scaling = {f"{which}_factor": listed(said, f"rope_factors_{which}.weight") for which in ("short", "long")}
        context = said.count("context_length")
        made = {"rope_type": "longrope", "original_max_position_embeddings": original or context} | scaling
        usual = math.sqrt(1 + math.log(context / original) / math.log(original)) if 1 < original < context else 1.0
        return made | ({"attention_factor": attention} if attention and not math.isclose(attention, usual, rel_tol=1e-5) else {})
    if kind == "yarn":
        made = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original or said.count("context_length")}
        made |= {key: value for key, value in betas.items() if value}
        if attention and attention != 1.0:
            raise said.refuse("rope.scaling.attn_factor", "llama.cpp multiplies it by YaRN's own magnitude")
        made |= {"attention_factor": whole} if whole else {}
        return made | ({"log": log} if log else {})
    if "rope_freqs.weight" in tensors:
        return by_frequency(said, listed(said, "rope_freqs.weight"), base, dim)
    if kind == "linear" or kind is None:
        return {"rope_type": "linear", "factor": factor} if factor not in (0, 1) else {}
    if kind != "none":
        raise said.refuse("rope.scaling.type", "give none, linear, yarn or longrope")
    return {}


def listed(said: Said, tensor: str) -> list[float]:
    values = said.header.ropes.get(tensor)
    if not values:
        raise Unsupported(f"{tensor}: says how positions are stretched, and its values are not in the header; give the whole file")
    return list(values)


def by_frequency(said: Said, factors: list[float], base: float, dim: int) -> Made:
    """Llama 3's rule, of which the file holds only its result: a factor for each frequency."""
    most = max(factors)
    if most == 1:
        return {}
    if len(factors) != dim // 2:
        raise Unsupported(f"rope_freqs.weight: has {len(factors):,} factors, and a head of {dim:,} turned channels has {dim // 2:,}")
    for original in (2**power for power in range(11, 19)):
        for low, high in ((1.0, 4.0), (1.0, 32.0)):
            rule = [_llama3(base ** (-2 * i / dim), most, original, low, high) for i in range(dim // 2)]
            if all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(rule, factors, strict=True)):
                scaling = {"rope_type": "llama3", "factor": most, "original_max_position_embeddings": original}
                return scaling | {"low_freq_factor": low, "high_freq_factor": high}
    raise Unsupported("rope_freqs.weight: its factors follow no rule that is known here, so the positions would be wrong")


def _llama3(frequency: float, factor: float, original: int, low: float, high: float) -> float:
    turns = original * frequency / (2 * math.pi)
    if turns > high:
        return 1.0
    if turns < low:
        return factor
    smooth = (turns - low) / (high - low)
    return 1 / ((1 - smooth) / factor + smooth)


def yarn_log(scaling: Made, unit: float) -> None:
    """DeepSeek's second magnitude, which files have as `unit` times itself; the first is the same in every published model."""
    if log := scaling.pop("log", 0.0):
        scaling |= dict.fromkeys(("mscale", "mscale_all_dim"), float(f"{log / unit:.6g}"))
