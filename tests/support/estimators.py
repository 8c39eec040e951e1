"""Marks tests of programs that use TensorFlow's estimators."""

import pytest

from albert_zh.training import tensorflow_internals

needs_estimators = pytest.mark.skipif(
    not tensorflow_internals.has_estimators(), reason="this TensorFlow has no estimators"
)
