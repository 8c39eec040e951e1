"""How probably two sentences mean the same, by a fine-tuned model of sentence pairs.

    python similarity.py                          # an example
    python similarity.py "怎么开户" "如何开通账户"
    python similarity.py --pairs=pairs.tsv > scored.tsv
    cat pairs.tsv | python similarity.py --model_dir=lcqmc_output/best
    python similarity.py --interactive
    python similarity.py --corpus=faq.txt --query="怎么开户" --top_k=5

Pairs of a file or of standard input are lines of text_a<tab>text_b, further columns are not read;
a file may also be CSV, JSON lines or have a header: its columns are those that the model was
trained with.
Prints both sentences and the probability, tab-separated, in the input's order.

With --corpus, the lines of that file that are most like the query: query, rank, score, cosine, line
number, line; tab-separated. The score ranks the lines: by default the mean, weighted by
--search_weights, of three similarities from 0 to 1 (how much of the query's wording the line has;
the square of how far the cosine of their vectors is above that of any two lines; the model's
probability that both mean the same). --ranking=lexical, cosine or classifier ranks by one of them,
which then is the score. The model needs no classifier for it: without one the other two
similarities rank the lines.
"""

import contextlib
import os
import sys
import types

from absl import flags
import numpy as np

from albert_zh.common import line_reader, package_files
from albert_zh.common.errors import UserError, printable, run_command
from albert_zh.inference import backends, loaded_model, model_flags, predictor, search, text_encoder
from albert_zh.model import checkpoints
from albert_zh.tasks import pair_table
from albert_zh.text import tokenization

__all__ = [
    "BertSim",
    "EXAMPLE",
    "HINT",
    "define_flags",
    "main",
    "open_predictor",
    "print_pairs",
    "run",
    "score_lines",
    "search_corpus",
    "talk",
]

if os.path.exists(os.path.join(package_files.ROOT, "args.py")):
    import args  # in a clone: the settings that users edit
else:
    args = types.SimpleNamespace()

FLAGS = flags.FLAGS
EXAMPLE = [("我喜欢妈妈做的汤", "妈妈做的汤我很喜欢喝")]  # the original's
HINT = (
    "this was the example; two sentences of your own: similarity.py SENTENCE SENTENCE, one pair "
    "after another: --interactive, a file of pairs: --pairs"
)


class BertSim:
    """albert_zh's interface: start once, predict any number of times."""

    def __init__(self, batch_size=None):
        """`batch_size`: pairs predicted at once; that of args.py by default."""
        loaded_model.check_arguments(batch_size=batch_size)
        self.batch_size = getattr(args, "batch_size", 128) if batch_size is None else batch_size
        self._predictor = None

    def start_model(self):
        """Loads the model that args.py names, else the newest `*_output/best`."""
        self._predictor = open_predictor()
        same = self._predictor.similarity_column()
        self._columns = [1 - same, same]

    def predict_sentences(self, sentences):
        """Prints and returns how probably sentences mean the same.

        Args:
            sentences: list of (text_a, text_b).

        Returns:
            float array [n, 2]: probabilities of another and of the same meaning.
        """
        if self._predictor is None:
            self.start_model()
        sentences = loaded_model.checked_texts(sentences)
        rows = [np.zeros([0, 2], np.float32)]
        for start in range(0, len(sentences), self.batch_size):
            group = sentences[start : start + self.batch_size]
            rows.append(self._predictor.predict(group)[1][:, self._columns])
            print_pairs(group, rows[-1][:, 1])
        return np.concatenate(rows)

    def close(self):
        """Frees the model."""
        if self._predictor is not None:
            self._predictor.close()


def define_flags():
    """Defines the command's flags."""
    model_flags.define(
        "Fine-tuned model; that of args.py or the newest *_output/best if left out.",
        "Longest pair in tokens; as in training by default.",
    )
    flags.DEFINE_string("pairs", None, "File of pairs, a tab between the two, a line each.")
    flags.DEFINE_boolean("interactive", False, "Whether to ask for pairs, one after another.")
    flags.DEFINE_string("corpus", None, "File to search in, a text per line.")
    flags.DEFINE_string("query", None, "What to search for.")
    flags.DEFINE_string("queries", None, "File of what to search for, a text per line.")
    flags.DEFINE_integer("top_k", 5, "Lines to show for a query.", lower_bound=1)
    flags.DEFINE_integer(
        "candidates", 50, "Lines per query that the model compares pair by pair.", lower_bound=1
    )
    flags.DEFINE_enum("ranking", "mixed", search.RANKINGS, "What ranks the lines of --corpus.")
    flags.DEFINE_list(
        "search_weights",
        ["%g" % weight for weight in search.WEIGHTS],
        "What the lexical similarity, the cosine and the classifier count in the mixed ranking.",
    )
    flags.DEFINE_string(
        "encoder_dir", None, "Model whose vectors find the candidates; --model_dir's by default."
    )
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the files and of standard input.")


def run(words):
    """Prints the similarity of pairs, or the lines of a corpus that are most like a query."""
    _check_flags(words)
    if FLAGS.corpus:
        search_corpus()
        return
    with open_predictor(FLAGS.model_dir, FLAGS.max_seq_length, FLAGS.precision) as model:
        model.similarity_column()  # a mistake is told before anything is asked
        if words:
            print_pairs([tuple(words)], model.similarities([tuple(words)]))
        elif FLAGS.interactive:
            talk(model)
        elif FLAGS.pairs or not sys.stdin or not sys.stdin.isatty():
            score_lines(model)
        else:
            print_pairs(EXAMPLE, model.similarities(EXAMPLE))
            print(HINT, file=sys.stderr)


def _check_flags(words):
    line_reader.check_arguments(words)
    line_reader.check_arguments([FLAGS.query or ""], "--query, text")
    if words and len(words) != 2:
        raise UserError("expected two sentences, found %d: quote each of them" % len(words))
    ways = {
        "two sentences": bool(words),
        "--pairs": FLAGS.pairs,
        "--interactive": FLAGS.interactive,
        "--corpus": FLAGS.corpus,
    }
    given = [name for name, is_given in ways.items() if is_given]
    if len(given) > 1:
        raise UserError("%s exclude each other: give one of them" % " and ".join(given))
    asked = [name for name in ("query", "queries") if FLAGS[name].value is not None]
    if FLAGS.corpus and len(asked) != 1:
        raise UserError("--corpus needs either --query or --queries")
    if asked and not FLAGS.corpus:
        raise UserError("--%s needs --corpus, the file to search in" % asked[0])


def open_predictor(model_dir=None, max_seq_length=None, precision="float32"):
    """The predictor of a folder, or of what args.py says, or of the newest `*_output/best`.

    Args:
        model_dir: model folder, exported model, or None.
        max_seq_length: longest pair in tokens, or None.
        precision: a key of `modeling.PRECISIONS`.
    """
    length = getattr(args, "max_seq_len", None) if max_seq_length is None else max_seq_length
    path, beside = (model_dir, {}) if model_dir else _model_of_args()
    print(printable("model: %s" % path), file=sys.stderr)
    return predictor.Predictor(path, length, precision=precision, **beside)


def _model_of_args():
    """(path, settings) of the model that args.py names; its output_dir is what training wrote."""
    output_dir = getattr(args, "output_dir", None)
    best = output_dir and os.path.join(output_dir, "best")
    named = [best, output_dir, getattr(args, "ckpt_name", None), getattr(args, "model_dir", None)]
    named = [path for path in named if path]
    if not named:
        return model_flags.newest_model(of_pairs=True), {}
    for path in named:
        if os.path.exists(path + ".index") or (os.path.isdir(path) and os.listdir(path)):
            return path, _files_of_args(is_checkpoint=path == getattr(args, "ckpt_name", None))
    raise UserError(
        "args.py: no model is at %s: fine-tune one with bash run_classifier_lcqmc.sh, "
        "or set model_dir to its folder" % ", ".join(named)
    )


def _files_of_args(is_checkpoint):
    """Config and vocabulary that args.py names; for a checkpoint also those of its model_dir."""
    named = {"config_file": "config_name", "vocab_file": "vocab_file"}
    values = {key: getattr(args, name, None) for key, name in named.items()}
    folder = getattr(args, "model_dir", None)
    if is_checkpoint and folder and os.path.isdir(folder):
        values["config_file"] = values["config_file"] or checkpoints.config_in_folder(folder)
        in_folder = tokenization.vocabulary_in_folder(folder)
        if os.path.exists(in_folder):
            values["vocab_file"] = values["vocab_file"] or in_folder
    return {key: value for key, value in values.items() if value}


def print_pairs(pairs, probabilities):
    """Prints a line per pair: both sentences and the probability, tab-separated."""
    for (text_a, text_b), probability in zip(pairs, probabilities):
        print("%s\t%s\t%.4f" % (text_a, text_b, probability))
    sys.stdout.flush()


def score_lines(model):
    """Prints the similarity of each pair of `--pairs`, or of standard input, as they come.

    Raises:
        UserError: for a line that is no pair.
    """
    task = pair_table.task_of_model(model.notes, model.labels)
    if FLAGS.pairs and pair_table.is_table(FLAGS.pairs, FLAGS.encoding, task):
        for pairs in pair_table.groups(FLAGS.pairs, FLAGS.encoding, task):
            print_pairs(pairs, model.similarities(pairs))
        return
    if not FLAGS.pairs:
        print("reading pairs from standard input: text_a<tab>text_b", file=sys.stderr)
    for group in line_reader.groups_with_bar("pairs", FLAGS.pairs, FLAGS.encoding):
        pairs = [line_reader.pair_of_line(place, line) for place, line in group]
        print_pairs(pairs, model.similarities(pairs))


def talk(model):
    """Asks for pairs until an empty line or Ctrl-D."""
    with contextlib.suppress(ImportError):  # some systems' Python is built without it
        import readline  # noqa: F401  (lets lines be edited)
    print("输入两个句子，得到它们意思相同的概率；空行或 Ctrl-D 结束。")
    while True:
        sentences = []
        for prompt in ("句子一：", "句子二："):
            try:
                sentences.append(line_reader.ask(prompt))
            except EOFError:
                print()
                return
            if not sentences[-1].strip():
                return
        print("相似度：%.4f" % model.similarities([tuple(sentences)])[0])


def search_corpus():
    """Prints the best lines of `--corpus` for `--query` or for each line of `--queries`."""
    weights = _search_weights()
    path, beside = (FLAGS.model_dir, {}) if FLAGS.model_dir else _model_of_args()
    with _open_classifier(path) as model, _open_encoder(path, beside) as encoder:
        corpus = search.Corpus(FLAGS.corpus, encoder, FLAGS.encoding)
        for queries in _groups_of_queries():
            hits = corpus.search(
                queries, model, FLAGS.top_k, FLAGS.candidates, FLAGS.ranking, weights
            )
            for query, best in zip(queries, hits):
                for rank, hit in enumerate(best, start=1):
                    cells = (query, rank, hit.score, hit.cosine, hit.line, hit.text)
                    print("%s\t%d\t%.4f\t%.4f\t%d\t%s" % cells)
            sys.stdout.flush()


def _search_weights():
    try:
        return search.checked_weights([float(weight) for weight in FLAGS.search_weights])
    except ValueError as error:
        raise UserError(
            "--search_weights=%s: %s"
            % (
                ",".join(FLAGS.search_weights),
                error if isinstance(error, UserError) else "expected 3 numbers, commas between",
            )
        ) from error


@contextlib.contextmanager
def _open_classifier(path):
    """The predictor of the search; None where the ranking or the model has none."""
    if FLAGS.ranking in ("lexical", "cosine"):
        yield None
    elif FLAGS.ranking == "mixed" and not backends.has_classifier(path):
        note = "note: %s has no classifier: lines are ranked without it" % path
        print(printable(note), file=sys.stderr)
        yield None
    else:
        with open_predictor(FLAGS.model_dir, FLAGS.max_seq_length, FLAGS.precision) as model:
            model.similarity_column()  # a mistake is told before anything is computed
            yield model


def _open_encoder(path, beside):
    """The encoder whose vectors find the candidates: `--encoder_dir`, or that of the model."""
    if FLAGS.encoder_dir:
        return text_encoder.TextEncoder(FLAGS.encoder_dir)
    if backends.is_exported(path):
        raise UserError("--encoder_dir: %s gives no vectors: name a model folder too" % path)
    return text_encoder.TextEncoder(path, **beside)


def _groups_of_queries():
    if FLAGS.query is not None:
        yield [FLAGS.query]
        return
    for group in line_reader.groups_of_lines(FLAGS.queries, FLAGS.encoding):
        for start in range(0, len(group), search.QUERIES_AT_ONCE):
            yield [line for _, line in group[start : start + search.QUERIES_AT_ONCE]]


def main():
    """Runs the command line."""
    define_flags()
    run_command(run, takes_words=True, description=__doc__)
