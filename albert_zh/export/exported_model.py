"""What is exported: tasks, models, options, and the conversion of texts to inputs."""

import collections
from typing import TYPE_CHECKING, Any, Container, Dict, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.inference import input_rows
from albert_zh.model import graph_inputs
from albert_zh.model.checkpoints import checkpoint_names, fine_tuning_notes
from albert_zh.tasks import registry
from albert_zh.tasks import settings as task_settings
from albert_zh.tasks.input_examples import InputExample
from albert_zh.tasks.slots import cells
from albert_zh.text import encoding

if TYPE_CHECKING:
    from albert_zh.tasks.kind_interface import Column

# The outputs of a task and the heads that it needs. The first output is the one to compare.
ExportedTask = collections.namedtuple("ExportedTask", ["heads", "outputs"])
TASKS = collections.OrderedDict(
    [
        ("classifier", ExportedTask(("classification",), ("probabilities",))),
        (
            "pretraining",
            ExportedTask(
                ("masked_lm", "sentence_order"), ("masked_lm_log_probs", "sentence_order_log_probs")
            ),
        ),
        ("encoder", ExportedTask((), ("sequence_output", "pooled_output"))),
        ("embedding", ExportedTask((), (graph_inputs.SENTENCE_OUTPUT,))),
    ]
)

Options = collections.namedtuple(
    "Options", "task seq_length quantize limits texts integer_only metadata"
)
Options.__doc__ = """The options of an export.

Fields:
    task: key of `TASKS`.
    seq_length: F, or None for any length.
    quantize: "none", "float16", "dynamic" or "int8".
    limits: `comparison.Limits` of the differences between file and checkpoint.
    texts: list of (text_a, text_b or None), the user's texts.
    integer_only: bool; only TFLite int8: no floating-point operations.
    metadata: bool; only TFLite: store tokenizer, vocabulary and labels in the file.
"""


class Model(
    collections.namedtuple(
        "Model",
        "folder config prefix heads num_labels labels settings tokenizer sentence_notes task",
        defaults=(None,),
    )
):
    """A model folder that has been read and checked.

    Fields:
        folder: path.
        config: `AlbertConfig`.
        prefix: prefix of its checkpoint.
        heads: keys of `checkpoint_names.HEADS` that the checkpoint contains.
        num_labels: number of classes of its classifier, or None.
        labels: list of str in the order of their numbers, or None.
        settings: content of fine_tuning.json; empty if there is none.
        tokenizer: `FullTokenizer`, or None if there is no vocabulary.
        sentence_notes: `SentenceNotes` of its vectors; None if the task computes no vectors.
        task: `task_forms.Task` of its head; None without a head.
    """

    __slots__ = ()

    @property
    def kind(self) -> Any:
        """The kind of task that it was fine-tuned for, a `TaskType`."""
        return registry.get(self.settings.get("objective", "single_label"))

    @property
    def exported_settings(self) -> Dict[str, Any]:
        """`settings`, plus values of the config for programs that do not read the config."""
        return dict(
            self.settings, **{fine_tuning_notes.MAX_POSITIONS: self.config.longest_sequence}
        )

    def further_inputs(self, heads: Container[str]) -> Dict[str, "Column"]:
        """{name: column} of the inputs of some of its heads, in addition to the encoder's."""
        if checkpoint_names.TASK_HEAD not in heads:
            return {}
        return self.kind.flags.further_inputs(self.settings.get("head", {}))

    def input_names(self, heads: Container[str]) -> List[str]:
        """Names of the inputs of some of its heads, except for those of masked positions."""
        return list(graph_inputs.ENCODER_INPUTS) + list(self.further_inputs(heads))


def outputs_of(model: Model, task: str) -> List[str]:
    """Names of a task's outputs for which the model has the heads."""
    there = {name for head in model.heads for name in outputs_of_head(model, head)}
    names = model.kind.decoded_outputs if task == "classifier" else TASKS[task].outputs
    there.update(TASKS["encoder"].outputs, TASKS["embedding"].outputs)
    return [name for name in names if name in there]


def outputs_of_head(model: Model, head: str) -> Sequence[str]:
    """Names of the outputs of one of a model's heads."""
    if head == checkpoint_names.TASK_HEAD:
        return model.kind.export_outputs
    return checkpoint_names.HEADS[head][1]


def output_positions(model: Model, task: str) -> Any:
    """The positions of the last layer that a task's outputs need, in `AlbertModel`'s form."""
    if task != "classifier":
        return None
    return model.kind.output_positions(task_settings.of_notes(model.settings))


def encoded(
    model: Model,
    pair: Tuple[str, Optional[str]],
    number: int,
    longest: int,
    heads: Container[str] = (),
) -> Dict[str, np.ndarray]:
    """Converts a text or pair to the model's inputs, without padding.

    Args:
        model: the model; without a vocabulary, ids are random.
        pair: (text_a, text_b or None).
        number: number of the pair.
        longest: maximum number of tokens; longer texts are truncated.
        heads: keys of `checkpoint_names.HEADS`, whose further inputs are added.

    Returns:
        {name: int32 array [1, F]}, and [1, F, ...] for further inputs.
    """
    text_a, text_b = pair
    if model.config.type_vocab_size < 2:
        text_b = None
    if model.tokenizer is None:
        generator = np.random.RandomState(number)
        ids = generator.randint(0, model.config.vocab_size, longest // (1 + number % 3))
        segments = np.zeros_like(ids)
    else:
        ids, segments, _ = encoding.encode(model.tokenizer, text_a, text_b, longest)
    rows = (ids, np.ones(len(ids)), segments)
    row = {
        name: np.asarray(row, np.int32)[None]
        for name, row in zip(graph_inputs.ENCODER_INPUTS, rows)
    }
    return dict(row, **_further_inputs(model, (text_a, text_b), number, len(ids), heads))


def _further_inputs(model, pair, number, length, heads):
    """{name: array [1, F, ...]} of the further inputs of heads for a text.

    Every second text has random slots: the texts alone may have none, and then neither calibration
    nor comparison would cover slots.
    """
    columns = model.further_inputs(heads)
    records = {name: np.zeros([length] + list(c.shape)) for name, c in columns.items()}
    if columns and model.tokenizer is not None:
        task = model.task._replace(labels=tuple(model.labels))
        example = InputExample("text", pair[0], pair[1], None)
        if cells.COLUMN in columns and number % 2:
            names = model.settings["head"]["slots"]["names"]
            example = example._replace(slots=cells.by_chance(pair, names, number))
        (records,), _ = model.kind.features(task, example, model.tokenizer, length)
    return {
        name: input_rows.padded_columns([records[name]], column) for name, column in columns.items()
    }


def padded(row: Dict[str, np.ndarray], length: int) -> Dict[str, np.ndarray]:
    """A row's arrays [1, F, ...], padded with zeros to a length."""

    def filled(array):
        widths = [[0, 0], [0, length - array.shape[1]]] + [[0, 0]] * (array.ndim - 2)
        return np.pad(array, widths, mode="constant")

    return {name: filled(array) for name, array in row.items()}
