"""Classification, multi-label classification and regression."""
