"""Strata: large language model architectures as values. Everything public is here."""

from .checklist import checklist
from .code import code
from .compare import compare
from .cost import cost
from .diff import diff
from .evolution import evolution
from .graph import graph
from .hf import from_hf, load_weights, to_hf
from .library import load, presets
from .model import build, shrink
from .modern import modern
from .routing import route
from .share import decode, encode
from .spec import Architecture, Unsupported, Workload
from .verify import verify

__all__ = [
    "Architecture", "Unsupported", "Workload", "build", "checklist", "code", "compare", "cost", "decode", "diff", "encode", "evolution",
    "from_hf", "graph", "load", "load_weights", "modern", "presets", "route", "shrink", "to_hf", "verify",
]  # fmt: skip
