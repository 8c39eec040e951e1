"""What programs written for albert_zh import, by its names: the root's modules show it."""
