"""Tests share two cores with each other: one thread each, and one way to draw examples. `make test` draws the same ones at
every run, so that what fails has changed; `make sweep` draws others, and many; `make quick` draws few."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, settings

import core

pytest_plugins = ("pages",)  # the browser's fixtures

torch.set_num_threads(1)
for name, examples in {"strata": 40, "sweep": 1500, "quick": 3}.items():
    settings.register_profile(
        name, deadline=None, max_examples=examples, derandomize=name != "sweep", suppress_health_check=list(HealthCheck)
    )
settings.load_profile("strata")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="few examples, and each kind of part in one preset")
    parser.addoption("--pairs", default="8", help="to how many others a sweep compares each preset; or all")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("quick"):
        settings.load_profile("quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A quick run leaves out the presets whose kinds of parts are all in older ones. Except in a sweep, tests that are marked as long
    leave out those whose parts set no other fields than older ones, and those marked as long for "kinds" the same as a quick run."""
    quick, sweep = config.getoption("quick"), config.getoption("--hypothesis-profile") == "sweep"
    alike, others = seen_before(kinds), seen_before(fields)

    def skipped(item: pytest.Item) -> bool:
        name = item.callspec.params.get("name") if hasattr(item, "callspec") else None
        long = None if sweep else item.get_closest_marker("long")
        return name in alike if quick or (long and "kinds" in long.args) else bool(long) and name in others

    left = [item for item in items if skipped(item)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


def kinds(arch: core.Architecture) -> set[str]:
    return {part.kind for part in arch.parts.values()} | {arch.position.kind, arch.residual.kind}


def fields(arch: core.Architecture) -> set[str]:
    return {f"{part.kind}.{name}" for part in arch.parts.values() for name in part.model_dump(exclude_defaults=True)} | kinds(arch)


def seen_before(of: Callable[[core.Architecture], set[str]]) -> set[str]:
    """The presets with nothing that no older preset has."""
    seen, found = set(), set()
    for arch in map(core.load, core.presets()):
        if of(arch) <= seen:
            found.add(arch.name)
        seen |= of(arch)
    return found
