"""What names and shapes of tensors tell of them, habit by habit."""
