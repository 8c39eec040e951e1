r"""Trains sentence embeddings for search and comparison, and compares them with TF-IDF.

    python run_sentence_embedding.py --data_dir=data/faq_sample --objective=infonce \
        --do_train=true --do_eval=true --do_predict=true \
        --bert_config_file=albert_starter_zh/albert_config_tiny.json \
        --vocab_file=albert_starter_zh/vocab.txt --init_checkpoint=albert_starter_zh \
        --train_batch_size=64 --num_train_epochs=5 --output_dir=embedding_output

The folder contains train, dev and test files (.tsv, .txt, .csv, .jsonl). The form of their rows
depends on --objective: two texts and a score (cosent, softmax, cosine, contrastive); a text and a
positive, such as `question<TAB>entry` of a FAQ, optionally with negatives (infonce, four_blocks,
simbert, triplet; with a teacher's margins, margin_mse); or a single text (simcse, esimcse).
OUTPUT_DIR/best records in sentence_embedding.json how its vectors are computed;
OUTPUT_DIR/comparison.md compares dev and test scores with character TF-IDF and with the model
before training.

With --scoring_classifier_dir, the probabilities of a pair classifier are the target scores of
cosent and cosine, and their differences the margins of margin_mse: pairs need no labels. With
--mine_negatives, hard negatives are mined before training and written to
OUTPUT_DIR/mined_negatives.jsonl, which becomes the training file. Without --do_train, only these
files are written. With --whitening_width, OUTPUT_DIR/whitened is the model with whitened vectors;
without --do_train, the model of --init_checkpoint is whitened.
"""

import os
from typing import Any

from absl import flags

from albert_zh.common import cores, storage
from albert_zh.common.errors import UserError, run_command
from albert_zh.common.messages import say
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import output_folder, runner, start_files
from albert_zh.inference.retrieval import mined_files, scored_pairs, whitening
from albert_zh.inference.text_encoder import TextEncoder
from albert_zh.model import sentence_vectors
from albert_zh.model.checkpoints import checkpoint_files, fine_tuning_notes
from albert_zh.tasks import datasets, registry
from albert_zh.tasks.embedding import comparison, text_files
from albert_zh.tasks.embedding import flags as options_of
from albert_zh.tasks.tables import split_files
from albert_zh.training import flags as run_flags
from albert_zh.training import run_folder

__all__ = ["define_flags", "main", "run"]

KIND = "sentence_embedding"
MAX_SEQ_LENGTH = 64
_PREPARED_BY = {"mine_negatives": mined_files, "scoring_classifier_dir": scored_pairs}
WHITENED = "whitened"  # name of the folder, and of the model in the comparison


def define_flags(**defaults: Any) -> None:
    """Defines the flags of the command.

    Args:
        **defaults: defaults that replace the usual ones.
    """
    settings = {"task_name": datasets.OWN_SENTENCES, "max_seq_length": MAX_SEQ_LENGTH}
    runner.define_flags(KIND, **dict(settings, **defaults))


def run() -> None:
    """Runs preparation, training and evaluation as the flags ask."""
    options = flags.FLAGS
    cores.give_sessions_their_threads()
    start_files.take(options)
    is_run = options.do_train or options.do_eval or options.do_predict
    prepared_by = _prepared_by(options, is_run and not options.do_train)
    is_prepared = prepared_by or options.whitening_width
    checked = options if is_run or not is_prepared else _as_prediction(options, prepared_by)
    finetuning_flags.check_flags(checked, KIND)
    if options.whitening_width:  # mistakes are reported before the first step
        _texts_to_whiten(options)
        _rows_to_measure(options)
    if is_prepared:
        run_folder.open_output_folder(options.output_dir, run_flags.helper_name(options))
    if options.do_train or not is_run:
        for module in prepared_by:
            for line in module.prepare(options, *_data(options)):
                say(line)
    summary = runner.run(None, options, KIND) if is_run else None
    models = _trained_models(options, summary) if is_run else {}
    trained = [name for name in models if name != comparison.UNTRAINED]
    if options.whitening_width and not (is_run and summary is None):
        source, files = models.get(comparison.TRAINED) or _untrained(options)
        models[WHITENED] = (_whitened(options, source, files), {})
    if models:
        for line in _comparison(options, models, trained):
            say(line)


def _prepared_by(options, is_measured_alone):
    """The modules that prepare the training file, according to the flags."""
    chosen = [flag for flag in _PREPARED_BY if options[flag].value]
    if chosen and is_measured_alone:
        raise UserError(
            "--%s creates a file to train on, but this run does not train: add --do_train=true, "
            "or leave out --%s" % (chosen[0], chosen[0])
        )
    return [_PREPARED_BY[flag] for flag in chosen]


def _trained_models(options, summary):
    """{name: (path, arguments of its encoder)} of the models that a run has trained or evaluated.

    `summary`: what `runner.run` returned.
    """
    best = os.path.join(options.output_dir, output_folder.BEST_FOLDER)
    if summary and storage.is_folder(best):
        return {comparison.TRAINED: (best, {})}
    if summary and options.init_checkpoint and not options.do_train:
        return _measured_model(options)
    if not (options.seeds or options.search):
        return {}
    runs = {
        os.path.basename(path): os.path.join(path, output_folder.BEST_FOLDER)
        for path in output_folder.folders_of_runs(options.output_dir)
    }
    return {name: (path, {}) for name, path in runs.items() if storage.is_folder(path)}


def _measured_model(options):
    """Like `_trained_models`, for --init_checkpoint with settings of its folder or the flags."""
    path, beside = _untrained(options)
    if sentence_vectors.read_notes(_folder_of_model(options)) is not None:
        return {comparison.TRAINED: (path, beside)}
    notes = options_of.notes_of_head(options_of.EmbeddingFlags().head(options))
    return {comparison.UNTRAINED: (path, dict(beside, notes=notes))}


def _as_prediction(options, prepared_by):
    """The flags of a run without training, as if it predicted, so that its data are checked."""
    data_dir = options.data_dir
    if not (data_dir or prepared_by) and options.whitening_file:
        data_dir = os.curdir  # no data are needed
    return finetuning_flags.with_values(options, do_predict=True, data_dir=data_dir)


def _data(options):
    """(kind, task, folder) of the data that the flags name."""
    kind = registry.get(options_of.EmbeddingFlags().kind_of(options))
    task = datasets.get_task(options.task_name)._replace(
        objective=kind.name, head=kind.flags.head(options)
    )
    given = kind.flags.files(options)
    return kind, task._replace(files=given or task.files), os.curdir if given else options.data_dir


def _notes_of_model(options):
    """Training notes of --init_checkpoint's model if it is an embedding model, else {}."""
    if not options.init_checkpoint:
        return {}
    folder = _folder_of_model(options)
    has_vectors = sentence_vectors.read_notes(folder) is not None
    return fine_tuning_notes.notes_of_folder(folder) if has_vectors else {}


def _folder_of_model(options):
    return os.path.dirname(checkpoint_files.find_checkpoint(options.init_checkpoint)) or os.curdir


def _evaluated_data(options):
    """Like `_data`; without training, the model's notes determine the form of the rows."""
    kind, task, folder = _data(options)
    notes = {} if options.do_train else _notes_of_model(options)
    if "objective" not in notes:
        return kind, task, folder
    kind = registry.get(kind.flags.kind_in_use(options, notes["objective"]))
    head = kind.settings(options, notes).head
    return kind, task._replace(objective=kind.name, head=head), folder


def _untrained(options):
    """(the model before training, files that are not in its folder)."""
    if not options.init_checkpoint:
        raise UserError("--whitening_width needs a model: add --init_checkpoint or --do_train=true")
    vocabulary = options.vocab_file or options.spm_model_file
    return options.init_checkpoint, {
        "config_file": options.bert_config_file,
        "vocab_file": vocabulary,
    }


def _texts_to_whiten(options):
    """(the texts to fit the whitening on, notes); raises `UserError` if they are too few."""
    _, task, folder = _data(options)
    if options.whitening_file:
        texts, notes = text_files.read_entries(
            options.whitening_file, options.encoding, options.skip_bad_rows
        )
    else:
        split = _training_file(options, task, folder)
        texts = [text for e in split.examples for text in (e.text_a, e.text_b) + e.negatives]
        notes = [] if options.do_train else text_files.named_notes(split)  # training prints them
    texts = list(dict.fromkeys(filter(None, texts)))
    whitening.check_number(len(texts), options.whitening_width)
    return texts, notes


def _training_file(options, task, folder):
    """The rows of the training file; pairs that a classifier scores have no scores before that."""
    path = split_files.existing_path(task, folder, "train")[0]
    data_format = options_of.OBJECTIVES[options.objective].data_format
    scored = os.path.join(options.output_dir, scored_pairs.SCORED_FILE)
    if options.scoring_classifier_dir and options.train_file != scored:  # not scored yet
        data_format = scored_pairs.format_of(options.objective)
    return text_files.read_split(
        path, "train", data_format, options.encoding, options.skip_bad_rows
    )


def _whitened(options, source, beside):
    """Writes the whitened model; returns its folder."""
    texts, notes = _texts_to_whiten(options)
    for note in notes:
        say("note: " + note)
    with TextEncoder(source, **beside) as encoder:
        vectors = encoder.encode_with_lengths(texts)[1]
    target = os.path.join(options.output_dir, WHITENED)
    kernel, bias = whitening.fitted(vectors, options.whitening_width, options.whitening_power)
    whitening.write_whitened(source, target, kernel, bias, **beside)
    line = "whitened          %s (%d values, fitted to %d texts)"
    say(line % (target, options.whitening_width, len(texts)))
    return target


def _rows_to_measure(options):
    """(kind, rows of the test file, else the dev file, to measure vectors on; None if neither)."""
    kind, task, folder = _evaluated_data(options)
    names = ("test", "dev") if folder else ()
    splits = [name for name in names if split_files.split_path(task, folder, name)[0]]
    if not splits:
        return kind, None
    read = kind.read_split(task, folder, splits[0], options.encoding, options.skip_bad_rows)
    return kind, read


def _comparison(options, models, trained):
    """Lines that compare the models' vectors with TF-IDF and with the untrained model.

    `models`: {name: (path, arguments of its encoder)}; `trained`: names of the trained models.
    """
    kind, split = _rows_to_measure(options)
    if split is None:
        return []
    encoders = {name: _encoder(path, **beside) for name, (path, beside) in models.items()}
    if options.init_checkpoint and comparison.UNTRAINED not in models:
        path, beside = _untrained(options)
        if models.get(comparison.TRAINED) != (path, beside):
            encoders[comparison.UNTRAINED] = _encoder(path, "last", "mean", **beside)
    return comparison.compare(
        split.examples, kind.is_retrieval, encoders, options.output_dir, split.path, trained
    )


def _encoder(*arguments, **named):
    """A function from texts to vectors that opens its model only while it runs."""

    def encode(texts):
        with TextEncoder(*arguments, **named) as encoder:
            return encoder.encode(texts)

    return encode


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
