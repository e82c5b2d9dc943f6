"""Parts that read and write all residual streams at once (Qwen 4)."""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field
from torch import nn

from .base import Shape
from .hyper_connections import SumStreams
from .residual import Add, CopyStreams, Streams, _Residual


class AllStreams(_Residual):
    """Every part is given all streams side by side, and gives what is added to each: for the steps of parts that mix them
    themselves, such as n-grams in the streams."""

    kind: Literal["all_streams"]
    norm: Literal["none"] = Field("none", description="The part has norms of its own")
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
            raise ValueError("residual: where a part is given all streams, leave out shortcuts and aside")

    def checklist(self) -> Iterator[str]:
        yield from super().checklist()
        yield f"Parts read all {self.streams} streams, and each stream is given its own sum."
