"""Small files of models: measured, packed, unpacked, and filled into a model again."""
