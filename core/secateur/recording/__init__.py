"""Recordings: the masks of a run at each of its updates, in one file."""
