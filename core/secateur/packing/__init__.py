"""The packed format: bit masks and kept values in a small file that any framework can fill."""
