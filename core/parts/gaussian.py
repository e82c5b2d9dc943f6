"""Statistical top-k (Spark Transformer, arXiv:2506.06644; Gemma 3n): sparse activations without sorting."""

from statistics import NormalDist

import torch
from torch import Tensor

from .base import Box


class GaussianTopK(Box):
    """Sets the lowest share of each token's channels to zero; the threshold is that of a Gaussian of their mean and deviation."""

    box = "activation"
    keeps_shape = True
    label = "Statistical top-k"

    def __init__(self, sparsity: float):
        super().__init__()
        self.deviations = NormalDist().inv_cdf(sparsity)
        self.explain = f"Values less than {self.deviations:.3g} standard deviations above the mean become zero."

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d_ff)
        cut = x.mean(dim=-1, keepdim=True) + self.deviations * x.std(dim=-1, keepdim=True, unbiased=False)
        return torch.relu(x - cut)
