"""Predicts how probably two sentences mean the same, with a fine-tuned sentence-pair model.

    python similarity.py                          # an example
    python similarity.py "怎么开户" "如何开通账户"
    python similarity.py --pairs=pairs.tsv > scored.tsv
    cat pairs.tsv | python similarity.py --model_dir=lcqmc_output/best
    python similarity.py --interactive
    python similarity.py --corpus=faq.txt --query="怎么开户" --top_k=5   # needs no training
    python similarity.py --corpus=faq.txt --dev_file=dev.tsv   # selects the best ranking

Pairs from a file or standard input are lines of text_a<tab>text_b; further columns are ignored. A
file may also be CSV, JSON lines or have a header: then the columns that the model was trained on
are read.
Prints both sentences and the probability, tab-separated, in input order.

With --corpus, prints the lines of that file that are most similar to the query, tab-separated:
query, rank, score, cosine, line number, line. The score ranks the lines. With --ranking=mixed it is
the mean, weighted by --search_weights, of three similarities from 0 to 1: the share of the query's
wording that the line contains; the square of how far the cosine of their vectors is above the
cosine of two arbitrary lines; and the model's probability that both mean the same. With
reciprocal_rank, the ranks by each of the three are combined; with lexical, cosine or classifier,
only that one is used. A model without a classifier will do: then the other two similarities rank
the lines. If no model is named, or for a classifier, whose vectors are not trained to be compared,
the vectors come from the newest model of run_sentence_embedding.py or the bundled
albert_starter_zh/embedding; --encoder_dir=MODEL_DIR uses the vectors of the classifier.
With --dev_file (lines of question<tab>entry), all rankings are measured and printed; the best one
is used, also by all later searches in that file with that model.
"""

import contextlib
import functools
import sys
from typing import TYPE_CHECKING, List

from absl import flags

from albert_zh.common import line_reader, path_rules
from albert_zh.common.errors import UserError, printable, run_command, table_cell
from albert_zh.common.wording import counted
from albert_zh.compatibility import similarity
from albert_zh.compatibility.similarity import *  # noqa: F403  (for programs of albert_zh)
from albert_zh.inference import (
    loaded_model,
    model_choice,
    model_flags,
    sentence_similarity,
    text_encoder,
)
from albert_zh.inference.retrieval import search, search_choice, vector_index
from albert_zh.inference.runtimes import backends
from albert_zh.inference.sentence_similarity import BertSim, open_predictor, print_pairs
from albert_zh.model import sentence_vectors
from albert_zh.tasks import task_forms
from albert_zh.tasks.tables import pair_table

if TYPE_CHECKING:
    from albert_zh.inference import predictor

__all__ = [
    *similarity.__all__,
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

FLAGS = flags.FLAGS
EXAMPLE = [("我喜欢妈妈做的汤", "妈妈做的汤我很喜欢喝")]  # the original's
_OF_SEARCH = (
    "query queries dev_file top_k candidates ranking vectors search_weights encoder_dir"
).split()
HINT = (
    "this was the example; two sentences of your own: similarity.py SENTENCE SENTENCE, one pair "
    "after another: --interactive, a file of pairs: --pairs"
)


def define_flags() -> None:
    """Defines the command's flags."""
    model_flags.define(
        "Fine-tuned model; default: the model of args.py or the newest *_output/best.",
        "Maximum length of a pair in tokens; default: as in training.",
    )
    flags.DEFINE_string("pairs", None, "File with one tab-separated pair per line.")
    flags.DEFINE_boolean("interactive", False, "Whether to ask for pairs interactively.")
    _define_flags_of_search()
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the files and of standard input.")
    path_rules.serve_remote_everywhere(FLAGS)


def _define_flags_of_search():
    flags.DEFINE_string("corpus", None, "File to search, one text per line.")
    flags.DEFINE_multi_string("query", None, "Query; repeat the flag for several queries.")
    flags.DEFINE_string("queries", None, "File of queries, one per line.")
    flags.DEFINE_integer("top_k", 5, "Number of lines to show per query.", lower_bound=1)
    flags.DEFINE_integer(
        "candidates", 50, "Number of lines per query that the classifier scores.", lower_bound=1
    )
    flags.DEFINE_enum(
        "ranking",
        None,
        search.RANKINGS,
        "How to rank the lines of --corpus; default: the ranking chosen by --dev_file, or mixed.",
    )
    flags.DEFINE_string("dev_file", None, "Lines of question<tab>entry, to select the ranking on.")
    flags.DEFINE_enum(
        "vectors",
        "float32",
        vector_index.STORAGES,
        "How to store vectors of --corpus in memory; int8 and binary need faiss.",
    )
    flags.DEFINE_list(
        "search_weights",
        None,
        "Weights of the lexical similarity, the cosine and the classifier in the mixed ranking; "
        "default: %s; with the vectors of an embedding model: %s."
        % tuple(",".join(map(str, each)) for each in (search.WEIGHTS, search.TRAINED_WEIGHTS)),
    )
    flags.DEFINE_string(
        "encoder_dir",
        None,
        "Model whose vectors find the candidates; default: the one of --model_dir. For a "
        "classifier, or without --model_dir: the newest embedding model, or the bundled one.",
    )


def run(words: List[str]) -> None:
    """Prints the similarity of pairs, or the lines of a corpus most similar to a query."""
    _check_flags(words)
    if FLAGS.corpus:
        search_corpus()
        return
    with open_predictor(FLAGS.model_dir, FLAGS.max_seq_length, FLAGS.precision) as model:
        model.similarity_column()  # a mistake is reported before anything is asked
        if words:
            pair = (words[0], words[1])
            print_pairs([pair], model.similarities([pair]))
        elif FLAGS.interactive:
            talk(model)
        elif FLAGS.pairs or not sys.stdin or not sys.stdin.isatty():
            score_lines(model)
        else:
            print_pairs(EXAMPLE, model.similarities(EXAMPLE))
            print(HINT, file=sys.stderr)
            return
        loaded_model.note_cut("pairs", model.num_cut, model.max_seq_length)
        loaded_model.note_unknown(FLAGS.pairs or "the pairs", model)


def _check_flags(arguments):
    line_reader.check_arguments(arguments)
    line_reader.check_arguments(FLAGS.query or [], "--query, text")
    if arguments and len(arguments) != 2:
        raise UserError("expected two sentences, found %d: quote each of them" % len(arguments))
    ways = {
        "two sentences": bool(arguments),
        "--pairs": FLAGS.pairs,
        "--interactive": FLAGS.interactive,
        "--corpus": FLAGS.corpus,
    }
    given = [name for name, is_given in ways.items() if is_given]
    if len(given) > 1:
        raise UserError("%s are mutually exclusive: give one of them" % " and ".join(given))
    asked = [name for name in ("query", "queries") if FLAGS[name].value is not None]
    if not all(query.strip() for query in FLAGS.query or []):
        raise UserError("--query is empty: expected a text to search for")
    if FLAGS.corpus and len(asked) != 1 and not (FLAGS.dev_file and not asked):
        raise UserError("--corpus needs either --query or --queries, or --dev_file")
    for name in ("ranking", "search_weights"):
        if FLAGS.dev_file and FLAGS[name].present:
            raise UserError(
                "--dev_file compares all rankings and saves the best one: leave out --%s" % name
            )
    if FLAGS.search_weights is not None and FLAGS.ranking not in (None, "mixed", "classifier"):
        raise UserError(
            "--search_weights is for --ranking=mixed, not for %s: leave one of them out"
            % FLAGS.ranking
        )
    if not FLAGS.corpus:
        in_vain = [name for name in _OF_SEARCH if FLAGS[name].present]
        if in_vain:
            raise UserError("--%s needs --corpus, the file to search in" % in_vain[0])


def score_lines(model: "predictor.Predictor") -> None:
    """Prints the similarity of each pair of `--pairs`, or of standard input as lines arrive.

    Raises:
        UserError: for a line that is no pair.
    """
    num_empty = 0
    for pairs in _groups_of_pairs(pair_table.task_of_model(model.notes, model.labels)):
        print_pairs(pairs, model.similarities(pairs))
        num_empty += sum(not (text_a.strip() and text_b.strip()) for text_a, text_b in pairs)
    if num_empty:
        note = "note: pairs with an empty text, whose similarity is meaningless: %d"
        print(note % num_empty, file=sys.stderr)


def _groups_of_pairs(task):
    """Yields the pairs of `--pairs`, or of standard input in groups of as many as are available."""
    if FLAGS.pairs and pair_table.is_table(FLAGS.pairs, FLAGS.encoding, task):
        yield from pair_table.groups(FLAGS.pairs, FLAGS.encoding, task)
        return
    if not FLAGS.pairs:
        print("reading pairs from standard input: text_a<tab>text_b", file=sys.stderr)
    say_header = functools.partial(task_forms.say_header, header=task.header or ())
    for group in line_reader.groups_with_bar("pairs", FLAGS.pairs, FLAGS.encoding, say_header):
        yield [line_reader.pair_of_line(source, line) for source, line in group]


def talk(model: "predictor.Predictor") -> None:
    """Asks for pairs until an empty line or Ctrl-D."""
    with contextlib.suppress(ImportError):  # some Python builds lack it
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
        print("相似度：%.4f" % model.similarities([(sentences[0], sentences[1])])[0])


def search_corpus() -> None:
    """Prints the best lines of `--corpus` for `--query` or for each line of `--queries`."""
    weights = _search_weights()
    path, beside = _model_of_search()
    with _open_classifier(path) as model, _open_encoder(path, beside, model) as encoder:
        corpus = search.Corpus(FLAGS.corpus, encoder, FLAGS.encoding, storage=FLAGS.vectors)
        loaded_model.note_cut("texts of --corpus", encoder.num_cut, encoder.max_seq_length)
        loaded_model.note_unknown(FLAGS.corpus, encoder)
        if FLAGS.dev_file:
            _choose_ranking(corpus, model)
        num_cut_before = encoder.num_cut
        ranking, weights = _ranking(corpus, model, weights)
        for queries in _groups_of_queries():
            hits = corpus.search(queries, model, FLAGS.top_k, FLAGS.candidates, ranking, weights)
            for query, best in zip(queries, hits):
                for rank, hit in enumerate(best, start=1):
                    scores = (rank, hit.score, hit.cosine, hit.line)
                    shown = table_cell(query), *scores, table_cell(hit.text)
                    print("%s\t%d\t%.4f\t%.4f\t%d\t%s" % shown)
            sys.stdout.flush()
        loaded_model.note_cut("queries", encoder.num_cut - num_cut_before, encoder.max_seq_length)
        loaded_model.note_unknown(FLAGS.queries or "--query", encoder)
        if model is not None:
            loaded_model.note_cut(
                "pairs of a query and a line", model.num_cut, model.max_seq_length
            )


def _model_of_search():
    """(path, files beside it) of the ranking model; if there is none, the bundled encoder."""
    if FLAGS.model_dir:
        return FLAGS.model_dir, {}
    try:
        return sentence_similarity.model_of_args()
    except model_choice.NoModelError:
        if FLAGS.ranking == "classifier":
            raise
        return FLAGS.encoder_dir or model_choice.usual_embedding_model(), {}


def _choose_ranking(corpus, model):
    """Measures the rankings on `--dev_file`, prints them and saves the best."""
    questions = search_choice.read_questions(FLAGS.dev_file, corpus, FLAGS.encoding)
    fitted = search_choice.fit(corpus, model, questions, FLAGS.candidates)
    number = counted(len(questions), "question")
    print("%s of %s" % (number, printable(FLAGS.dev_file)), file=sys.stderr)
    print(search_choice.table_of(fitted), file=sys.stderr)
    corpus.keep_choice(fitted.choice, model)


def _ranking(corpus, model, weights):
    """(ranking, weights): from the flags, or as chosen for the corpus."""
    are_given = FLAGS["ranking"].present or FLAGS["search_weights"].present
    choice = None if are_given else corpus.choice(model)
    if choice:
        print("ranking: %s, chosen by --dev_file" % (choice,), file=sys.stderr)
        return choice
    return FLAGS.ranking or "mixed", weights


def _search_weights():
    """The weights of --search_weights, or None."""
    if FLAGS.search_weights is None:
        return None
    try:
        return search.checked_weights([float(weight) for weight in FLAGS.search_weights])
    except ValueError as error:
        raise UserError(
            "--search_weights=%s: %s"
            % (
                ",".join(FLAGS.search_weights),
                error
                if isinstance(error, UserError)
                else "expected 3 numbers, separated by commas",
            )
        ) from error


@contextlib.contextmanager
def _open_classifier(path):
    """The predictor for the search; None if the ranking or the model uses no classifier."""
    if FLAGS.ranking in ("lexical", "cosine"):
        yield None
    elif FLAGS.ranking != "classifier" and not backends.has_classifier(path):
        note = "note: %s has no classifier: lines are ranked without it" % path
        print(printable(note), file=sys.stderr)
        yield None
    else:
        with open_predictor(FLAGS.model_dir, FLAGS.max_seq_length, FLAGS.precision) as model:
            model.similarity_column()  # a mistake is reported before anything is computed
            yield model


def _open_encoder(path, beside, classifier):
    """The encoder of the candidate vectors: of `--encoder_dir`, the model or the usual one."""
    settings = {"precision": FLAGS.precision}
    if classifier is None:  # else the length is for the classifier's pairs
        settings["max_seq_length"] = FLAGS.max_seq_length
    if FLAGS.encoder_dir:
        return text_encoder.TextEncoder(FLAGS.encoder_dir, **settings)
    if _finds_by_own_vectors(path):
        return text_encoder.TextEncoder(path, **settings, **beside)
    usual = model_choice.usual_embedding_model()
    note = (
        "vectors: %s, as those of %s were not trained for comparison (--encoder_dir=DIR "
        "overrides this)"
    )
    print(printable(note % (usual, path)), file=sys.stderr)
    return text_encoder.TextEncoder(usual, **settings)


def _finds_by_own_vectors(path):
    """Whether a model's own vectors are used: an embedding model, or --model_dir without a head."""
    if backends.is_exported(path):
        return False
    if sentence_vectors.read_notes(path) is not None:
        return True
    return bool(FLAGS.model_dir) and not backends.has_classifier(path)


def _groups_of_queries():
    if FLAGS.query:
        yield FLAGS.query
    if FLAGS.queries is None:
        return
    num_blank = 0
    for group in line_reader.groups_of_lines(FLAGS.queries, FLAGS.encoding):
        filled = [line for _, line in group if line.strip()]
        num_blank += len(group) - len(filled)
        for start in range(0, len(filled), search.QUERIES_AT_ONCE):
            yield filled[start : start + search.QUERIES_AT_ONCE]
    if num_blank:
        print("note: skipped %s of --queries" % counted(num_blank, "empty line"), file=sys.stderr)


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, takes_words=True, description=__doc__)
