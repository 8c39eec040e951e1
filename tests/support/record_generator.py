"""The random numbers of dynamic masking in numpy, for comparison."""

import numpy as np


class RecordGenerator:
    """Random numbers that depend only on a record's key, not on its batch.

    Replaces `numpy.random.RandomState` in the functions of `masking`, all of whose draws have the
    shape [N, ...], a row for each record. The generator is SplitMix64 (Steele et al. 2014).
    """

    _STEP = np.uint64(0x9E3779B97F4A7C15)
    _MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))

    def __init__(self, seed, keys):
        """Args:
        seed: int.
        keys: int64 [N, K], the keys of the records, such as epoch, file and position in the file.
        """
        state = np.full(len(keys), np.uint64(seed % (1 << 64)))
        for column in np.asarray(keys).T:
            state = self._mixed(state ^ column.astype(np.uint64))
        self._state = state  # [N]

    def random_sample(self, shape):
        """Float64 of a shape (N, ...), uniform in [0, 1)."""
        width = int(np.prod(shape[1:]))
        self._state = self._mixed(self._state)
        counters = np.arange(1, width + 1, dtype=np.uint64) * self._STEP
        bits = self._mixed(self._state[:, None] + counters)  # [N, width]
        return (bits >> np.uint64(11)).astype(np.float64).reshape(shape) * 2.0**-53

    def randint(self, low, high, shape):
        """Int64 of a shape (N, ...), uniform in low to high - 1."""
        return low + (self.random_sample(shape) * (high - low)).astype(np.int64)

    def _mixed(self, bits):
        bits = bits + self._STEP
        for shift, multiplier in zip((30, 27), self._MULTIPLIERS):
            bits = (bits ^ (bits >> np.uint64(shift))) * multiplier
        return bits ^ (bits >> np.uint64(31))
