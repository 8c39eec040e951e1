"""Exports model folders to frozen graphs, SavedModels, TFLite and ONNX."""
