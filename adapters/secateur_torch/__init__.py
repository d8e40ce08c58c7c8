"""PyTorch for secateur: finds the weights of an `nn.Module` and keeps them masked."""
