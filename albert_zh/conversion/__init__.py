"""Converts models to and from PyTorch."""
