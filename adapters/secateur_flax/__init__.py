"""Flax NNX for secateur: finds the weights of an `nnx.Module` and keeps them masked."""
