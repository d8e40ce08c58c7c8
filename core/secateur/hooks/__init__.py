"""The plugin host: hooks, what plugins provide, and which adapter a model belongs to."""
