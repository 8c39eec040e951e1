"""Tokenization in the graph: converts raw texts to the encoder's inputs with TensorFlow ops.

    tokenizer = GraphTokenizer(tokenizer_tables.build(FullTokenizer("vocab.txt")))
    ids, mask, segments = tokenizer.encode(text_a, text_b, max_seq_length=128)

It produces the same tokens as `text.tokenization` and `text.encoding`. All texts form one row of
symbols (see `text.tokenizer_tables`), and every step processes all positions at once. Only pieces
of several characters need loops: one descends the trie from all positions, the other moves from
piece to piece in all words. Chinese texts hardly ever need them: an ideograph is a word by itself.
"""

import collections
from typing import Optional, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.text import tokenizer_tables as tables_module
from albert_zh.text.tokenizer_tables import JOINED, NO_TOKEN, NUM_TYPES, PAGE, SEPARATOR

Words = collections.namedtuple("Words", "symbols is_start continues of_word")
Words.__doc__ = """Properties of each position in the row of all symbols, [M] each.

Fields:
    symbols: int32.
    is_start: bool; whether a word begins there.
    continues: bool; whether it continues the word of the previous position.
    of_word: int32, number of the word; whitespace has the number of the previous word.
"""
_NUM_SPECIAL = 2  # special tokens of one text; a pair has one more


class GraphTokenizer:
    """Tokenization in the graph; each call of `encode` adds operations to the default graph."""

    def __init__(self, tables: tables_module.TokenizerTables) -> None:
        """`tables`: the tables of the tokenizer to reproduce."""
        self._tables = tables
        self._num_symbols = tables.first_nodes.shape[1]

    def encode(
        self,
        text_a: tf.Tensor,
        text_b: tf.Tensor,
        max_seq_length: int,
        length: Optional[int] = None,
    ) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Converts texts, or pairs, to the encoder's inputs like `encoding.encode`.

        Args:
            text_a: string [B], in UTF-8.
            text_b: string [B]; [0] for single texts.
            max_seq_length: maximum row length; longer rows are truncated.
            length: F; None: the length of the longest row.

        Returns:
            (ids, mask, segment ids), int32 [B, F] each.
        """
        with tf.device("/cpu:0"), tf.name_scope("tokenization"):
            num_rows = tf.size(text_a)
            is_pair = tf.cast(tf.size(text_b) > 0, tf.int32)
            text_b = tf.reshape(text_b, [is_pair * num_rows])  # fails if numbers of texts differ
            ids, rows = self.tokens(tf.concat([text_a, text_b], axis=0))
            counts = tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, 2 * num_rows)
            of_a, of_b = counts[:num_rows], counts[num_rows:]
            kept_a, kept_b = _truncated(of_a, of_b, max_seq_length, is_pair)
            layout = _Layout(kept_a, kept_b, is_pair, length)
            specials = self._tables.token_ids
            ids = layout.filled(ids, rows, counts, specials["[CLS]"], specials["[SEP]"])
            return ids, layout.mask(), layout.segments()

    def tokens(self, texts: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        """Tokenizes texts.

        Args:
            texts: string [n], in UTF-8; invalid bytes are skipped.

        Returns:
            (int32 [T], int32 [T]): token ids of all texts, and the numbers of their texts.
        """
        codes, rows = self._symbol_codes(texts)
        words = _words(codes)
        ids, lengths = self._longest_pieces(words)
        reached = _reached_pieces(words, lengths)
        fails = tf.gather(tf.math.segment_min(reached, words.of_word), words.of_word) < 0
        is_token = tf.where(fails, words.is_start, reached > 0)
        unknown = tf.fill(tf.shape(ids), self._tables.token_ids["[UNK]"])
        positions = _indices(is_token)
        return tf.gather(tf.where(fails, unknown, ids), positions), tf.gather(rows, positions)

    def _symbol_codes(self, texts):
        """(codes of all symbols, numbers of their texts); each text ends in whitespace."""
        tables = self._tables
        chars = tf.strings.unicode_decode(tf.strings.join([texts, " "]), "UTF-8")
        code_points, rows = chars.flat_values, tf.cast(chars.value_rowids(), tf.int32)
        page = tf.gather(tf.constant(tables.pages), code_points // PAGE)
        entries = tf.gather(tf.constant(tables.entries), page * PAGE + code_points % PAGE)
        entries = self._with_final_sigmas(entries)
        expansions = tf.constant(tables.expansions)
        starts, ends = tf.gather(expansions, entries), tf.gather(expansions, entries + 1)
        places = tf.ragged.range(starts, ends)
        rows = tf.gather(rows, tf.cast(places.value_rowids(), tf.int32))
        codes = tf.gather(tf.constant(tables.codes), places.flat_values)
        return self._with_ordered_marks(codes, rows)

    def _with_final_sigmas(self, entries):
        """Replaces the entry of a capital sigma at the end of a word by the entry of final sigma.

        Unicode's rule: a cased letter before it and none after it, ignoring signs such as "'".
        """
        tables = self._tables
        if tables.final_sigma is None:
            return entries
        cases = tf.gather(tf.constant(tables.cases), entries)
        places = _indices(tf.not_equal(cases, tables_module.CASE_IGNORABLE))
        cases = tf.gather(cases, places)
        is_cased = tf.pad(cases >= tables_module.CASED, [[1, 1]])
        is_sigma = tf.equal(cases, tables_module.SIGMA)
        is_final = is_sigma & is_cased[:-2] & ~is_cased[2:]
        places = tf.gather(places, _indices(is_final))[:, None]
        finals = tf.fill(tf.shape(places)[:1], tables.final_sigma)
        return tf.tensor_scatter_nd_update(entries, places, finals)

    def _with_ordered_marks(self, codes, rows):
        """Sorts the marks on each letter by combining class; returns codes and rows."""
        if self._tables.combining is None:
            return codes, rows
        classes = tf.gather(tf.constant(self._tables.combining), codes // NUM_TYPES)
        letters = tf.cumsum(tf.cast(tf.equal(classes, 0), tf.int32))
        order = tf.argsort(letters * 256 + classes, stable=True)
        codes = tf.gather(codes, order)  # each stays in its row, which does not end in a mark
        kept = _indices(tf.not_equal(_types(codes), tables_module.REMOVED))
        return tf.gather(codes, kept), tf.gather(rows, kept)

    def _longest_pieces(self, words):
        """(ids, lengths in characters) of the longest piece from each position; 0 if none."""
        tables = self._tables
        sizes = tf.math.segment_sum(
            tf.cast(words.is_start | words.continues, tf.int32), words.of_word
        )
        is_readable = tf.gather(sizes, words.of_word) <= tables.longest_word
        role = tf.cast(words.continues, tf.int32)
        nodes = tf.gather(
            tf.constant(tables.first_nodes.reshape([-1])), role * self._num_symbols + words.symbols
        )
        nodes *= tf.cast(is_readable, tf.int32)
        ids = tf.gather(tf.constant(tables.token_of_node), nodes)
        lengths = tf.cast(tf.not_equal(ids, NO_TOKEN), tf.int32)
        if not tables.edges.size:
            return ids, lengths
        positions = _indices(tf.gather(tf.constant(tables.has_edges), nodes))
        following = words.symbols * role  # 0 after a word's end
        return self._longer_pieces(following, positions, tf.gather(nodes, positions), ids, lengths)

    def _longer_pieces(self, following, positions, nodes, ids, lengths):
        """Descends the trie from all positions until no position has a longer piece."""
        edges = tf.constant(self._tables.edges)
        token_of_node = tf.constant(self._tables.token_of_node)

        def descend(depth, positions, nodes, ids, lengths):
            symbols = tf.gather(following, positions + depth)
            keys = tf.cast(nodes, tf.int64) * self._num_symbols + tf.cast(symbols, tf.int64)
            places = tf.minimum(tf.searchsorted(edges, keys), self._tables.edges.size - 1)
            found = _indices(tf.equal(tf.gather(edges, places), keys))
            positions = tf.gather(positions, found)
            nodes = tf.gather(places, found) + self._tables.first_child
            tokens = tf.gather(token_of_node, nodes)
            ends = _indices(tf.not_equal(tokens, NO_TOKEN))
            where = tf.gather(positions, ends)[:, None]
            ids = tf.tensor_scatter_nd_update(ids, where, tf.gather(tokens, ends))
            longer = tf.fill(tf.shape(ends), depth + 1)
            lengths = tf.tensor_scatter_nd_update(lengths, where, longer)
            return depth + 1, positions, nodes, ids, lengths

        state = (tf.constant(1), positions, nodes, ids, lengths)
        return _while_any(1, descend, state)[3:]


def _reached_pieces(words, lengths):
    """1 where a piece of a word begins, -1 where a piece is missing, 0 at other positions."""

    def advance(at, reached):
        steps = tf.gather(lengths, at)
        reached = tf.tensor_scatter_nd_update(reached, at[:, None], _marks(steps))
        onward = tf.gather(at + steps, _indices(steps > 0))
        return tf.gather(onward, _indices(tf.gather(words.continues, onward))), reached

    starts = tf.where(words.is_start, _marks(lengths), tf.zeros_like(lengths))
    onward = _indices(words.is_start & (lengths > 0))
    onward += tf.gather(lengths, onward)
    onward = tf.gather(onward, _indices(tf.gather(words.continues, onward)))
    return _while_any(0, advance, (onward, starts))[1]


def _marks(lengths):
    return tf.where(lengths > 0, tf.ones_like(lengths), -tf.ones_like(lengths))


def _words(codes):
    """`Words` of the codes of a row of symbols."""
    types = _types(codes)
    is_joined = tf.equal(types, JOINED)
    continues = is_joined & tf.pad(is_joined, [[1, 0]])[:-1]
    is_start = tf.not_equal(types, SEPARATOR) & ~continues
    of_word = tf.maximum(tf.cumsum(tf.cast(is_start, tf.int32)) - 1, 0)
    return Words(codes // NUM_TYPES, is_start, continues, of_word)


def _types(codes):
    return codes % NUM_TYPES


def _indices(flags):
    """int32 [n]: the positions where flags [M] are set."""
    return tf.cast(tf.where(flags)[:, 0], tf.int32)


def _while_any(index, body, state):
    """Repeats body(*state) -> state while the `index`-th tensor has any element."""
    return tf.while_loop(
        lambda *state: tf.size(state[index]) > 0,
        body,
        state,
        shape_invariants=tuple(tf.TensorShape([None] * tensor.shape.rank) for tensor in state),
        back_prop=False,
    )


def _truncated(counts_a, counts_b, max_seq_length, is_pair):
    """Number of tokens to keep of each text, like `encoding.truncate_pair` for all pairs."""
    longest = max_seq_length - _NUM_SPECIAL - is_pair
    kept_a = tf.minimum(counts_a, tf.maximum(longest - counts_b, (longest + 1) // 2))
    kept_b = tf.minimum(counts_b, tf.maximum(longest - counts_a, longest // 2))
    return kept_a, kept_b


class _Layout:
    """The positions of tokens and special tokens in the encoder's rows."""

    def __init__(self, kept_a, kept_b, is_pair, length):
        self._kept_a, self._kept_b, self._is_pair = kept_a, kept_b, is_pair
        self._num_rows = tf.size(kept_a)
        self._sizes = kept_a + kept_b + _NUM_SPECIAL + is_pair
        longest = tf.reduce_max(tf.concat([self._sizes, [_NUM_SPECIAL]], axis=0))
        self._length = longest if length is None else length

    def filled(self, ids, rows, counts, first_id, last_id):
        """int32 [B, F]: the kept tokens, `first_id` before the first text, `last_id` after each.

        Args:
            ids: int32 [T], the tokens of all texts.
            rows: int32 [T], numbers of their texts; numbers of second texts start at B.
            counts: int32 [2 B], numbers of tokens of the texts.
            first_id: id of [CLS].
            last_id: id of [SEP].
        """
        places = tf.range(tf.size(ids)) - tf.gather(tf.cumsum(counts, exclusive=True), rows)
        kept = tf.concat([self._kept_a, self._kept_b], axis=0)
        is_kept = _indices(places < tf.gather(kept, rows))
        ids, rows, places = (tf.gather(x, is_kept) for x in (ids, rows, places))
        is_second = tf.cast(rows >= self._num_rows, tf.int32)
        rows -= is_second * self._num_rows
        places += 1 + is_second * (tf.gather(self._kept_a, rows) + 1)
        every = tf.range(self._num_rows)
        of_pairs = tf.range(self._num_rows * self._is_pair)
        ends = tf.gather(self._sizes, of_pairs) - 1
        indices = tf.stack(
            [
                tf.concat([rows, every, every, of_pairs], axis=0),
                tf.concat([places, tf.zeros_like(every), self._kept_a + 1, ends], axis=0),
            ],
            axis=1,
        )
        special = [
            tf.fill(tf.shape(x), n)
            for x, n in ((every, first_id), (every, last_id), (ends, last_id))
        ]
        return tf.scatter_nd(
            indices, tf.concat([ids] + special, axis=0), tf.stack([self._num_rows, self._length])
        )

    def mask(self):
        """int32 [B, F], 1 for tokens."""
        return tf.sequence_mask(self._sizes, self._length, tf.int32)

    def segments(self):
        """int32 [B, F], 1 for tokens of the second text."""
        firsts = tf.sequence_mask(self._kept_a + _NUM_SPECIAL, self._length, tf.int32)
        return self.mask() - firsts
