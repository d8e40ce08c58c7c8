"""What a team asks of a policy before a run: is it right, and why is a weight pruned like this."""
