"""Generates texts with a generator kept in memory.

with Generator("titles_output/best") as generator:
    generator.generate(["文章"], num_beams=4)[0].text
    for piece in generator.stream("文章", do_sample=True, top_p=0.9, seed=1):
        print(piece, end="")
"""

import itertools
import os
import threading
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.inference import arguments, decoding, input_rows, loaded_model, workers
from albert_zh.inference.runtimes import checkpoint_session
from albert_zh.inference.workers import Abandoned
from albert_zh.model import incremental_decoding
from albert_zh.model.checkpoints import fine_tuning_notes, model_folder
from albert_zh.tasks import head_notes, unknown_words
from albert_zh.tasks.generation import flags as generation_flags
from albert_zh.tasks.generation import objectives
from albert_zh.tasks.generation.token_ids import source_ids, text_of_ids

__all__ = ["Abandoned", "Generated", "Generator"]

OBJECTIVE = "generation"
_SHORTEST_SOURCE = 8  # tokens
_ROWS = 16  # texts that a thread generates together
_COLUMNS = 64  # positions by which caches grow


class Generated(NamedTuple):
    """A generated text.

    Fields:
        text: str.
        score: log probability over ((5 + tokens) / 6) ** length_penalty.
        was_cut: whether the source was truncated.
    """

    text: str
    score: float
    was_cut: bool = False


class Generator(loaded_model.LoadedModel):
    """A model of run_seq2seq.py, kept in memory.

    Attributes:
        tokenizer: `FullTokenizer` of its vocabulary.
        max_source_length: maximum tokens of a source in training.
        max_length: maximum tokens of a generated text in training.
        unknown: `unknown_words.Tally` of the sources so far.
        appended: ids read after the last token of a text: `[MASK]` if the model predicts there.
    """

    def __init__(
        self, model_dir: str, num_threads: Optional[int] = None, precision: str = "float32"
    ) -> None:
        """Loads config, vocabulary and weights.

        Args:
            model_dir: OUTPUT_DIR/best of run_seq2seq.py.
            num_threads: threads of a call; None: one per core.
            precision: precision of products, a key of `modeling.PRECISIONS`.

        Raises:
            UserError: if there is no such model, or it was trained for another task.
        """
        super().__init__()
        arguments.check_arguments(num_threads=num_threads)
        arguments.check_precision(precision)
        folder = loaded_model.open_folder(model_dir)
        notes = _checked_notes(model_dir, folder)
        self.tokenizer, self._config = folder.tokenizer, folder.config
        self.unknown = unknown_words.Tally(folder.tokenizer)
        self._ids = notes["head"]["token_ids"]
        self.max_length = notes["head"]["max_target_length"] - 1
        self.max_source_length = notes["max_seq_length"] - self.max_length - 1
        self._precision = precision
        self.appended = [self._ids["mask"]] if objectives.predicts_masks(notes["head"]) else []
        self._tensors: Tuple[Any, ...] = ()
        self._session = checkpoint_session.CheckpointSession(
            folder.prefix,
            self._build,
            "a generator of run_seq2seq.py",
            num_threads,
            folder.config.hidden_size,
        )
        self._workers = workers.Workers(self._session.num_workers)
        self.encode, self.step = (self._session.callable_of(*pair) for pair in self._tensors)

    def _build(self, features):
        """Builds (outputs, inputs) of a source's cache and of a step, see `_Rows`."""
        config, precision = self._config, self._precision
        ids, mask = features["input_ids"], features["input_mask"]
        length = tf.placeholder(tf.int32, [], "cache_length")
        with tf.variable_scope("", reuse=tf.AUTO_REUSE):
            cache = incremental_decoding.encoded_source(
                config, ids, mask, length, precision=precision
            )
            former = [tf.placeholder(t.dtype, t.shape.as_list()) for t in cache]
            parents = tf.placeholder(tf.int32, [None], "parents")
            width = 1 + len(self.appended)
            tokens, positions, segments = (
                tf.placeholder(tf.int32, [None, width]) for _ in range(3)
            )
            logits, extended = incremental_decoding.next_logits(
                config,
                tokens,
                positions,
                segments,
                [tf.gather(tensor, parents) for tensor in former],
                precision,
            )
            log_probs = tf.nn.log_softmax(logits)
        self._tensors = (
            (cache, [ids, mask, length]),
            ([log_probs] + extended, [tokens, positions, segments, parents] + former),
        )
        return log_probs, [length, tokens, positions, segments, parents] + former

    def generate(
        self,
        texts: Sequence[str],
        is_wanted: Optional[Callable[[], bool]] = None,
        first_number: int = 0,
        **settings: Any,
    ) -> List[Generated]:
        """Generates a text for each source.

        Args:
            texts: sequence of str.
            is_wanted: called before every token, by several threads; returns whether the texts are
                still wanted; None: they always are.
            first_number: number of the first text; a text's random draws depend on the seed and
                its number, so that parts of a list yield the same texts as the whole list.
            **settings: fields of `decoding.DecodingSettings`.

        Returns:
            list of `Generated`.

        Raises:
            UserError: for values that are no texts, invalid settings, and after `close`.
            Abandoned: when `is_wanted` returns False.
        """
        rules, longest = self._rules(settings)
        sources = [self._source(text, longest) for text in _checked(texts)]
        size = max(1, min(_ROWS, -(-len(sources) // self._session.num_shares)))
        stopped = threading.Event()

        def is_still_wanted():
            return not stopped.is_set() and (is_wanted is None or is_wanted())

        def written(start):
            part = sources[start : start + size]
            if rules.settings.num_beams > 1:
                return self._searched(part, rules, is_still_wanted)
            return self._written(part, rules, is_still_wanted, first_number + start)

        with self.in_use():
            try:
                parts = self._workers.in_order(written, range(0, len(sources), size))
                return list(itertools.chain.from_iterable(parts))
            finally:  # other threads may still work after an error
                stopped.set()

    def stream(self, text: str, **settings: Any) -> Iterator[str]:
        """Yields a text piece by piece as it is generated; arguments as in `generate`, no beams.

        An iterator that is not exhausted does not keep the generator from being closed.
        """
        rules, longest = self._rules(settings)
        if rules.settings.num_beams > 1:
            raise UserError(
                "num_beams: a beam search has no text to return before it ends: leave it out"
            )
        ids, _ = self._source(_checked([text])[0], longest)
        with self.in_use():
            rows = _Rows(self, [ids], rules)

        def next_log_probs(tokens, parents):
            with self.in_use():
                return rows.next_log_probs(tokens, parents)

        written, shown = [], ""
        for ((_, token, _),) in decoding.token_by_token(next_log_probs, 1, rules):
            if token == rules.end_id:
                return
            written.append(token)
            text = text_of_ids(self.tokenizer, written)
            yield text[len(shown) :]
            shown = text

    def reading(self, text: str, **settings: Any) -> input_rows.Reading:
        """Which parts of a source the model does not see; arguments as in `stream`."""
        ids, was_cut = source_ids(self.tokenizer, text, self._rules(settings)[1])
        return input_rows.Reading(was_cut, self.unknown.is_unknown([ids]))

    def _rules(self, given):
        """(`decoding.Rules`, maximum tokens of a source)."""
        settings = decoding.checked_settings(given, self.max_length)
        longest = min(self.max_source_length, self._config.longest_sequence - settings.max_length)
        if longest < _SHORTEST_SOURCE:
            raise UserError(
                "max_length: %d leaves no positions for the source: the model has %d positions"
                % (settings.max_length, self._config.longest_sequence)
            )
        forbidden = [self._ids[name] for name in ("pad", "unk", "cls", "mask")]
        return decoding.Rules(self._ids["sep"], forbidden, settings), longest

    def _source(self, text, longest):
        ids, was_cut = source_ids(self.tokenizer, text, longest)
        self.unknown.add([text], [ids])
        return ids, was_cut

    def _written(self, sources, rules, is_wanted, first_number):
        rows = _Rows(self, [ids for ids, _ in sources], rules, is_wanted)
        tokens, scores = [[] for _ in sources], [[] for _ in sources]
        for step in decoding.token_by_token(rows.next_log_probs, len(sources), rules, first_number):
            for row, token, log_prob in step:
                tokens[row].append(token)
                scores[row].append(log_prob)
        return [
            Generated(
                text_of_ids(self.tokenizer, tokens[row], rules.end_id),
                sum(scores[row])
                / decoding.length_norm(len(scores[row]), rules.settings.length_penalty),
                was_cut,
            )
            for row, (_, was_cut) in enumerate(sources)
        ]

    def _searched(self, sources, rules, is_wanted):
        results = []
        for ids, was_cut in sources:
            rows = _Rows(self, [ids], rules, is_wanted)
            best = decoding.beam_search(rows.next_log_probs, rules)[0]
            text = text_of_ids(self.tokenizer, best.tokens)
            results.append(Generated(text, best.score, was_cut))
        return results

    def _free(self):
        self._workers.close()
        del self.encode, self.step  # they hold the session
        self._session.close()


def _checked_notes(model_dir, folder):
    """The content of a generator's fine_tuning.json; raises `UserError` for other models."""
    notes, name = model_folder.open_folder(model_dir).notes, fine_tuning_notes.FINE_TUNING_FILE
    if notes.get("objective") != OBJECTIVE:
        raise UserError(
            "%s: not a generator (its %s has %s): train one with run_seq2seq.py"
            % (model_dir, name, notes.get("objective", "nothing"))
        )
    source = os.path.join(os.path.dirname(folder.prefix), name)
    head_notes.check_head(notes, source)
    ids = generation_flags.token_ids(folder.tokenizer, folder.vocab_file)
    noted, longest = notes["head"]["token_ids"], notes["head"]["max_target_length"]
    if noted != ids:
        fault = "head: token_ids: expected %s, those of %s, found %s" % (
            _in_words(ids),
            folder.vocab_file,
            _in_words(noted),
        )
    elif notes.get("max_seq_length", 0) <= longest:
        fault = "max_seq_length: expected more than head.max_target_length, %d, found %s" % (
            longest,
            notes.get("max_seq_length", "none"),
        )
    else:
        return notes
    raise UserError("%s: %s: %s" % (source, fault, fine_tuning_notes.NOTES_WAY_OUT))


def _in_words(token_ids):
    return ", ".join("%s %d" % item for item in sorted(token_ids.items()))


class _Rows:
    """The rows being generated, with their caches, which grow with the texts."""

    def __init__(self, generator, sources, rules, is_wanted=None):
        """Encodes the sources.

        Args:
            generator: `Generator`.
            sources: list of lists of ids.
            rules: `decoding.Rules`.
            is_wanted: see `Generator.generate`.
        """
        self._is_wanted = is_wanted
        arrays = input_rows.padded([(ids, [0] * len(ids)) for ids in sources])
        self._generator, self._end_id = generator, rules.end_id
        self._lengths = arrays[1].sum(axis=1)  # [R]
        length = arrays.shape[2] + min(_COLUMNS, rules.settings.max_length)
        self._cache = generator.encode(arrays[0], arrays[1], np.int32(length))
        self._num_written = 0

    def next_log_probs(self, tokens, parents):
        """See `decoding`; the first call reads the last source token again, without effect."""
        if self._is_wanted and not self._is_wanted():
            raise Abandoned
        if tokens is None:
            tokens, parents = [self._end_id] * len(self._lengths), range(len(self._lengths))
        parents = np.array(parents, np.int32)
        self._lengths = self._lengths[parents]
        appended = self._generator.appended
        rows = np.array([[token] + appended for token in tokens], np.int32)
        positions = self._lengths[:, None] - 1 + self._num_written + np.arange(rows.shape[1])
        segments = np.full_like(positions, int(self._num_written > 0))
        segments[:, 1:] = 1
        self._make_columns(int(positions.max()) + 1)
        log_probs, *self._cache = self._generator.step(
            rows, positions, segments, parents, *self._cache
        )
        self._num_written += 1
        return log_probs

    def _make_columns(self, length):
        """Extends the caches, [R, N, L, D], to at least this length."""
        lacking = length - self._cache[0].shape[2]
        if lacking > 0:
            added = [(0, 0), (0, 0), (0, max(_COLUMNS, lacking)), (0, 0)]
            self._cache = [np.pad(array, added, "constant") for array in self._cache]


def _checked(texts):
    checked = input_rows.checked_texts(texts)
    for index, (text, other) in enumerate(checked):
        if other is not None or not text.strip():
            raise UserError("text %d is empty or a pair: expected a source" % index)
    return [text for text, _ in checked]
