"""Converts the bytes in files of tensors to arrays."""

from typing import Iterable, Union

import numpy as np

BFLOAT16 = "bfloat16"  # not a NumPy type: the upper 16 bits of a float32


def count_of(shape: Iterable[int]) -> int:
    """The number of values of a shape, as an unbounded integer (math.prod needs Python 3.8)."""
    product = 1
    for size in shape:
        product *= size
    return product


def item_size(dtype: str) -> int:
    """The number of bytes of a type's value."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def array_of_bytes(raw: Union[bytes, np.ndarray], dtype: str) -> np.ndarray:
    """Converts bytes to a flat array; bfloat16 is widened to float32."""
    if dtype != BFLOAT16:
        return np.frombuffer(raw, dtype)
    return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
