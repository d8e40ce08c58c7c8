"""The commands of small files."""
