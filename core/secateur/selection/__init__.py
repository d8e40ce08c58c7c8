"""Exact selection: the groups of a weight, their scores, and which of them are kept."""
