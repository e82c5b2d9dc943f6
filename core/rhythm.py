"""Some of an architecture's layers, as a rule: the first three, every fourth, the same ones in a deeper model."""

from dataclasses import dataclass
from functools import cached_property

from .saying import nth


@dataclass(frozen=True)
class Rhythm:
    """Some of `depth` layers, as a rule that can also be read for another depth."""

    layers: frozenset[int]
    depth: int

    def has(self, layer: int, depth: int) -> bool:
        if depth == self.depth:
            return layer in self.layers
        if period := self.period:
            return layer % period in self.layers
        if self.begins:
            return layer < len(self.layers)
        if self.ends:
            return layer >= min(self.layers)
        return layer * self.depth // depth in self.layers  # at the same height

    @cached_property
    def period(self) -> int:
        """The number of layers after which the rule repeats; 0 if it does not."""
        tried = (1, *range(2, min(self.depth // 2, 64) + 1))
        return next((p for p in tried if all((n in self.layers) == (n % p in self.layers) for n in range(self.depth))), 0)

    @property
    def begins(self) -> bool:
        return self.layers == frozenset(range(len(self.layers)))

    @property
    def ends(self) -> bool:
        return self.layers == frozenset(range(self.depth - len(self.layers), self.depth))

    def __str__(self) -> str:
        """Empty for all layers, and for none: modules beside the layers."""
        count, last = len(self.layers), self.depth - 1
        if count in (0, self.depth):
            return ""
        if count == 1:
            return f"layer {min(self.layers):,}"
        if self.begins:
            return f"first {count:,} layers"
        if self.ends:
            return f"layers {min(self.layers):,}-{last:,}"
        if period := self.period:
            each, start = sum(n < period for n in self.layers), min(self.layers)
            begin = f", from layer {start:,}" if start != period - 1 else ""
            return f"every {nth(period)} layer{begin}" if each == 1 else f"{each:,} of every {period:,} layers"
        first, last = min(self.layers), max(self.layers)
        return f"layers {first:,}-{last:,}" if last - first == count - 1 else f"{count:,} of {self.depth:,} layers"
