r"""Measures how well the order of two segments can be guessed from the way text was split.

    python benchmarks/segment_order.py --corpus='corpus/*.txt.gz'
    python benchmarks/segment_order.py --corpus='corpus/*.txt.gz' --max_seq_length=512 \
        --sentences=as_records

A logistic regression on the lengths and the first and last pieces of both segments predicts which
segment comes first. Printed is its accuracy on unseen documents: on records, and on neighbouring
whole sentences of the same documents, for each file and for all files together.
"""

import argparse
import itertools
import os
import sys

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)  # before this folder, which has another pretraining_data.py

from albert_zh.common.errors import UserError, run_program
from albert_zh.corpus import (
    masking,
    sampling,
)
from albert_zh.corpus import reader as corpus_reader
from albert_zh.text import (
    tokenization,
    word_segmentation,
)

VOCABULARY = os.path.join(ROOT, "albert_starter_zh", "vocab.txt")
UNSEEN = 4  # every fourth document
NUM_PASSES = 2  # passes over the documents for records


def main():
    """Prints a line for each file, and one for all files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--corpus", required=True, help="text files, as for --input_file")
    parser.add_argument(
        "--max_seq_length", type=int, default=128, help="maximum number of tokens per record"
    )
    parser.add_argument(
        "--num_shards", type=int, default=6, help="shards per file, 130,000 words each"
    )
    parser.add_argument(
        "--sentences",
        choices=sorted(NEIGHBOURS),
        default="all",
        help="which neighbouring sentences to compare with the records",
    )
    arguments = parser.parse_args()
    together = Order(), Order()
    print("%-24s %8s %10s %11s" % ("accuracy in %", "records", "sentences", "difference"))
    for path in corpus_reader.input_files(arguments.corpus, "corpus"):
        alone = Order(), Order()
        add_texts(
            alone, [path], arguments.max_seq_length, arguments.num_shards, arguments.sentences
        )
        if alone[0].is_enough():  # else nearly all documents have one sentence
            show(os.path.basename(path), alone)
        for order, part in zip(together, alone):
            order.extend(part)
    if not together[0].is_enough():
        raise UserError(
            "--corpus=%s: too few records of two segments in it: expected documents of several "
            "sentences, blank lines between" % arguments.corpus
        )
    show("together", together)


def show(name, orders):
    """Prints the accuracies of two `Order`s, on records and on sentences."""
    records, sentences = (100 * order.accuracy() for order in orders)
    columns = (name, records, sentences, records - sentences)
    print("%-24s %8.1f %10.1f %+11.1f" % columns, flush=True)


class Order:
    """Rows of features of how text was split: lengths, first and last pieces; and the order."""

    def __init__(self):
        self.rows = {False: [], True: []}  # {whether the document is unseen: rows}

    def add(self, is_unseen, ids, begins_a, lengths_a, begins_b, lengths_b, labels):
        """Adds pairs, given as places in an array of ids; a document belongs to one part only."""
        ends = [begins_a, begins_a + lengths_a - 1, begins_b, begins_b + lengths_b - 1]
        columns = [ids[end] for end in ends] + [lengths_a, lengths_b, labels]
        self.rows[is_unseen].append(np.stack(columns, 1))

    def extend(self, other):
        """Adds the rows of another `Order`."""
        for is_unseen, rows in other.rows.items():
            self.rows[is_unseen] += rows

    def is_enough(self):
        """Whether there are training rows of both orders, and unseen rows."""
        orders = [rows[:, -1] for rows in self.rows[False]]
        has_both = len(np.unique(np.concatenate(orders or [[]]))) > 1
        return has_both and any(map(len, self.rows[True]))

    def accuracy(self):
        """Accuracy of a logistic regression on unseen documents."""
        import scipy.sparse
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import OneHotEncoder

        seen, unseen = (np.concatenate(self.rows[is_unseen]) for is_unseen in (False, True))
        encoder = OneHotEncoder(handle_unknown="ignore").fit(seen[:, :4])
        model = LogisticRegression(C=0.3, max_iter=500)
        inputs = [
            scipy.sparse.hstack([encoder.transform(rows[:, :4]), rows[:, 4:6] / 100.0]).tocsr()
            for rows in (seen, unseen)
        ]
        model.fit(inputs[0], seen[:, 6])
        return model.score(inputs[1], unseen[:, 6])


def add_texts(orders, paths, max_seq_length, num_shards, sentences):
    """Adds the records and sentences of files.

    Args:
        orders: two `Order`s, of records and of sentences.
        paths: list of str, text files.
        max_seq_length: maximum length of records.
        num_shards: int, number of shards to read from each file.
        sentences: a key of `NEIGHBOURS`.
    """
    tokenizer = tokenization.FullTokenizer(VOCABULARY)
    sampler = sampling.Sampler(_settings(max_seq_length), sampling.make_vocabulary(tokenizer))
    encoder = word_segmentation.LineEncoder(tokenizer)
    generator = np.random.RandomState(1)
    for path in paths:
        for shard in itertools.islice(corpus_reader.read_shards([path]), num_shards):
            encoded = sampling.encode_shard(shard, encoder)
            for is_unseen, part in _parts(encoded).items():
                _add_records(orders[0], is_unseen, part, sampler)
                firsts = NEIGHBOURS[sentences](part, generator, max_seq_length)
                _add_sentences(orders[1], is_unseen, part, firsts, generator)


def _settings(max_seq_length):
    return sampling.Settings(
        max_seq_length=max_seq_length,
        max_predictions=20,
        masked_lm_prob=0.15,
        short_seq_prob=0.1,
        seed=12345,
        whole_words=True,
        run_weights=masking.WHOLE_WORDS,
        google=False,
        random_next=False,
        similar_next=False,
        permute=False,
        dynamic=True,
    )


def _parts(encoded):
    """{whether documents are unseen: the documents}."""
    seen = [document for number, document in enumerate(encoded.documents) if number % UNSEEN]
    parts = {True: encoded.documents[::UNSEEN], False: seen}
    return {unseen: encoded._replace(documents=part) for unseen, part in parts.items()}


def _all_neighbours(encoded, generator, max_seq_length):
    """The first sentences of all pairs of neighbouring sentences."""
    del generator, max_seq_length
    firsts = [np.zeros(0, np.int64)]
    firsts += [np.arange(first, last - 1) for first, last in encoded.documents]
    return np.concatenate(firsts)


def _neighbours_as_records(encoded, generator, max_seq_length):
    """The first sentences of random pairs; a document has twice as many pairs as records."""
    places = np.array(encoded.sentences)
    firsts = [np.zeros(0, np.int64)]
    for first, last in encoded.documents:
        count = max(1, round((places[last] - places[first]) / (max_seq_length - 3)))
        if last - first > 1:
            firsts.append(generator.randint(first, last - 1, size=2 * int(count)))
    return np.concatenate(firsts)


# Which neighbouring sentences are compared. Short documents, whose beginnings reveal the order,
# make up most of the long records but few of all pairs of sentences.
NEIGHBOURS = {"all": _all_neighbours, "as_records": _neighbours_as_records}


def _add_sentences(order, is_unseen, encoded, firsts, generator):
    """Adds neighbouring whole sentences; half of the pairs are swapped."""
    places = np.array(encoded.sentences)
    labels = generator.random_sample(len(firsts)) < 0.5
    a, b = firsts + labels, firsts + ~labels
    lengths = np.diff(places)
    order.add(is_unseen, encoded.ids, places[a], lengths[a], places[b], lengths[b], labels)


def _add_records(order, is_unseen, encoded, sampler):
    """Adds the records that are created from the documents."""
    for number in range(NUM_PASSES):
        for features in sampler.features(encoded, number):
            lengths = features["input_mask"].sum(axis=1)
            lengths_b = features["segment_ids"].sum(axis=1) - 1
            rows = np.arange(len(lengths)) * features["input_ids"].shape[1]
            lengths_a = lengths - lengths_b - 3
            segments = rows + 1, lengths_a, rows + 2 + lengths_a, lengths_b
            labels = features["next_sentence_labels"][:, 0]
            order.add(is_unseen, features["input_ids"].ravel(), *segments, labels)


if __name__ == "__main__":
    run_program(main)
