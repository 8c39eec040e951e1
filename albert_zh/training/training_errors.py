"""Translates TensorFlow errors in training into messages that users can act on."""

import contextlib
import re
from typing import Callable, Iterator, Optional

import tensorflow.compat.v1 as tf

from albert_zh.common import storage, system_errors
from albert_zh.common.errors import UserError

_REMOTE_PATH = re.compile(r"(gs|s3|hdfs|ram)://[^\s'\",;]+")


class Explosion(Exception):
    """Raised if the loss is far above the loss of random guessing."""


class Diverged(UserError):
    """Raised if the loss of a training is not finite, or far above the loss of random guessing."""


# TensorFlow exceptions that users can do something about: (type, words in the text, message).
_EXPLANATIONS = (
    (
        tf.train.NanLossDuringTrainingError,
        "",
        "the loss or the weights are not finite numbers; {checkpoint}: a smaller --learning_rate "
        "usually helps, with another --output_dir",
    ),
    (
        Explosion,
        "",
        "{error}, far above the loss of guessing; {checkpoint}: a smaller --learning_rate or a "
        "longer warm-up usually helps, with another --output_dir",
    ),
    (
        tf.errors.OpError,
        "No space left",
        "{folder}: no space left on the disk: free some and run the same command again",
    ),
    *[
        (tf.errors.OpError, phrase, "{folder}: cannot be written ({error}): {advice}")
        for phrase in system_errors.PHRASES
    ],
    (
        tf.errors.ResourceExhaustedError,
        "",
        "out of memory: use a smaller --train_batch_size or --max_seq_length ({error})",
    ),
    (tf.errors.PermissionDeniedError, "", "{folder}: cannot be written ({error})"),
    (
        tf.errors.FailedPreconditionError,
        "; ",  # an operating system's error, as in "PATH; Is a directory"
        "{folder}: cannot be written ({error})",
    ),
    (
        tf.errors.DataLossError,
        "",
        "a file is damaged ({error}): remove the *.tf_record files, or the newest checkpoint, of "
        "{folder} and run the same command again",
    ),
    (RuntimeError, "Cannot find any TPU", "--use_tpu: {error}; --tpu_name names one"),
)


def _explain_storage(error):
    """Raises `UserError` if a TensorFlow error is about a file in remote storage."""
    remote = _REMOTE_PATH.search(str(error))
    of_content = (tf.errors.DataLossError, tf.errors.InvalidArgumentError)
    if remote and isinstance(error, tf.errors.OpError) and not isinstance(error, of_content):
        refused = storage.storage_error(remote.group(), error)
        raise UserError(
            "%s: %s: %s" % (refused.filename, refused.strerror, refused.way_out)
        ) from error


def _last_good_checkpoint(folder):
    """A phrase that names the last good checkpoint of a training."""
    newest = tf.train.latest_checkpoint(folder)
    return "the last good checkpoint is %s" % newest if newest else "there is no checkpoint yet"


@contextlib.contextmanager
def explained_errors(
    folder: Optional[str], check_start: Optional[Callable[[], None]] = None
) -> Iterator[None]:
    """Converts TensorFlow's exceptions for full disks, bad folders, NaN ... to `UserError`.

    Args:
        folder: the output folder; None if the flags name none.
        check_start: function that raises `UserError` if the weights that training started from are
            not finite; None for no check.
    """
    try:
        yield
    except Exception as error:  # re-raised unless it is in the table
        _explain_storage(error)
        for kind, words, explanation in _EXPLANATIONS:
            if isinstance(error, kind) and words in str(error):
                is_divergence = kind in (tf.train.NanLossDuringTrainingError, Explosion)
                if is_divergence and check_start:
                    check_start()
                message = explanation.format(
                    folder=folder,
                    checkpoint=_last_good_checkpoint(folder) if is_divergence else None,
                    error=system_errors.reason(error),
                    advice=system_errors.advice(error),
                )
                raise (Diverged if is_divergence else UserError)(message) from error
        raise
