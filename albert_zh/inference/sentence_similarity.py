"""albert_zh's interface to a sentence-pair classifier, with the settings of args.py.

sim = BertSim()
sim.start_model()
sim.predict_sentences([("怎么开户", "如何开通账户")])
"""

import os
import sys
import types
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common import package_files
from albert_zh.common.errors import UserError, printable, table_cell
from albert_zh.inference import arguments, input_rows, model_choice, predictor
from albert_zh.model.checkpoints import model_folder
from albert_zh.text import tokenization

__all__ = ["BertSim", "model_of_args", "open_predictor", "print_pairs"]

if os.path.exists(os.path.join(package_files.ROOT, "args.py")):
    import args  # in a clone: the settings that users edit
else:
    args = types.SimpleNamespace()  # type: ignore[assignment]

_LENGTH_OF_ALBERT_ZH = 128  # max_seq_len of an args.py that nobody has changed
PREDICT = "infer"  # tf.estimator.ModeKeys.PREDICT


class BertSim:
    """albert_zh's interface: start the model once, predict any number of times."""

    def __init__(self, batch_size: Optional[int] = None) -> None:
        """`batch_size`: pairs per batch; default: the value in args.py."""
        arguments.check_arguments(batch_size=batch_size)
        self.batch_size = getattr(args, "batch_size", 128) if batch_size is None else batch_size
        self.mode = PREDICT
        self._predictor: Any = None

    def set_mode(self, mode: str) -> None:
        """Sets the mode, which must be `tf.estimator.ModeKeys.PREDICT`; commands train models.

        Raises:
            UserError: for another mode.
        """
        if mode != PREDICT:
            raise UserError(
                "mode: %r is not for BertSim, expected %r: train and evaluate by run_classifier.py"
                % (mode, PREDICT)
            )
        self.mode = mode

    def start_model(self) -> None:
        """Loads the model that args.py names, or else the newest `*_output/best`."""
        self._predictor = open_predictor()
        same = self._predictor.similarity_column()
        self._columns = [1 - same, same]

    def predict_sentences(self, sentences: Sequence[Tuple[str, str]]) -> np.ndarray:
        """Prints and returns the probability that the sentences of each pair mean the same.

        Args:
            sentences: pairs (text_a, text_b).

        Returns:
            float array [n, 2]: probabilities of different and of equal meaning.
        """
        if self._predictor is None:
            self.start_model()
        pairs = input_rows.checked_texts(sentences)
        rows = [np.zeros([0, 2], np.float32)]
        for start in range(0, len(pairs), self.batch_size):
            group = pairs[start : start + self.batch_size]
            rows.append(self._predictor.predict(group)[1][:, self._columns])
            print_pairs(group, rows[-1][:, 1])
        return np.concatenate(rows)

    def predict(self, sentence1: str, sentence2: str) -> np.ndarray:
        """Like `predict_sentences` for one pair: float array [1, 2]."""
        return self.predict_sentences([(sentence1, sentence2)])

    def model_in_use(self) -> Any:
        """The `ModelInUse` of the model, which is loaded first if necessary."""
        if self._predictor is None:
            self.start_model()
        return self._predictor.use

    def close(self) -> None:
        """Frees the model."""
        if self._predictor is not None:
            self._predictor.close()


def open_predictor(
    model_dir: Optional[str] = None,
    max_seq_length: Optional[int] = None,
    precision: str = "float32",
) -> predictor.Predictor:
    """Opens the predictor of a folder, of the model in args.py, or of the newest `*_output/best`.

    Args:
        model_dir: model folder, exported model, or None.
        max_seq_length: maximum length of a pair in tokens, or None.
        precision: a key of `modeling.PRECISIONS`.
    """
    length = _length_of_args() if max_seq_length is None else max_seq_length
    path, beside = (model_dir, {}) if model_dir else model_of_args()
    print(printable("model: %s" % path), file=sys.stderr)
    return predictor.Predictor(path, length, precision=precision, **beside)


def _length_of_args():
    """The maximum length that a user has set in args.py; None: as in training."""
    length = getattr(args, "max_seq_len", None)
    return None if length == _LENGTH_OF_ALBERT_ZH else length


def model_of_args() -> Tuple[str, Dict[str, Any]]:
    """(path, settings) of the model that args.py names, or else of the newest `*_output/best`.

    The output_dir of args.py is tried first, since training writes there.
    """
    output_dir = getattr(args, "output_dir", None)
    best = output_dir and os.path.join(output_dir, "best")
    candidates = (
        best,
        output_dir,
        getattr(args, "ckpt_name", None),
        getattr(args, "model_dir", None),
    )
    named = [path for path in candidates if path]
    if not named:
        return model_choice.newest_model(of_pairs=True), {}
    for path in named:
        if os.path.exists(path + ".index") or (os.path.isdir(path) and os.listdir(path)):
            return path, _files_of_args(is_checkpoint=path == getattr(args, "ckpt_name", None))
    raise UserError(
        "args.py: there is no model at %s: fine-tune one with bash run_classifier_lcqmc.sh, or "
        "set model_dir to its folder" % ", ".join(named)
    )


def _files_of_args(is_checkpoint):
    """Config and vocabulary that args.py names; for a checkpoint, also files of its model_dir."""
    named = {"config_file": "config_name", "vocab_file": "vocab_file"}
    paths = {key: getattr(args, name, None) for key, name in named.items()}
    folder = getattr(args, "model_dir", None)
    if is_checkpoint and folder and os.path.isdir(folder):
        paths["config_file"] = paths["config_file"] or model_folder.config_in_folder(folder)
        in_folder = tokenization.vocabulary_in_folder(folder)
        if os.path.exists(in_folder):
            paths["vocab_file"] = paths["vocab_file"] or in_folder
    return {key: path for key, path in paths.items() if path}


def print_pairs(pairs: Sequence[Tuple[str, Optional[str]]], probabilities: Sequence[float]) -> None:
    """Prints one line per pair: both sentences and the probability, tab-separated."""
    for (text_a, text_b), probability in zip(pairs, probabilities):
        print("%s\t%s\t%.4f" % (table_cell(text_a), table_cell(text_b or ""), probability))
    sys.stdout.flush()
