"""What is saved of a run, and how a run resumes from it."""
