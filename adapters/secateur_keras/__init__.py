"""The Keras 3 adapter of secateur, for the TensorFlow, JAX and torch backends."""
