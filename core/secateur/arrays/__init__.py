"""Plain array work: memory positions, sortable bits, chunks for threads, exact counts."""
