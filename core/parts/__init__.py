"""The techniques, one file each. A file put here is found by itself: its Part classes join the spec's union."""

import importlib
import pkgutil
from typing import Annotated, Union, get_args

from pydantic import Field

from .base import Mixer, Part

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def _kinds(cls: type[Part]) -> list[type[Part]]:
    """Every concrete technique below `cls`: those whose `kind` names one."""
    found = [cls] if get_args(cls.model_fields["kind"].annotation) else []
    return found + [kind for sub in cls.__subclasses__() for kind in _kinds(sub)]


PARTS: dict[str, type[Part]] = {
    get_args(cls.model_fields["kind"].annotation)[0]: cls for cls in sorted(_kinds(Part), key=lambda c: c.__name__)
}
AnyPart = Annotated[Union[tuple(PARTS.values())], Field(discriminator="kind")]  # noqa: UP007 - a computed union

__all__ = ["PARTS", "AnyPart", "Mixer", "Part"]
