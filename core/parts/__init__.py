"""The techniques, one file each. A new file here is found automatically: its Part classes join the spec's union, and so do its
kinds of residual."""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Annotated, Union, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag

from .base import Mixer, Part
from .renamed import today
from .residual import _Residual

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def _kinds(cls: type[Part]) -> list[type[Part]]:
    """Every concrete technique among the subclasses of `cls`: those with a fixed `kind`."""
    found = [cls] if get_args(cls.model_fields["kind"].annotation) else []
    return found + [kind for sub in cls.__subclasses__() for kind in _kinds(sub)]


PARTS: dict[str, type[Part]] = {
    get_args(cls.model_fields["kind"].annotation)[0]: cls for cls in sorted(_kinds(Part), key=lambda c: c.__name__)
}


def _residual(value: object) -> str | None:
    """The default kind is `plain`."""
    return value.get("kind", "plain") if isinstance(value, dict) else getattr(value, "kind", None)


RESIDUALS = {get_args(cls.model_fields["kind"].annotation)[0]: cls for cls in _Residual.__subclasses__()}

if TYPE_CHECKING:  # which cannot compute a union
    AnyPart = Part
    AnyResidual = _Residual
else:
    AnyPart = Annotated[
        Annotated[Union[tuple(PARTS.values())], Field(discriminator="kind")],  # noqa: UP007
        BeforeValidator(today),
    ]
    AnyResidual = Annotated[
        Union[tuple(Annotated[cls, Tag(kind)] for kind, cls in sorted(RESIDUALS.items()))],  # noqa: UP007
        Discriminator(_residual),
    ]

__all__ = ["PARTS", "RESIDUALS", "AnyPart", "AnyResidual", "Mixer", "Part"]
