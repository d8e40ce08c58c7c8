"""Where a weight goes in the source of a layer's forward: straight into an operation, or not."""
