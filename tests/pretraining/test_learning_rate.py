"""The learning rate of pre-training: scaling to the batch size, and warnings."""

import pytest

from albert_zh.model import optimization
from albert_zh.pretraining import flags as pretraining_flags
from albert_zh.pretraining import learning_rate
from isolated_flags import flags_of


def chosen(capsys, *arguments):
    """Returns (learning rate, printed text) for the flags of a run."""
    arguments = ["--do_train=true"] + list(arguments)
    with flags_of(arguments, pretraining_flags.define_flags):
        return learning_rate.chosen_rate(pretraining_flags.FLAGS), capsys.readouterr().out


@pytest.mark.parametrize(
    "optimizer, batch, rate",
    [
        ("lamb", 4096, 0.00176),
        ("lamb", 64, 0.00022),
        ("nezha_lamb", 64, 0.00022),
        ("adamw", 256, 0.0001),
    ],
)
def test_a_rate_left_out_fits_the_batch(capsys, optimizer, batch, rate):
    found, said = chosen(capsys, "--optimizer=" + optimizer, "--train_batch_size=%d" % batch)
    assert found == pytest.approx(rate)
    assert said.startswith("learning rate %.3g: " % rate)


@pytest.mark.parametrize(
    "optimizer, batch, rate, is_warned_of",
    [
        ("lamb", 64, 0.00176, True),  # the rate in albert_zh's README with a small batch
        ("lamb", 4096, 0.00176, False),
        ("nezha_lamb", 64, 0.001, True),
        ("nezha_lamb", 64, 0.0005, False),
        ("adamw", 64, 0.0005, False),  # the rate of the starter model
        ("adamw", 32, 0.0005, False),
        ("adamw", 64, 0.001, True),
    ],
)
def test_rates_known_to_collapse_are_warned_of(capsys, optimizer, batch, rate, is_warned_of):
    found, said = chosen(
        capsys,
        "--optimizer=" + optimizer,
        "--train_batch_size=%d" % batch,
        "--learning_rate=%g" % rate,
    )
    assert found == rate
    warning = (
        "is known to fail at a batch size of %d (the loss stays near that of guessing)" % batch
    )
    assert (warning in said) == is_warned_of


@pytest.mark.parametrize("optimizer", sorted(optimization.OPTIMIZERS))
def test_each_optimizer_has_a_rate_and_takes_one(capsys, optimizer):
    found, said = chosen(capsys, "--optimizer=" + optimizer, "--train_batch_size=64")
    assert said.startswith("learning rate %.3g: " % found)
    found, said = chosen(capsys, "--optimizer=" + optimizer, "--learning_rate=1e-6")
    assert found == 1e-6 and not said
