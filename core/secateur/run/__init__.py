"""A policy at work on one model: the plan, the pruner, its state and its report."""
