"""From weights to masks, on one process or over shards.  Pure: no policy, no plugins."""
