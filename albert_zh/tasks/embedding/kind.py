"""Sentence embeddings as two kinds of tasks: their dev files hold scored pairs or positives."""

import copy
import functools
import os
import shlex
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import package_files, storage
from albert_zh.common.errors import UserError, table_cell
from albert_zh.common.wording import counted
from albert_zh.model import sentence_vectors
from albert_zh.tasks import kind_interface, registry, result_files, task_type
from albert_zh.tasks.embedding import (
    file_columns,
    groups,
    mixing,
    objectives,
    retrieval_files,
    rows,
    scores,
    text_files,
    training_rows,
)
from albert_zh.tasks.embedding import flags as embedding_flags
from albert_zh.tasks.embedding.chunks import vectors_in_chunks
from albert_zh.tasks.embedding.flags import OBJECTIVES, VIEWS
from albert_zh.tasks.embedding.scorer import THRESHOLD, EmbeddingScorer
from albert_zh.tasks.tables import label_rules, split_files

CORPUS = ("faq.txt", "corpus.txt")  # files with corpus entries in the folder of a data set
VECTORS = "vectors"
Tensors = Dict[str, tf.Tensor]


class PairRules(label_rules.ValueRules):
    """Label rules for scores of pairs."""

    def labels_of_all(self, found: Sequence[str]) -> Tuple[str, ...]:
        return ()

    def labels_of_cell(self, cell: Any, separator: str) -> List[Any]:
        return []


class SentenceEmbedding(task_type.TaskType):
    """Vectors for comparing texts; dev and test files hold scored pairs."""

    name = embedding_flags.SCORED
    metrics = {"spearman": True, "pearson": True, "auc": True, "mean_cosine": False, "loss": False}
    usual_metrics: Tuple[str, ...] = ("spearman", "pearson", "auc", "mean_cosine")
    scales_loss = False
    export_outputs = decoded_outputs = (VECTORS,)
    tuned_notes = (THRESHOLD,)
    flags = embedding_flags.EmbeddingFlags()
    rules = PairRules()
    feature_modules = (
        text_files,
        file_columns,
        retrieval_files,
        rows,
        mixing,
        groups,
        training_rows,
    )
    builds_encoder = True
    rows_are_independent = False
    lengths_column = rows.LENGTHS
    is_retrieval = False

    # Settings

    def settings(self, options: Any, trained: Dict[str, Any]) -> Any:
        """Like other kinds' settings, but a trained model may get another corpus and dev format."""
        settings = super().settings(options, trained)
        corpus = settings.head.get("corpus")
        if options.corpus_file or not (corpus and storage.is_file(corpus)):
            corpus = options.corpus_file
        data_format = options.dev_format or settings.head["dev_format"]
        return settings._replace(head=dict(settings.head, corpus=corpus, dev_format=data_format))

    def notes(self, task: Any, settings: Any) -> Dict[str, Any]:
        return dict(super().notes(task, settings), compares_sentences=False)

    def settings_of_data(self, settings: Any, task: Any, train: Any, options: Any) -> Any:
        return settings._replace(head=task.head)

    # Data

    def read_split(
        self, task: Any, data_dir: str, split: str, encoding: str, skip_bad_rows: bool
    ) -> Any:
        path, others = split_files.existing_path(task, data_dir, split)
        objective = OBJECTIVES[task.head["loss"]]
        data_format = objective.data_format if split == "train" else task.head["dev_format"]
        read = text_files.read_split(path, split, data_format, encoding, skip_bad_rows)
        notes = read.notes + ["%s ignored" % ", ".join(others)] * bool(others)
        if split == "train":
            more = task.head.get("more_train", ())  # missing in models of earlier versions
            further = mixing.further_files(more, data_format, encoding, skip_bad_rows)
            return read._replace(notes=notes, further=further)
        read = read._replace(notes=notes)
        if self.is_retrieval:
            return self._searched(task, data_dir, read, encoding, skip_bad_rows)
        scores.check_labels(path, read.examples)
        return read

    def dev_of_rows(
        self, task: Any, data_dir: str, rows_aside: Any, encoding: str, skip_bad_rows: bool
    ) -> Any:
        """Rows set aside search the same entries as a dev file; labelled pairs are an error."""
        if not self.is_retrieval:
            return rows_aside
        if OBJECTIVES[task.head["loss"]].data_format == "scored":
            raise UserError(
                "%s has labelled pairs, but --dev_format=positives expects only positive pairs, "
                "so that dev rows cannot be set aside: add a dev file of such pairs, or leave out "
                "--dev_format" % rows_aside.path
            )
        return self._searched(task, data_dir, rows_aside, encoding, skip_bad_rows)

    def _searched(self, task, data_dir, read, encoding, skip_bad_rows):
        """A dev or test split, with all entries that are searched for its rows."""
        notes = list(read.notes)
        texts = [text for example in read.examples for text in example.negatives]
        if texts:
            negatives = counted(len(texts), "negative of the rows is", "negatives of the rows are")
            notes.append("the %s searched, too" % negatives)
        digests = [read.sha256]
        corpus = self.corpus_of(task, data_dir) or retrieval_files.corpus_beside(read.path)
        if corpus is not None:
            of_corpus, further_notes, digest = text_files.read_corpus(
                corpus, encoding, skip_bad_rows
            )
            notes += further_notes
            notes.append("%d entries of %s are searched" % (len(of_corpus), corpus))
            texts += of_corpus
            digests.append(digest)
        entries = [
            text_files.EmbeddingExample("entry-%d" % number, text, "", None, is_entry=True)
            for number, text in enumerate(dict.fromkeys(texts), start=1)
        ]
        sha256 = storage.sha256_of_all(digests) if corpus else read.sha256
        return read._replace(examples=read.examples + entries, notes=notes, sha256=sha256)

    def about_data(self, task: Any, splits: Dict[str, Any]) -> Tuple[List[str], Dict[str, int]]:
        if "dev" in splits and not self.is_retrieval:
            dev = splits["dev"]  # may be a part of the training file
            scores.check_labels(dev.path, dev.examples)
        lines, remarks = super().about_data(task, splits)
        if "train" in splits:
            lines += ["note: " + note for note in _notes_of_trained(splits["train"], task.head)]
        return lines, remarks

    def corpus_of(self, task: Any, data_dir: str) -> Optional[str]:
        """The file of additional entries to search; None if there is none."""
        return task.head["corpus"] or split_files.file_of_split(data_dir, CORPUS)[0]

    def with_labels(self, task: Any, train: Any) -> Any:
        objective = OBJECTIVES[task.head["loss"]]
        head = training_rows.head_of_file(train, task.head, objective)
        further = [more.split for more in train.further]
        head = training_rows.head_of_files(train, further, head, objective)
        return task._replace(columns=("text_a", "text_b"), header=(), labels=(), head=head)

    def open_stream(
        self, task: Any, path: str, encoding: str, skip_bad_rows: bool = False
    ) -> kind_interface.StreamedFile:
        folder, name = os.path.split(path)
        task = task._replace(files={"test": name})
        read = self.read_split(task, folder or os.curdir, "test", encoding, skip_bad_rows)
        records = iter([(example, None) for example in read.examples])
        return kind_interface.StreamedFile(read.notes, records)

    def training_split(self, split: Any, options: Any) -> Tuple[Any, Dict[str, Any]]:
        width = _teacher_width(self.flags.head(options))
        mixed, changes = mixing.training_split(split, options, width)
        if options.objective == "triplet":
            mixed = mixed._replace(examples=training_rows.triplets(mixed.examples))
        training_rows.check_groups(mixed, options.objective, OBJECTIVES[options.objective])
        return mixed, changes

    # Features

    def columns(self, task: Any) -> Dict[str, kind_interface.Column]:
        num_texts = _num_texts(task.head)
        columns = {rows.LENGTHS: kind_interface.Column("int", (num_texts,))}
        columns[objectives.SCORE] = kind_interface.Column("float")
        columns[objectives.GROUP] = kind_interface.Column("int")
        if num_texts > 2:
            columns[objectives.NEGATIVE_GROUPS] = kind_interface.Column("int", (num_texts - 2,))
        if task.head["loss"] == "vectors":
            columns[objectives.TEACHER] = kind_interface.Column(
                "float", (_teacher_width(task.head),)
            )
        return columns

    def features(
        self, task: Any, example: Any, tokenizer: Any, max_seq_length: int
    ) -> Tuple[List[Dict[str, Any]], bool]:
        num_texts = _num_texts(task.head)
        texts = (example.text_a, example.text_b) + tuple(getattr(example, "negatives", ()))
        texts = tuple(text or "" for text in texts)[:num_texts]
        record, was_cut = rows.record(texts, num_texts, tokenizer, max_seq_length)
        record[objectives.SCORE] = _target(example, task.head)
        record[objectives.GROUP] = getattr(example, "group", 0)
        negative_groups = list(getattr(example, "negative_groups", ()))[: num_texts - 2]
        missing = num_texts - 2 - len(negative_groups)
        record[objectives.NEGATIVE_GROUPS] = negative_groups + [groups.NO_GROUP] * missing
        if task.head["loss"] == "vectors":
            width = _teacher_width(task.head)
            record[objectives.TEACHER] = list(getattr(example, "teacher", ())) or [0.0] * width
        return [record], was_cut

    # Model

    def outputs(
        self,
        config: Any,
        model: Any,
        features: Tensors,
        num_outputs: int,
        settings: Any,
        is_training: bool,
    ) -> Tensors:
        head = settings.head
        config = _with_dropout(config, head["dropout"])
        notes = embedding_flags.notes_of_head(head)
        if rows.LENGTHS not in features:
            return {VECTORS: _vectors_of_rows(model, config, notes, features)}  # [B, W]
        texts = {name: features[name] for name in ("input_ids", rows.LENGTHS)}
        if not is_training:
            return {VECTORS: _vectors_of_texts(model, config, notes, texts)}  # [B, T, W]
        notes = notes._replace(normalize=False)  # losses accept vectors of any norm
        if _is_of_texts(head):
            texts[rows.LENGTHS] = texts[rows.LENGTHS][:, :1]
        if head["loss"] in VIEWS:
            longest = min(head["max_seq_length"], config.longest_sequence)
            texts = rows.two_views(texts, head["loss"] == "esimcse", longest)
        encode = functools.partial(_vectors_of_texts, model, config, notes)
        vectors = _in_chunks(encode, texts, notes.width, _num_chunks(head, features))
        if head["loss"] in VIEWS:  # [2 B, 1, W]
            vectors = tf.concat(tf.split(vectors, 2), axis=1)
        return {VECTORS: vectors}  # [B, T, W]

    def losses(self, outputs: Tensors, features: Tensors, settings: Any) -> tf.Tensor:
        loss = objectives.batch_loss(outputs[VECTORS], features, settings.head)
        return tf.fill([tf.shape(outputs[VECTORS])[0]], loss)

    # Results

    def scorer(
        self, use: Any, settings: Any, options: Any = None, num_errors: int = 0
    ) -> EmbeddingScorer:
        return EmbeddingScorer(self.is_retrieval, use.notes.get(THRESHOLD), num_errors)

    def result_files(self, folder: str, use: Any, options: Any) -> "Cosines":
        return Cosines(folder)

    def decode(
        self, examples: Sequence[Any], predictions: Sequence[Any], use: Any
    ) -> List[List[float]]:
        return [[float(x) for x in of_text[0][VECTORS].ravel()] for of_text in predictions]

    def next_command(self, task: Any) -> Tuple[str, str]:
        corpus = shlex.quote(package_files.shown("data/faq_sample/faq.txt"))
        return "similarity", '--corpus=%s --query="怎么改绑手机"' % corpus


class SentenceRetrieval(SentenceEmbedding):
    """Vectors for retrieval; dev and test files hold positives."""

    name = embedding_flags.RETRIEVAL
    usual_metrics = ("mrr_at_10", "recall_at_1", "recall_at_5", "recall_at_50", "mean_cosine")
    metrics = dict(
        dict.fromkeys(usual_metrics[:-1], True),
        recall_at_10=True,
        ndcg_at_10=True,
        map_at_10=True,
        mean_cosine=False,
        loss=False,
    )
    is_retrieval = True


class Cosines(result_files.ResultFiles):
    """`test_cosines.tsv`: the two texts of each row and the cosine of their vectors."""

    def __init__(self, folder: str) -> None:
        """`folder`: the folder to which the file is written."""
        super().__init__(folder, ["test_cosines.tsv"])

    def write(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        if not example.is_entry:
            cosine = float(np.dot(*_of_length_1(rows[0][VECTORS][:2])))
            text_a, text_b = map(table_cell, (example.text_a, example.text_b))
            self.handles[0].write("%s\t%s\t%.4f\n" % (text_a, text_b, cosine))


def _of_length_1(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _vectors_of_rows(model, config, notes, rows_of_model):
    """Vectors of rows of one text, [N, W]; the rows are inputs of `AlbertModel`."""
    names = ("input_ids", "input_mask", "segment_ids")
    encoder = model({name: rows_of_model[name] for name in names}, config)
    return sentence_vectors.sentence_vector(encoder, rows_of_model["input_mask"], notes)


def _vectors_of_texts(model, config, notes, texts):
    """Vectors of texts in the form of `rows.record`, [N, T, W]."""
    if texts[rows.LENGTHS].shape[1] == 1:
        of_model = rows.of_ids(texts["input_ids"], texts[rows.LENGTHS][:, 0])
        return _vectors_of_rows(model, config, notes, of_model)[:, None, :]

    def pool(encoder, mask):
        return sentence_vectors.sentence_vector(encoder, mask, notes)

    return rows.packed_vectors(functools.partial(model, config=config), pool, texts)


def _in_chunks(encode, texts, width, num_chunks):
    """`encode` of texts, [N, T, W], computed one chunk of rows at a time."""
    if num_chunks == 1:
        return encode(texts)
    num_texts = int(texts[rows.LENGTHS].shape[1])

    def flat(part):
        return tf.reshape(encode(part), [-1, num_texts * width])

    vectors = vectors_in_chunks(flat, texts, num_texts * width, num_chunks)
    return tf.reshape(vectors, [-1, num_texts, width])


def _is_of_texts(head):
    return OBJECTIVES[head["loss"]].data_format == "texts"


def _num_texts(head):
    """T, the number of texts of an example."""
    return 2 + head.get(training_rows.NUM_NEGATIVES, 0)


def _target(example, head):
    """The target of a row's loss: a score from 0 to 1, a margin, or the number of its class."""
    if head["loss"] == "margin_mse":
        return getattr(example, "margin", 0.0)
    classes = head.get(training_rows.CLASSES, ())
    if example.label in classes:
        return float(classes.index(example.label))
    return float(getattr(example, "target", 0.0))


def _notes_of_trained(train, head):
    """Notes on the files of --more_train, and on all training files."""
    notes = text_files.named_notes(train)[len(train.notes) :]
    if head["loss"] == "infonce":
        files = [train] + [more.split for more in train.further]
        cut = training_rows.notes_of_cut_rows(files)
        notes += ["%s: %s" % (train.path, note) for note in cut]
    return notes


def _teacher_width(head):
    return (head["widths"] or [head["width"]])[0]


def _with_dropout(config, dropout):
    if dropout is None:
        return config
    config = copy.copy(config)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
    return config


def _num_chunks(head, features):
    """The number of chunks in which a batch is computed."""
    rows_of_batch = features["input_ids"].shape.as_list()[0]
    in_memory = head["batch_in_memory"]
    if not in_memory or rows_of_batch is None:
        return 1
    return -(-rows_of_batch // in_memory)


for _kind in (SentenceEmbedding(), SentenceRetrieval()):
    registry.register(_kind)
