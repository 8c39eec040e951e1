"""Distillation of a model's intermediate layers: attention, hidden states, embeddings."""
