"""Helpers that all parts of the package share: errors, files, progress bars and plots."""
