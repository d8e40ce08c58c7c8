"""ONNX files as checkpoints: initializers, by what the graph does with them."""
