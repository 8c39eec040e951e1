"""What runs a model: a session of a checkpoint or SavedModel, TFLite, ONNX."""
