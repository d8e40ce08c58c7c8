"""Whether the live model is what its masks say: whose it is, and what it holds."""
