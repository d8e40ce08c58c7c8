"""Which of the groups with equal keys stay: the first by canonical index, then by content."""
