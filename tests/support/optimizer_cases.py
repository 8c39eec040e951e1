"""Golden values of the original optimizers, and variables and gradients to reproduce them."""

import os

import numpy as np
import tensorflow.compat.v1 as tf

from project_root import ROOT

BUNDLED = os.path.join(ROOT, "tests", "golden", "optim")


class Toy:
    """The golden cases' variables and fixed gradients; `m/unused` gets no gradient."""

    def __init__(self, name, use_resource=True, kind="optim"):
        self.golden = dict(np.load(os.path.join(os.path.dirname(BUNDLED), kind, name + ".npz")))
        self.variables = {
            key[5:]: tf.get_variable(key[5:], initializer=value, use_resource=use_resource)
            for key, value in self.golden.items()
            if key.startswith("init/")
        }
        self.gradients = {
            name: tf.placeholder(tf.float32, var.shape)
            for name, var in self.variables.items()
            if name != "m/unused"
        }
        self.loss = tf.add_n(
            [tf.reduce_sum(self.variables[name] * grad) for name, grad in self.gradients.items()]
        )

    def feed(self, step):
        return {grad: self.golden["grad/" + n][step] for n, grad in self.gradients.items()}

    def check(self, session, step):
        """Compares weights and slots; none may be missing or superfluous."""
        expected = {
            key[6:]: value[step]
            for key, value in self.golden.items()
            if key.startswith("after/") and key != "after/global_step"
        }
        variables = {v.op.name: v for v in tf.global_variables() if v.op.name != "global_step"}
        assert set(variables) == set(expected)
        for name, value in session.run(variables).items():
            assert value.dtype == np.float32
            np.testing.assert_allclose(
                value, expected[name], rtol=1e-5, atol=1e-5, err_msg="%s, step %d" % (name, step)
            )
