"""Counts the graphs of the process."""

import gc


def num_living_graphs():
    """Number of graphs, including graphs of functions, that have not been freed."""
    gc.collect()
    return sum(type(thing).__name__ in ("Graph", "FuncGraph") for thing in gc.get_objects())
