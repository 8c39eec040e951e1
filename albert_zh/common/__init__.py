"""Errors, files, progress, plots: what every part of the package uses."""
