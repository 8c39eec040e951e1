"""Sequence labelling: named entities and word segmentation."""
