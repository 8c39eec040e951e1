"""Compares the outputs of an exported file with the checkpoint's on hundreds of texts.

    examples = Examples(model, "classifier", session_of, texts, 128)  # runs the checkpoint
    comparison = examples.check(run, limits("int8"), "model.tflite")  # runs the file
    print(comparison.equal_labels)  # 0.988

A few texts show little: a file whose probabilities were within 0.02 on ten pairs was 0.53 off on
one of 500 and changed 3.9 % of the labels. Therefore quantized classifiers are judged by the share
of texts that keep the checkpoint's label, and floating-point files also by the largest difference.
For labelling and reading, the share of texts that keep their spans is shown, and judged on request:
a text with many spans is more likely to change than a single label.
"""

import collections
import math
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common.errors import UserError
from albert_zh.common.progress import progress_bar
from albert_zh.export import exported_model
from albert_zh.inference import input_rows
from albert_zh.tasks import metrics as task_metrics

_SEQUENCE = "sequence_output"  # the encoder's output for each token
# Always compared: no text, one and two texts, full width, several lengths, more than fits.
ODD_TEXTS = (
    ("今天天气很好，我们去公园吧。", None),
    ("怎么开户", "如何开通账户"),
    ("ＡＢＣ apple 3.14 元，2020年", "这部手机的电池可以用多久？"),
    ("人工智能让手机更懂用户的需要，也带来了关于隐私的新问题" * 4, None),
)

Comparison = collections.namedtuple("Comparison", "num_texts largest mean equal_labels")
Comparison.__doc__ = """The differences between a file's outputs and the checkpoint's.

Differences are absolute; for outputs with values above 1, they are relative to the largest value.

Fields:
    num_texts: number of texts compared.
    largest: largest difference.
    mean: mean difference.
    equal_labels: share of texts with the checkpoint's label (multi-label: all labels), or with all
        of its tags or spans; None for outputs that represent neither.
"""

Limits = collections.namedtuple(
    "Limits", "largest mean equal_labels equal_answers", defaults=(None,)
)
Limits.__doc__ = """The limits of a `Comparison`; None: no limit.

Fields:
    largest, mean: maximum differences.
    equal_labels: minimum share of equal labels, for classifiers.
    equal_answers: minimum share of equal tags or spans, for labelling and reading.
"""

# The largest difference on hundreds of texts is an outlier, which means little for integers.
LIMITS = collections.OrderedDict(
    [
        ("none", Limits(largest=1e-4, mean=None, equal_labels=0.995)),
        ("float16", Limits(largest=0.02, mean=None, equal_labels=0.99)),
        ("dynamic", Limits(largest=None, mean=0.05, equal_labels=0.95)),
        ("int8", Limits(largest=None, mean=0.05, equal_labels=0.95)),
    ]
)
_LESS_QUANTIZATION = {
    "none": "",
    "float16": "use --quantize=none, or ",
    "dynamic": "use --quantize=float16 or none, or ",
    "int8": "use --quantize=float16 or none, more --representative_texts like those that the model "
    "will get, or ",
}

Row = Dict[str, np.ndarray]


def limits(
    quantize: str, tolerance: Optional[float] = None, min_equal_labels: Optional[float] = None
) -> Limits:
    """The limits of a kind of quantization, or the user's limits instead.

    Args:
        quantize: key of `LIMITS`.
        tolerance: maximum difference, instead of the largest and the mean one; or None.
        min_equal_labels: minimum share of equal labels, 0 to 1, or None.
    """
    chosen = LIMITS[quantize]
    if tolerance is not None:
        chosen = chosen._replace(largest=tolerance, mean=None)
    if min_equal_labels is not None:
        chosen = chosen._replace(equal_labels=min_equal_labels, equal_answers=min_equal_labels)
    return chosen


class Examples:
    """Texts as a model's inputs, with the checkpoint's outputs for them."""

    def __init__(
        self,
        model: exported_model.Model,
        task: str,
        open_session: Callable[..., Any],
        texts: Sequence[Tuple[str, Optional[str]]] = (),
        seq_length: Optional[int] = None,
    ) -> None:
        """Runs the checkpoint.

        Args:
            model: `exported_model.Model`.
            task: key of `exported_model.TASKS`.
            open_session: function with the arguments of `common.session_of`.
            texts: pairs (text_a, text_b or None) in addition to `ODD_TEXTS`.
            seq_length: F if all rows are padded to it; None: no padding.
        """
        self.output_names = exported_model.outputs_of(model, task)
        self._answer_of = _answer_of(model, task, self.output_names)
        self.have_labels = self._answer_of is not None and model.kind.is_classification
        self._answer_names = model.kind.answer_names
        self._task, self._token_outputs = task, (_SEQUENCE, *model.kind.token_outputs)
        longest = seq_length or min(input_rows.DEFAULT_LENGTH, model.config.longest_sequence)
        heads = [head for head in exported_model.TASKS[task].heads if head in model.heads]
        self.texts = ODD_TEXTS + tuple(texts)
        rows = [
            exported_model.encoded(model, pair, index, longest, heads)
            for index, pair in enumerate(self.texts)
        ]
        rows.sort(key=_length)  # so that interpreters prepare each length once
        if seq_length:
            rows = [exported_model.padded(row, seq_length) for row in rows]
        with open_session(model, heads=heads) as (session, graph):
            tensors = [graph.outputs[name] for name in self.output_names]
            self.rows = [_with_masked_words(row, graph) for row in rows]
            self.expected = [
                self._read(
                    row, session.run(tensors, {graph.inputs[name]: row[name] for name in row})
                )
                for row in self.rows
            ]

    def _read(self, row, arrays):
        """A row's outputs without the outputs for padding, which nobody reads."""
        length = int(row["input_mask"].sum())
        return [
            np.asarray(array)[:, :length] if name in self._token_outputs else array
            for name, array in zip(self.output_names, arrays)
        ]

    def limits(self, allowed: Limits) -> Limits:
        """Limits whose `equal_labels` applies to the kind of answers of these texts."""
        return allowed if self.have_labels else allowed._replace(equal_labels=allowed.equal_answers)

    @property
    def have_answers(self) -> bool:
        """Whether the compared outputs represent labels, tags or spans."""
        return self._answer_of is not None

    def check(
        self,
        run: Callable[[Row], List[np.ndarray]],
        allowed: Limits,
        path: str,
        quantize: str = "none",
    ) -> Comparison:
        """Compares an exported file with the checkpoint.

        Args:
            run: function of a row {name: int array [1, F]} -> arrays, ordered as `output_names`.
            allowed: `Limits`.
            path: path of the file, for the error.
            quantize: key of `LIMITS`, for the error's suggestions.

        Returns:
            `Comparison`.

        Raises:
            UserError: if the file exceeds the limits.
        """
        rows = progress_bar(
            "comparing with the checkpoint", len(self.rows), "text", iterable=self.rows, leave=False
        )
        is_rounded_vector = self._task == "embedding" and quantize != "none"
        difference = _angle if is_rounded_vector else _differences
        outputs = [self._read(row, run(row)) for row in rows]
        comparison = compared(outputs, self.expected, self._answer_of, difference)
        way_out = _LESS_QUANTIZATION[quantize]
        problem = problem_of(comparison, self.limits(allowed), way_out, self._answer_names)
        if problem:
            raise UserError("%s is not written: %s" % (path, problem))
        return comparison


def _length(row):
    return row["input_ids"].shape[1]


def _with_masked_words(row, graph):
    """Adds positions to the row of a model with a masked-LM head; the loss is not compared."""
    if "masked_lm_positions" not in graph.inputs:
        return row
    length = int(row["input_mask"].sum())
    positions = np.array([[1, length // 2, length - 2]], np.int32)
    return dict(row, masked_lm_positions=positions)


def _answer_of(model, task, names):
    """The function from a row's arrays to the answer that they represent; None if to none."""
    if task != "classifier":
        return None
    kind = model.kind
    if kind.is_classification:
        if not kind.rules.has_classes:
            return None
        thresholds = model.settings.get("thresholds")
        return lambda arrays: task_metrics.predicted(kind.name, arrays[0], thresholds)
    if kind.answer_of_row is None:
        return None
    head = model.settings.get("head", {})
    return lambda arrays: kind.answer_of_row(
        {name: array[0] for name, array in zip(names, arrays)}, model.labels, head
    )


def compared(
    outputs: Sequence[Sequence[np.ndarray]],
    expected: Sequence[Sequence[np.ndarray]],
    answer_of: Optional[Callable[[Sequence[np.ndarray]], Any]] = None,
    difference: Optional[Callable[[np.ndarray, np.ndarray], np.ndarray]] = None,
) -> Comparison:
    """Compares a file's outputs with the checkpoint's.

    Args:
        outputs: for each text, the file's arrays.
        expected: for each text, the checkpoint's arrays.
        answer_of: function from a text's arrays to their answer, such as a label; or None.
        difference: function of two arrays -> array of their differences; None: absolute.

    Raises:
        UserError: if an array has another shape.
    """
    differences = [
        (difference or _differences)(np.asarray(actual), wanted)
        for of_text in zip(outputs, expected)
        for actual, wanted in zip(*of_text)
    ]
    equal_labels = None
    if answer_of:
        pairs = [(answer_of(ours), answer_of(wanted)) for ours, wanted in zip(outputs, expected)]
        equal_labels = float(np.mean([np.array_equal(*pair) for pair in pairs]))
    return Comparison(
        num_texts=len(expected),
        largest=float(np.max([array.max() for array in differences])),  # NaN stays NaN
        mean=float(np.mean([array.mean() for array in differences])),
        equal_labels=equal_labels,
    )


def _angle(actual, expected):
    """1 - the cosine of two vectors: the effect of quantization on a search."""
    _differences(actual, expected)  # raises for other shapes
    lengths = np.linalg.norm(actual) * np.linalg.norm(expected)
    return np.array([1 - np.sum(actual * expected) / lengths])


def _differences(actual, expected):
    if actual.shape != expected.shape:
        raise UserError("the exported file gives %s, expected %s" % (actual.shape, expected.shape))
    return np.abs(actual - expected) / max(1.0, float(np.abs(expected).max()))


def problem_of(
    comparison: Comparison, allowed: Limits, way_out: str = "", answers: str = "labels"
) -> Optional[str]:
    """The limit that a comparison exceeds, and what to do; None if it exceeds none.

    Args:
        comparison: the measured values.
        allowed: the limits.
        way_out: what helps other than accepting the file, followed by `or`.
        answers: `TaskType.answer_names`.
    """
    deviation = comparison
    if not math.isfinite(deviation.largest):
        return "some of its outputs on %d texts are not finite numbers" % deviation.num_texts
    if _is_below(deviation.equal_labels, allowed.equal_labels):
        return (
            "its %s are equal to the checkpoint's on %s of %d texts, expected at least %s: %s"
            % (
                answers,
                percentage(deviation.equal_labels),
                deviation.num_texts,
                percentage(allowed.equal_labels),
                way_out + "accept it with --min_equal_labels=%g" % _floor(deviation.equal_labels),
            )
        )
    for kind in ("largest", "mean"):
        if _is_below(getattr(allowed, kind), getattr(deviation, kind)):
            return (
                "the %s difference of its outputs on %d texts is %.2g, expected at most %g: %s"
                % (
                    kind,
                    deviation.num_texts,
                    getattr(deviation, kind),
                    getattr(allowed, kind),
                    way_out + "accept it with --tolerance=%g" % _ceiling(deviation.largest),
                )
            )
    return None


def _is_below(agreement, least):
    return None not in (agreement, least) and agreement < least


def _floor(share):
    return math.floor(1000 * share) / 1000


def _ceiling(difference):
    """A difference, rounded up to two digits."""
    unit = 10.0 ** (math.floor(math.log10(difference)) - 1) if difference else 1.0
    return float("%.2g" % (math.ceil(difference / unit) * unit))


def percentage(share: float) -> str:
    """0.97142 -> `97.1 %`; 100 only if all are equal."""
    return "%.1f %%" % (100 * _floor(share))
