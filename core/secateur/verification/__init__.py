"""Whether a model, or the file that ships, obeys a policy."""
