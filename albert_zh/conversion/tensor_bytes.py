"""Arrays of the bytes that files of tensors hold."""

from typing import Iterable, Union

import numpy as np

BFLOAT16 = "bfloat16"  # NumPy has no such type: bits are the upper half of a float32's


def count_of(shape: Iterable[int]) -> int:
    """Number of values of a shape, as an unbounded integer (math.prod is of Python 3.8)."""
    product = 1
    for size in shape:
        product *= size
    return product


def item_size(dtype: str) -> int:
    """Bytes of a value of a type."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def array_of_bytes(raw: Union[bytes, np.ndarray], dtype: str) -> np.ndarray:
    """Flat array of bytes; bfloat16 is widened to float32."""
    if dtype != BFLOAT16:
        return np.frombuffer(raw, dtype)
    return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
