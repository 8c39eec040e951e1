"""Data sets and kinds of tasks."""
