"""The families, one file each, found by themselves. A file whose name begins with `like_`, and those named after where a class
came from, hold a table of families that differ from one another in little; one without `TYPES` or `FAMILIES` is what some share."""

import importlib
import pkgutil

_MODULES = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
FAMILIES = [f for module in _MODULES for f in getattr(module, "FAMILIES", [module] if hasattr(module, "TYPES") else [])]
BY_TYPE = {model_type: family for family in FAMILIES for model_type in family.TYPES}
