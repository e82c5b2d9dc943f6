"""Parts that read and write all residual streams at once (Qwen 4)."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from .base import Shape
from .hyper_connections import SumStreams
from .residual import Add, CopyStreams, Streams, _Residual


class AllStreams(_Residual):
    """Every part reads all streams side by side and outputs what is added to each: for the steps of parts that mix streams
    themselves, such as n-grams in the streams."""

    title: ClassVar[str] = "Streams side by side"
    kind: Literal["all_streams"]
    norm: Literal["none"] = Field("none", description="The part has its own norms")
    streams: Streams = 4

    def handed(self, d_model: int) -> Shape:
        return self.streams, d_model

    def split(self, d_model: int) -> nn.Module:
        return CopyStreams(self.streams)

    def merge(self, d_model: int) -> nn.Module:
        return SumStreams()

    def build(self, d_model: int, index: int) -> tuple[None, nn.Module]:
        return None, Add(self.scale)

    def check_block(self, steps: Sequence[_Residual], delayed: bool) -> None:
        if delayed:
            raise ValueError("residual: a part that reads all streams has no shortcut and no aside; remove them")

    def checklist(self) -> Iterator[str]:
        yield from super().checklist()
        yield f"Parts read all {self.streams} streams, and each stream gets its own update."
