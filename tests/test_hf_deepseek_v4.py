"""DeepSeek-V4 and its kin against transformers, and the streams that they mix."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core.parts.residual import HyperConnections, ManifoldHyperConnections

STREAMS = {
    "static": HyperConnections(kind="hyper", streams=3),
    "manifold": ManifoldHyperConnections(kind="manifold_hyper"),
    "each to itself": ManifoldHyperConnections(kind="manifold_hyper", iterations=0),
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_cost_what_torch_counts(name):
    residual, d, tokens = STREAMS[name], 24, 7
    with torch.device("meta"):
        modules = (*residual.build(d, 0), residual.merge(d))
        read, write, merge = modules
        stream = torch.empty(1, tokens, residual.streams, d)
    with FlopCounterMode(display=False) as counter:
        x, *mix = read(stream)
        merge(write(stream, x, *mix))
    assert counter.get_total_flops() == tokens * sum(module.token_flops for module in modules)


def test_sinkhorn_brings_the_mix_near_a_doubly_stochastic_matrix():
    residual = ManifoldHyperConnections(kind="manifold_hyper", iterations=20)
    torch.manual_seed(0)
    read, _ = residual.build(16, 0)
    torch.nn.init.normal_(read.weight, std=0.1)
    _, take, mix = read(torch.randn(2, 5, 4, 16))
    assert (mix.sum(-1) - 1).abs().max() < 1e-3 and (mix.sum(-2) - 1).abs().max() < 1e-3
    assert take.min() > 0 and take.max() < 2
