"""Tests share two cores with each other: one thread each, and one way to draw examples."""

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
settings.register_profile("strata", deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
settings.load_profile("strata")
