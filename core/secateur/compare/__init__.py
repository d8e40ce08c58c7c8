"""What differs between policies, plans, masks and checkpoints; masks moved to a twin."""
