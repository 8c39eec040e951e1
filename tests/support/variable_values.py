"""Assigns values to variables in tests."""


def assign(session, values):
    """Assigns {variable: array} in a single session run; `load` needs a run for each variable."""
    feed = {variable.initializer.inputs[1]: array for variable, array in values.items()}
    session.run([variable.initializer for variable in values], feed)
