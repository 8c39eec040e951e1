"""Distillation of what is inside of a model: attention, hidden states, embeddings."""
