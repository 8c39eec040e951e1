"""The modules that programs written for albert_zh import, under its names (see the root)."""
