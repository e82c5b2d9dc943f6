"""Tests share two cores with each other: one thread each, and one way to draw examples. `make test` draws the same ones at
every run, so that what fails has changed; `make sweep` draws others, and many; `make quick` draws few."""

import pytest
import torch
from hypothesis import HealthCheck, settings

import core

torch.set_num_threads(1)
for name, examples in {"strata": 40, "sweep": 1500, "quick": 3}.items():
    settings.register_profile(
        name, deadline=None, max_examples=examples, derandomize=name != "sweep", suppress_health_check=list(HealthCheck)
    )
settings.load_profile("strata")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="few examples, and each kind of part in one preset")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("quick"):
        settings.load_profile("quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A quick run leaves out the presets whose kinds of parts are all in older ones."""
    if not config.getoption("quick"):
        return
    seen, others = set(), set()
    for arch in map(core.load, core.presets()):
        kinds = {part.kind for part in arch.parts.values()} | {arch.position.kind, arch.residual.kind}
        if kinds <= seen:
            others.add(arch.name)
        seen |= kinds
    left = [item for item in items if hasattr(item, "callspec") and item.callspec.params.get("name") in others]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]
