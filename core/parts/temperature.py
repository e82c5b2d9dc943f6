"""Scores that grow with the query's position, so that attention stays sharp in long texts (arXiv:2501.19399)."""

import math
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from .base import Length, Positive, Spec


class StepTemperature(Spec):
    """Scores grow in steps with the query's position, so that attention stays sharp in long texts (Llama 4;
    arXiv:2501.19399): times 1 + scale * log(1 + floor((position + first) / length))."""

    kind: Literal["steps"] = "steps"
    scale: Positive = Field(0.1, description="How fast scores grow")
    length: Length = Field(8192, description="Length of text after which scores grow")
    first: Literal[0, 1] = Field(1, description="Number of the first position (Ministral 3: 0)")

    def factor(self, positions: Tensor) -> Tensor:
        return 1 + self.scale * ((positions + self.first) / self.length).floor().log1p()


class LogTemperature(Spec):
    """Past `length`, scores grow with the logarithm of the query's position (Grok 2; Qwen, arXiv:2309.16609, section 2.3):
    times log(position + first) / log(length)."""

    kind: Literal["log"]
    length: Annotated[int, Field(ge=2, le=1_000_000_000)] = Field(description="Position up to which scores do not change", examples=[1024])
    first: Literal[0, 1] = Field(0, description="Number of the first position (Qwen: 1)")

    def factor(self, positions: Tensor) -> Tensor:
        return ((positions + self.first).clamp(min=1).log() / math.log(self.length)).clamp(min=1)


class PowerTemperature(Spec):
    """Scores grow with a small power of the query's position (Beam): times (1 + (position + 1) / length) ** exponent."""

    kind: Literal["power"]
    exponent: Positive = Field(0.1, description="How fast scores grow")
    length: Length = Field(2048, description="Length of text after which scores grow")

    def factor(self, positions: Tensor) -> Tensor:
        return (1 + (positions + 1) / self.length) ** self.exponent


class LateTemperature(Spec):
    """Past `length`, scores grow slowly with the logarithm of the query's position (Inkling): times
    1 + scale * log((position + 1) / length)."""

    kind: Literal["late"]
    scale: Positive = Field(0.1, description="How fast scores grow")
    length: Length = Field(description="Position up to which scores do not change", examples=[131072])

    def factor(self, positions: Tensor) -> Tensor:
        return 1 + self.scale * ((positions + 1) / self.length).clamp(min=1).log()


Temperature = Annotated[StepTemperature | LogTemperature | PowerTemperature | LateTemperature, Field(discriminator="kind")]
