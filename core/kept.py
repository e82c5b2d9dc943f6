"""Caches that are bounded by bytes: a count of entries bounds nothing where a visitor's architectures can be large."""

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache, cached

if TYPE_CHECKING:
    from .spec import Architecture


def kept(most: int, weigh: Callable[[Any], int] = len) -> Callable:
    """A cache for a function of hashable arguments. It keeps the last used values, up to `most` bytes in total, so that no
    visitor can fill the memory with a few large ones. `weigh` estimates the bytes of a value and of what it was asked with."""
    return cached(LRUCache(most, getsizeof=weigh), lock=Lock())


def weight(arch: "Architecture") -> int:
    """The approximate bytes of an architecture, most of them for its written steps."""
    return 20_000 + 800 * sum(len(block) for segment in arch.layers for block in segment.blocks)
