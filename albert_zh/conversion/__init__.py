"""To and from PyTorch."""
