"""Other libraries' ways to prune PyTorch models, on secateur's masks."""
