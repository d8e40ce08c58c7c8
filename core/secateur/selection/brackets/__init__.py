"""Brackets around the k-th highest key: guessed from a sample, and proved by counting."""
