"""How probably two sentences mean the same, by a fine-tuned model of sentence pairs.

    python similarity.py "怎么开户" "如何开通账户"
    python similarity.py --pairs=pairs.tsv > scored.tsv
    cat pairs.tsv | python similarity.py --model_dir=lcqmc_output/best
    python similarity.py --interactive
    python similarity.py --corpus=faq.txt --query="怎么开户" --top_k=5

Pairs of a file or of standard input are lines of text_a<tab>text_b, further columns are not read.
Prints both sentences and the probability, tab-separated, in the input's order.

With --corpus, the lines of that file that are most like the query: query, rank, probability,
cosine, line number, line; tab-separated.
"""

import contextlib
import os
import sys

from absl import flags
import numpy as np

from errors import UserError, run_command
import args
import checkpoints
import line_input
import predictor
import predictor_backends
from progress import progress_bar
import resident
import search
import text_encoder
import tokenization

FLAGS = flags.FLAGS


class BertSim:
    """albert_zh's interface: start once, predict any number of times."""

    def __init__(self, batch_size=None):
        """`batch_size`: pairs predicted at once; that of args.py by default."""
        self.batch_size = batch_size or args.batch_size
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
        sentences = resident.checked_texts(sentences)
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
    flags.DEFINE_string(
        "model_dir",
        None,
        "Fine-tuned model; that of args.py or the newest *_output/best if left out.",
    )
    flags.DEFINE_integer(
        "max_seq_length", None, "Longest pair in tokens; as in training by default."
    )
    flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "Precision of the products.")
    flags.DEFINE_string("pairs", None, "File of pairs, a tab between the two, a line each.")
    flags.DEFINE_boolean("interactive", False, "Whether to ask for pairs, one after another.")
    flags.DEFINE_string("corpus", None, "File to search in, a text per line.")
    flags.DEFINE_string("query", None, "What to search for.")
    flags.DEFINE_string("queries", None, "File of what to search for, a text per line.")
    flags.DEFINE_integer("top_k", 5, "Lines to show for a query.", lower_bound=1)
    flags.DEFINE_integer(
        "candidates", 50, "Lines per query that the model compares pair by pair.", lower_bound=1
    )
    flags.DEFINE_string(
        "encoder_dir", None, "Model whose vectors find the candidates; --model_dir's by default."
    )
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the files and of standard input.")


def main(words):
    """Prints the similarity of pairs, or the lines of a corpus that are most like a query."""
    _check_flags(words)
    with open_predictor(FLAGS.model_dir, FLAGS.max_seq_length, FLAGS.precision) as model:
        model.similarity_column()  # a mistake is told before anything is asked
        if FLAGS.corpus:
            search_corpus(model)
        elif words:
            print_pairs([tuple(words)], model.similarities([tuple(words)]))
        elif FLAGS.interactive or (not FLAGS.pairs and sys.stdin and sys.stdin.isatty()):
            talk(model)
        else:
            score_lines(model)


def _check_flags(words):
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
    print("model: %s" % path, file=sys.stderr)
    return predictor.Predictor(path, length, precision=precision, **beside)


def _model_of_args():
    """(path, settings) of the model that args.py names; its output_dir is what training wrote."""
    output_dir = getattr(args, "output_dir", None)
    best = output_dir and os.path.join(output_dir, "best")
    named = [best, output_dir, getattr(args, "ckpt_name", None), getattr(args, "model_dir", None)]
    named = [path for path in named if path]
    if not named:
        root = os.path.dirname(os.path.abspath(__file__))
        return os.path.relpath(predictor.newest_best_folder(root, of_pairs=True)), {}
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
    size = line_input.size_of_input(FLAGS.pairs)
    with progress_bar("pairs", size, "B", leave=False, disable=size is None) as bar:
        for group in line_input.groups_of_lines(FLAGS.pairs, FLAGS.encoding, bar.update):
            pairs = [_pair_of_line(place, line) for place, line in group]
            print_pairs(pairs, model.similarities(pairs))


def _pair_of_line(place, line):
    cells = line.split("\t")
    if len(cells) < 2:
        raise UserError("%s: expected text_a<tab>text_b" % place)
    return cells[0], cells[1]


def talk(model):
    """Asks for pairs until an empty line or Ctrl-D."""
    with contextlib.suppress(ImportError):  # some systems' Python is built without it
        import readline  # noqa: F401  (lets lines be edited)
    print("输入两个句子，得到它们意思相同的概率；空行或 Ctrl-D 结束。")
    while True:
        sentences = []
        for prompt in ("句子一：", "句子二："):
            try:
                sentences.append(input(prompt))
            except EOFError:
                print()
                return
            if not sentences[-1].strip():
                return
        print("相似度：%.4f" % model.similarities([tuple(sentences)])[0])


def search_corpus(model):
    """Prints the best lines of `--corpus` for `--query` or for each line of `--queries`."""
    with _open_encoder(model.path) as encoder:
        corpus = search.Corpus(FLAGS.corpus, encoder, FLAGS.encoding)
        for queries in _groups_of_queries():
            hits = corpus.search(queries, model, FLAGS.top_k, FLAGS.candidates)
            for query, best in zip(queries, hits):
                for rank, hit in enumerate(best, start=1):
                    cells = (query, rank, hit.probability, hit.cosine, hit.line, hit.text)
                    print("%s\t%d\t%.4f\t%.4f\t%d\t%s" % cells)
            sys.stdout.flush()


def _open_encoder(path):
    """The encoder whose vectors find the candidates: `--encoder_dir`, or that of the model."""
    if FLAGS.encoder_dir:
        return text_encoder.TextEncoder(FLAGS.encoder_dir)
    if predictor_backends.is_exported(path):
        raise UserError("--encoder_dir: %s gives no vectors: name a model folder too" % path)
    return text_encoder.TextEncoder(path, **({} if FLAGS.model_dir else _model_of_args()[1]))


def _groups_of_queries():
    if FLAGS.query is not None:
        yield [FLAGS.query]
        return
    for group in line_input.groups_of_lines(FLAGS.queries, FLAGS.encoding):
        for start in range(0, len(group), search.QUERIES_AT_ONCE):
            yield [line for _, line in group[start : start + search.QUERIES_AT_ONCE]]


if __name__ == "__main__":
    define_flags()
    run_command(main, takes_words=True)
