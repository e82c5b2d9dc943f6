"""A cache that is bounded by what its values weigh, so that no visitor fills the memory with a few large ones."""

import sys
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any


def kept(most: int, weigh: Callable[[Any], int] = sys.getsizeof) -> Callable:
    """Decorate a function of hashable arguments: of its values those used last stay, `most` bytes together.

    `weigh` says how many bytes a value takes; one that alone takes more than `most` is not kept."""

    def decorate(make: Callable) -> Callable:
        values: OrderedDict[tuple, tuple[Any, int]] = OrderedDict()
        lock, total = Lock(), 0

        @wraps(make)
        def get(*args: Any) -> Any:
            nonlocal total
            with lock:
                if args in values:
                    values.move_to_end(args)
                    return values[args][0]
            value = make(*args)
            with lock:
                weight = weigh(value)
                if args not in values and weight <= most:
                    values[args] = value, weight
                    total += weight
                while total > most:
                    total -= values.popitem(last=False)[1][1]
            return value

        def cache_clear() -> None:
            nonlocal total
            with lock:
                values.clear()
                total = 0

        get.cache_clear = cache_clear
        return get

    return decorate
