"""Statistical top-k (Spark Transformer, arXiv:2506.06644; Gemma 3n): sparse activations without sorting."""

from statistics import NormalDist

import torch
from torch import Tensor

from .base import Box


class GaussianTopK(Box):
    """Cuts each token's channels at the value that a share of a Gaussian of their mean and deviation lies below."""

    box = "activation"
    keeps_shape = True
    label = "Statistical top-k"

    def __init__(self, sparsity: float):
        super().__init__()
        self.deviations = NormalDist().inv_cdf(sparsity)
        self.explain = f"What lies less than {self.deviations:.3g} deviations above the mean is cut to zero."

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d_ff)
        cut = x.mean(dim=-1, keepdim=True) + self.deviations * x.std(dim=-1, keepdim=True, unbiased=False)
        return torch.relu(x - cut)
