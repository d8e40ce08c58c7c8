"""Reading policies: files and what they extend, overrides, and where each part is written."""
