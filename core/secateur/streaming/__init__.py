"""Checkpoint files pruned tensor by tensor: read, masked and written once, whatever their size."""
