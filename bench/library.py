"""How long the library takes: analysis cold and after an edit, beside transformers, and as models grow."""

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

import core
from app import facts
from core import hf, library, trace
from core.spec import Architecture, Unsupported, edited

BESIDE = ("gpt2-xl", "llama-3.1-405b", "qwen3-32b", "qwen3-235b-a22b", "deepseek-v3")


def milliseconds(run: Callable[[], object], times: int = 5) -> float:
    """The median of several runs."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        spent.append(1000 * (time.perf_counter() - began))
    return statistics.median(spent)


def analyse(arch: Architecture) -> None:
    """What the workbench needs: parameters, FLOPs, memory, and the graph with shapes."""
    core.cost(arch)
    core.graph(arch)


def forget() -> None:
    """As if no architecture had been looked at: the process stays warm, its caches of parts and blocks do not."""
    for cached in (trace.trace_part, trace._trace, library.preset):
        cached.cache_clear()


def cold() -> dict[str, float]:
    """Full analysis of every preset from its file's mapping."""

    def run(name: str) -> None:
        forget()
        analyse(core.load(name))

    analyse(core.load("deepseek-v3"))
    return {name: milliseconds(lambda name=name: run(name)) for name in core.presets()}


def pictures() -> dict[str, float]:
    """The picture of every preset with its trace, costs known."""

    def run(arch: Architecture) -> None:
        forget()
        facts.graph.cache.clear()
        facts.picture_of.cache.clear()
        facts.picture_of(arch)

    found = {}
    for name in core.presets():
        arch = core.load(name)
        facts.picture_of(arch)  # its costs are kept
        found[name] = milliseconds(lambda arch=arch: run(arch), 3)
    return found


def codes() -> dict[str, float]:
    """The one file of every preset's code."""
    archs = {name: core.load(name) for name in core.presets()}
    return {name: milliseconds(lambda arch=arch: core.code(arch), 1) for name, arch in archs.items()}


def edits(arch: Architecture) -> dict[str, list[Architecture]]:
    """Edits of one part, and edits of what every part rests on."""
    found: dict[str, list[Architecture]] = {"one part": [], "everywhere": []}
    wanted = [("everywhere", "d_model", arch.d_model + 64 * i) for i in range(1, 4)]
    wanted += [("everywhere", "norm.eps", 1e-5 * i) for i in range(2, 5)]
    for name, part in arch.parts.items():
        for field in ("d_ff", "top_k", "heads", "kv_rank", "head_dim"):
            value = getattr(part, field, None)
            if isinstance(value, int):
                wanted += [("one part", f"parts.{name}.{field}", value * 2), ("one part", f"parts.{name}.{field}", max(1, value // 2))]
    for kind, path, value in wanted:
        try:
            found[kind].append(edited(arch, path, value))
        except Unsupported:
            continue
    return found


def after_an_edit() -> dict[str, list[float]]:
    """Analysis of an edited architecture once the preset has been analysed."""
    spent: dict[str, list[float]] = {"one part": [], "everywhere": []}
    gc.collect()
    gc.freeze()  # as the server does once it is warm
    for name in core.presets():
        arch = core.load(name)
        analyse(arch)
        for kind, others in edits(arch).items():
            for other in others:
                began = time.perf_counter()
                analyse(other)
                spent[kind].append(1000 * (time.perf_counter() - began))
    return spent


def beside_transformers() -> dict[str, tuple[float, float]]:
    """Our full analysis, cold, and transformers' model on meta with torchinfo's summary of it, in turn."""
    import torchinfo
    import transformers

    found = {}
    for name in BESIDE:
        config = json.loads(json.dumps(hf.to_hf(core.load(name))))
        config.pop("strata")
        config.pop("quantization_config", None)

        def theirs(config: dict = config) -> None:
            with torch.device("meta"):
                model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**dict(config)))
            torchinfo.summary(model, verbose=0)

        def ours(name: str = name) -> None:
            forget()
            analyse(core.load(name))

        theirs()
        found[name] = milliseconds(ours), milliseconds(theirs, times=3)
    return found


def reading() -> dict[str, float]:
    """The config.json of every preset that has one, read."""
    found = {}
    for name in core.presets():
        try:
            config = hf.to_hf(core.load(name))
        except Unsupported:
            continue
        found[name] = milliseconds(lambda config=config: hf.from_hf(config), 3)
    return found


def growth() -> dict[str, float]:
    """How many times longer ten times the layers, and ten times the experts, take."""
    arch = core.load("deepseek-v3")
    small = edited(edited(arch, "layers.1.repeat", 10), "parts.moe.count", 64)
    grown = {"layers": edited(small, "layers.1.repeat", 100), "experts": edited(small, "parts.moe.count", 640)}

    def run(arch: Architecture) -> None:
        forget()
        analyse(arch)

    base = milliseconds(lambda: run(small), 25)
    return {what: milliseconds(lambda other=other: run(other), 25) / base for what, other in grown.items()}


def import_seconds() -> float:
    command = [sys.executable, "-c", "import time; t = time.perf_counter(); import core; print(time.perf_counter() - t)"]
    return statistics.median(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(5))
