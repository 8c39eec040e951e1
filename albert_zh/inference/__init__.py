"""Inference with models in memory, the HTTP service, and search."""
