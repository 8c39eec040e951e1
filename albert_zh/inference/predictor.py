"""A fine-tuned model kept in memory that predicts labels and probabilities, or entities and so on.

with Predictor("lcqmc_output/best") as predictor:
    labels, probabilities = predictor.predict([("怎么开户", "如何开通账户")])

The model may be a model folder, the folder of an exported SavedModel, or an exported .tflite or
.onnx file; its vocabulary and labels are read from the same folder.
"""

import functools
import hashlib
import itertools
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common import storage
from albert_zh.common.errors import UserError
from albert_zh.inference import annotated_texts, arguments, input_rows, loaded_model, workers
from albert_zh.inference.files_beside import FilesBeside
from albert_zh.inference.model_choice import compares_sentences, newest_best_folder, takes_pairs
from albert_zh.inference.runtimes import backends
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values
from albert_zh.tasks import kind_interface, outputs_graph, registry, task_forms, unknown_words
from albert_zh.tasks.input_examples import InputExample

__all__ = [
    "Predictor",
    "SAME_MEANING",
    "compares_sentences",
    "newest_best_folder",
    "takes_pairs",
]

LONGEST_UNKNOWN = 512  # tokens, for exported files that do not record their maximum
SAME_MEANING = task_forms.SAME_MEANING


# Whether a model takes pairs: (text that was passed, texts that it was trained on).
_FORM_MISMATCHES = {True: ("a single text", "pairs"), False: ("a pair", "single texts")}
# What a program can do about it; the HTTP service suggests other ways.
_WAYS_OUT = {
    True: "give (text_a, text_b), or switch check_text_form off",
    False: "give one text, or switch check_text_form off",
}


class Predictor(loaded_model.LoadedModel):
    """A fine-tuned model that is loaded once and used by any number of threads.

    Attributes:
        num_cut: how many of the texts predicted so far were truncated.
        longest_uncut: maximum tokens of a text, or of a reader's question, without truncation.
        unknown: `unknown_words.Tally` of the texts predicted so far.
    """

    # long: the signature, its checks and the loading each list all arguments
    def __init__(
        self,
        path: str,
        max_seq_length: Optional[int] = None,
        do_lower_case: Optional[bool] = None,
        config_file: Optional[str] = None,
        vocab_file: Optional[str] = None,
        precision: str = "float32",
        num_threads: Optional[int] = None,
        check_text_form: bool = True,
        granularity: Optional[str] = None,
    ) -> None:
        """Loads config, vocabulary, labels and weights; the files are not needed afterwards.

        Args:
            path: model folder of a fine-tuned classifier, such as OUTPUT_DIR/best; folder of a
                SavedModel; or .tflite or .onnx file.
            max_seq_length: maximum input length in tokens; longer inputs are truncated; default: as
                in training.
            do_lower_case: whether to lower-case; default: as in training.
            config_file: config JSON file, if it is not in the model folder.
            vocab_file: vocabulary, if it is not in the model's folder.
            precision: precision of a model folder's products, a key of `modeling.PRECISIONS`.
            num_threads: threads of a call; default: one per core. For a .tflite or .onnx file:
                threads per operation; default: one, with one batch at a time per core.
            check_text_form: whether a model that was trained on single texts refuses pairs, and the
                other way round, as far as its folder records which of them it was trained on.
            granularity: granularity of the words, for a model with several; default: the first.

        Raises:
            UserError: if there is no model at the path.
        """
        super().__init__()
        self.num_cut = 0
        arguments.check_arguments(
            max_seq_length=max_seq_length,
            do_lower_case=do_lower_case,
            config_file=config_file,
            vocab_file=vocab_file,
            precision=precision,
            num_threads=num_threads,
            check_text_form=check_text_form,
            granularity=granularity,
        )
        self.path = path = arguments.checked_path(path)
        files_beside = FilesBeside(path)
        self.notes = trained = files_beside.settings
        self.objective = trained.get("objective", "single_label")
        self.kind = registry.get(self.objective)
        self._head = self.kind.flags.head_in_use(trained.get("head", {}), granularity)
        self.rules = self.kind.rules
        self._backend = backends.open_model(
            path,
            outputs_graph.outputs_builder,
            config_file=config_file,
            precision=precision,
            num_threads=num_threads,
            output_names=self.kind.decoded_outputs,
            further_inputs=self.kind.flags.further_inputs(self._head),
        )
        self._workers = workers.Workers(self._backend.num_workers)
        files_beside.check_settings(self._backend.num_outputs)
        self.takes_pairs = takes_pairs(trained)
        self._checks_text_form = check_text_form and self.takes_pairs is not None
        self.labels = self._labels_beside(files_beside)
        self.label_separator = trained.get("label_separator", task_forms.SEPARATOR)
        self._tokenizer = self._tokenizer_beside(files_beside, vocab_file, do_lower_case)
        self.max_seq_length = input_rows.checked_length(
            trained.get("max_seq_length") if max_seq_length is None else max_seq_length,
            self._backend.longest or files_beside.max_positions or LONGEST_UNKNOWN,
            self.kind.flags.shortest_length(self._head),
        )
        longest_of_kind = trained.get("head", {}).get(self.kind.length_flag)
        self.longest_uncut = longest_of_kind or self.max_seq_length
        self._use = self._model_in_use(files_beside)
        read = functools.partial(self.kind.text_as_read, self._head)
        self.unknown = unknown_words.Tally(self._tokenizer, read)

    def _labels_beside(self, files_beside):
        if not self.rules.has_classes:
            return ["value"]
        is_counted = not self.kind.token_outputs
        return files_beside.labels(self._backend.num_outputs if is_counted else None)

    def _tokenizer_beside(self, files_beside, vocab_file, do_lower_case):
        if do_lower_case is None:
            do_lower_case = self.notes.get("do_lower_case", True)
        tokenizer = files_beside.tokenizer(vocab_file, do_lower_case)
        if self._backend.vocab_size is not None:
            loaded_model.check_vocabulary(self.path, tokenizer, self._backend.vocab_size)
        return tokenizer

    def _model_in_use(self, files_beside):
        columns = tuple(self.notes.get("columns", task_forms.PAIR))
        task = task_forms.Task(
            files={},
            columns=columns,
            labels=tuple(self.labels),
            objective=self.objective,
            head=self._head,
        )
        further = files_beside.further_files(self.kind.flags.further_files)
        task = self.kind.flags.with_model_files(task, further, self.path)
        return kind_interface.ModelInUse(task, self.notes, self._tokenizer, self.max_seq_length)

    def predict(self, texts: Sequence[input_rows.Text]) -> Tuple[List, np.ndarray]:
        """Predicts what the model was fine-tuned for, such as the classes of texts.

        Args:
            texts: list of str, or of (text_a, text_b); for a model with slots also of dicts that
                contain them, see `annotated_texts`. Matches of dictionaries are added.

        Returns:
            (labels, probabilities): list of n labels and float array [n, classes], in the order of
            the texts. A multi-label model returns a list of labels per text; a regression model
            returns its value per text, also as the only column. Other kinds of tasks return the
            result of `TaskType.decode`, and None if outputs differ in length.

        Raises:
            UserError: the errors of `checked`, and after `close`.
        """
        predictions, outputs = self.predict_with_readings(texts)
        return [prediction for prediction, _ in predictions], outputs

    def predict_with_readings(
        self, texts: Sequence[input_rows.Text], is_wanted: workers.IsWanted = None
    ) -> Tuple[List[Tuple[Any, input_rows.Reading]], np.ndarray]:
        """Like `predict`, with (label, parts of the text that the model did not see).

        Raises:
            Abandoned: if `is_wanted`, which is called before every batch, returns False.
        """
        checked, slots = self._checked_with_slots(texts)
        examples = [
            InputExample("text-%d" % number, text_a, text_b, None, slots=slots[number])
            for number, (text_a, text_b) in enumerate(checked)
        ]
        grouped, readings = self._grouped_outputs(examples, is_wanted)
        decoded = list(zip(self.kind.decode(examples, grouped, self._use), readings))
        main = self.kind.decoded_outputs[0]
        if main in self.kind.token_outputs or {len(rows) for rows in grouped} - {1}:
            return decoded, None
        outputs = [of_rows[0][main] for of_rows in grouped]
        return decoded, np.array(outputs, np.float32).reshape(
            [len(outputs), self._backend.num_outputs]
        )

    @property
    def use(self) -> Any:
        """The model in the form that its kind of task needs, a `task_type.ModelInUse`."""
        return self._use

    def outputs(self, examples: Sequence[Any]) -> List[List[Dict[str, np.ndarray]]]:
        """Computes the outputs of examples, before they are decoded.

        Args:
            examples: as returned by `TaskType.read_split`; their labels are ignored.

        Returns:
            for each example, `TaskType.decoded_outputs` of its rows, each {name: array}.

        Raises:
            UserError: after `close`.
        """
        return self._grouped_outputs(examples)[0]

    def _grouped_outputs(self, examples, is_wanted=None):
        """(the result of `outputs`, the `Reading` of each example)."""
        with self.in_use():
            rows, counts, readings = self._rows_of(examples)
            with self._state:
                self.num_cut += sum(reading.was_cut for reading in readings)
            predictions = iter(self._outputs_of(rows, is_wanted))
            return [list(itertools.islice(predictions, count)) for count in counts], readings

    def _rows_of(self, examples):
        """(records of all examples, number of rows of each, the `Reading` of each)."""
        rows, counts, readings = [], [], []
        for example in examples:
            if example.text_b is not None and self._backend.num_segments < 2:
                raise UserError("the model takes single texts (type_vocab_size 1), found a pair")
            records, was_cut = self.kind.features(
                self._use.task, example, self._tokenizer, self.max_seq_length
            )
            rows += records
            counts.append(len(records))
            ids = [record["input_ids"] for record in records]
            is_unknown = self.unknown.add((example.text_a, example.text_b), ids)
            readings.append(input_rows.Reading(was_cut, is_unknown))
        return rows, counts, readings

    def _outputs_of(self, rows, is_wanted):
        """[{name: array}] of records; per-token arrays have the length of the record."""
        names, token_outputs = self.kind.decoded_outputs, self.kind.token_outputs
        outputs = [None] * len(rows)

        def run(batch):
            return self._backend.run(*self._inputs_of([rows[i] for i in batch]))

        lengths = [len(row["input_ids"]) for row in rows]
        batches = list(input_rows.batches_by_length(lengths, self._backend.num_shares))
        for batch, arrays in zip(batches, self._workers.in_order(run, batches, is_wanted)):
            for place, index in enumerate(batch):
                outputs[index] = {name: array[place] for name, array in zip(names, arrays)}
        for name in token_outputs:
            for row, output in zip(rows, outputs):
                output[name] = output[name][: len(row["input_ids"])]
        return outputs

    def _inputs_of(self, rows):
        """The backend's input arrays of records."""
        length = self._backend.fixed_length
        ids = [(row["input_ids"], row["segment_ids"]) for row in rows]
        inputs = list(input_rows.padded(ids, length))
        for name, column in self.kind.flags.further_inputs(self._head).items():
            columns = [row[name] for row in rows]
            inputs.append(input_rows.padded_columns(columns, column, length))
        return inputs

    def checked(
        self, texts: Sequence[input_rows.Text], ways_out: Optional[Dict[bool, str]] = None
    ) -> List[Tuple[str, Optional[str]]]:
        """Checks texts and returns them as (text_a, text_b), text_b None for a single text.

        Args:
            texts: list of str, of (text_a, text_b), or of dicts as in `predict`.
            ways_out: {whether the model takes pairs: what to do about a text of the other form};
                None: what a program can do.

        Raises:
            UserError: for values that are no texts, or not of the form of the training texts.
        """
        return self._checked_with_slots(texts, ways_out)[0]

    def _checked_with_slots(self, texts, ways_out=None):
        """(the result of `checked`, for each text its slots or None)."""
        names = self._head.get("slots", {}).get("names", ())
        plain, slots = annotated_texts.separated(texts, names)
        checked = input_rows.checked_texts(plain)
        for number, (_, text_b) in enumerate(checked if self._checks_text_form else ()):
            if (text_b is not None) != self.takes_pairs:
                raise UserError("text %d is %s" % (number, self._form_mismatch(ways_out)))
        self._check_required(checked)
        return checked, slots or [None] * len(checked)

    def _check_required(self, checked):
        """Raises `UserError` for an empty text if the kind of task requires a non-empty one."""
        name = self.kind.required_text
        for number, (text, _) in enumerate(checked if name else ()):
            if not text.strip():
                raise UserError(
                    "text %d: the %s is empty, expected one before its context" % (number, name)
                )

    def _form_mismatch(self, ways_out):
        """The error for a pair if the model takes single texts, or the other way round."""
        form = bool(self.takes_pairs)
        found, expected = _FORM_MISMATCHES[form]
        way_out = (ways_out or _WAYS_OUT)[form]
        return "%s, but the model was trained on %s: %s" % (found, expected, way_out)

    def fingerprint_of(self) -> str:
        """A fingerprint of the model's weights; its files must still exist."""
        if not backends.is_exported(self.path):
            return checkpoint_values.fingerprint(checkpoint_files.find_checkpoint(self.path))
        is_folder = storage.is_folder(self.path)
        paths = storage.files_below(self.path) if is_folder else [self.path]
        digests = "".join(map(storage.sha256_of_file, paths))
        return hashlib.sha256(digests.encode()).hexdigest()

    def similarities(self, pairs: Sequence[Tuple[str, str]]) -> np.ndarray:
        """Predicts the probability that the texts of each pair mean the same.

        Args:
            pairs: list of (text_a, text_b).

        Returns:
            float array [n], the probability of the class for the same meaning.

        Raises:
            UserError: if the model is no sentence-pair model.
        """
        column = self.similarity_column()
        checked = []
        for number, (text_a, text_b) in enumerate(input_rows.checked_texts(pairs)):
            if text_b is None:
                raise UserError("text %d is a single text, expected a pair" % number)
            checked.append((text_a, text_b))
        return self.predict(checked)[1][:, column]

    def similarity_column(self) -> int:
        """The number of the class for pairs of texts that mean the same.

        Raises:
            UserError: if the model does not have two classes, was not fine-tuned on pairs of
                sentences, or its labels do not show which class that is.
        """
        if not self.kind.is_classification:
            raise UserError(
                "the model is not a sentence-pair model (%s); to search with vectors, name a "
                "model folder, not an exported file" % self.objective
            )
        is_exclusive = self.rules.has_classes and not self.rules.has_several_labels
        if not is_exclusive or len(self.labels) != 2:
            raise UserError(
                "the model has %d classes (%s), expected a model of sentence pairs with 2: "
                "fine-tune one with bash run_classifier_lcqmc.sh"
                % (len(self.labels), self.objective)
            )
        if not compares_sentences(self.notes):
            raise UserError(
                "the model was not fine-tuned to compare two sentences (labels %s), expected one "
                "that was: fine-tune one with bash run_classifier_lcqmc.sh" % ", ".join(self.labels)
            )
        columns = task_forms.columns_of_same_meaning(self.labels)
        if len(columns) != 1:
            raise UserError(
                "which of the labels %s says that two texts mean the same? classify.py prints the "
                "labels; or train on pairs with the labels 0 and 1, or 不同 and 相同"
                % " and ".join(self.labels)
            )
        return columns[0]

    def _free(self):
        self._workers.close()
        self._backend.close()
