"""Tests share two cores with each other: one thread each, and one way to draw examples. `make test` draws the same ones at
every run, so that what fails has changed; `make sweep` draws others, and many."""

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
for name, examples in {"strata": 60, "sweep": 1500}.items():
    settings.register_profile(
        name,
        deadline=None,
        max_examples=examples,
        derandomize=name == "strata",
        suppress_health_check=list(HealthCheck),
    )
settings.load_profile("strata")
