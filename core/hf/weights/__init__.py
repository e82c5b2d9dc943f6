"""Checkpoints: what they call their tensors, and how these fill a built model."""
