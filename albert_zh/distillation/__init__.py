"""Teachers for distillation: models and files, cached targets, and averages of teachers."""
