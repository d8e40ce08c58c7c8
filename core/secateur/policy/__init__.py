"""Policies: the file, its rules, what it extends, and errors that name the place."""
