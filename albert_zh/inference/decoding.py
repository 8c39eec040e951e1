"""Decoding of texts from next-token probabilities: greedy, sampling and beam search.

This module is independent of any model: `next_log_probs(tokens, parents)` continues rows. The first
call passes None, for the initial rows; later calls pass the chosen tokens [R] and, for each token,
the index of the row of the previous call that it continues. It returns float [R, V].
"""

from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common import checks, validation
from albert_zh.common.errors import UserError

NextLogProbs = Callable[[Optional[Sequence[int]], Optional[Sequence[int]]], np.ndarray]


class DecodingSettings(NamedTuple):
    """How texts are generated.

    Fields:
        max_length: maximum number of tokens; None: as in training.
        min_length: minimum number of tokens.
        num_beams: number of beams; 1 for greedy decoding or sampling.
        length_penalty: alpha in the score of a hypothesis, the sum of log probabilities divided by
            ((5 + length) / 6) ** alpha (Wu et al. 2016).
        no_repeat_ngram_size: size of the n-grams that may occur only once; 0: no limit.
        do_sample: whether to sample tokens instead of taking the most probable ones.
        top_k: sample from this many most probable tokens; 0: all tokens.
        top_p: sample from the fewest tokens with at least this probability (Holtzman et al. 2020).
        temperature: divides the logits before sampling.
        seed: random seed of sampling; each text has a separate random state, whatever its batch is.
    """

    max_length: Optional[int] = None
    min_length: int = 1
    num_beams: int = 1
    length_penalty: float = 0.6
    no_repeat_ngram_size: int = 0
    do_sample: bool = False
    top_k: int = 0
    top_p: float = 1.0
    temperature: float = 1.0
    seed: int = 0


_SETTINGS = {
    "max_length": validation.or_none(validation.integer(1, 1 << 20), "None"),
    "min_length": validation.integer(0, 1 << 20),
    "num_beams": validation.integer(1, 64),
    "length_penalty": validation.number(-10, 10),
    "no_repeat_ngram_size": validation.integer(0, 100),
    "do_sample": validation.BOOLEAN,
    "top_k": validation.integer(0),
    "top_p": validation.number(above=0, most=1),
    "temperature": validation.number(above=0, most=1000),
    "seed": validation.integer(0, 2**32 - 1),
}


class Hypothesis(NamedTuple):
    """A generated text: its tokens without the end token, and its score."""

    tokens: Tuple[int, ...]
    score: float


class Rules(NamedTuple):
    """Which tokens may follow: `end_id` ends a text, `forbidden_ids` are never generated."""

    end_id: int
    forbidden_ids: Sequence[int]
    settings: DecodingSettings

    def allowed(self, log_probs: np.ndarray, tokens: Sequence[int]) -> np.ndarray:
        """Log probabilities [V] of the token after `tokens`, -inf for tokens that may not follow.

        Raises:
            UserError: if the model's outputs are NaN.
        """
        allowed = np.array(log_probs, np.float64)
        if np.isnan(allowed).any():
            raise UserError(
                "the model's outputs are NaN: its weights are damaged: use another checkpoint"
            )
        allowed[list(self.forbidden_ids)] = -np.inf
        if len(tokens) < self.settings.min_length:
            allowed[self.end_id] = -np.inf
        allowed[repeating_tokens(tokens, self.settings.no_repeat_ngram_size)] = -np.inf
        return allowed


def checked_settings(
    given: Dict[str, Any], trained_length: Optional[int] = None
) -> DecodingSettings:
    """Checks settings of generation; raises `UserError` for invalid ones.

    Args:
        given: {name: value} of `DecodingSettings`.
        trained_length: `max_length` if none is passed.
    """
    for name, setting in given.items():
        if name not in _SETTINGS:
            raise UserError(
                "%s: not a generation setting, expected one of %s" % (name, ", ".join(_SETTINGS))
            )
        checks.checked(name, setting, _SETTINGS[name])
    settings = DecodingSettings(**given)
    if settings.max_length is None:
        settings = settings._replace(max_length=trained_length)
    if settings.max_length is not None and settings.min_length > settings.max_length:
        raise UserError(
            "min_length: %d is more than max_length, %d"
            % (settings.min_length, settings.max_length)
        )
    if settings.num_beams > 1 and settings.do_sample:
        raise UserError("num_beams and do_sample are mutually exclusive: leave one out")
    of_sampling = (settings.temperature, settings.top_k, settings.top_p)
    if not settings.do_sample and of_sampling != (1.0, 0, 1.0):
        raise UserError("temperature, top_k and top_p are for sampling: add do_sample")
    return settings


def repeating_tokens(tokens: Sequence[int], size: int) -> List[int]:
    """The tokens that would repeat an n-gram of this size; an empty list for size 0."""
    if not size:
        return []
    begin = tuple(tokens[len(tokens) - size + 1 :]) if size > 1 else ()
    starts = range(len(tokens) - size + 1)
    return [tokens[s + size - 1] for s in starts if tuple(tokens[s : s + size - 1]) == begin]


def length_norm(length: int, alpha: float) -> float:
    """The divisor of a sum of log probabilities."""
    return ((5.0 + length) / 6.0) ** alpha


# Greedy decoding and sampling


def token_by_token(
    next_log_probs: NextLogProbs, num_rows: int, rules: Rules, first_number: int = 0
) -> Iterator[List[Tuple[int, int, float]]]:
    """Generates rows greedily or by sampling.

    Args:
        next_log_probs: see the module's docstring.
        num_rows: number of initial rows.
        rules: `Rules`, with a `max_length`.
        first_number: number of the first row; a row's random draws depend on seed and number.

    Yields:
        for each step, the (row, token, log probability) of the rows that have not ended, the end
        token included.
    """
    settings = rules.settings
    numbers = range(first_number, first_number + num_rows)
    generators = [np.random.RandomState([settings.seed, number]) for number in numbers]
    written: List[List[int]] = [[] for _ in range(num_rows)]
    rows, tokens, parents = list(range(num_rows)), None, None
    for _ in range(settings.max_length or 0):
        log_probs = next_log_probs(tokens, parents)
        step = []
        for row, of_row in zip(rows, log_probs):
            token = _next_token(rules.allowed(of_row, written[row]), settings, generators[row])
            written[row].append(token)
            step.append((row, token, float(of_row[token])))
        yield step
        parents = [index for index, (_, token, _) in enumerate(step) if token != rules.end_id]
        rows, tokens = [rows[index] for index in parents], [step[index][1] for index in parents]
        if not rows:
            return


def _next_token(log_probs, settings, generator):
    if not np.isfinite(log_probs).any():
        raise _no_token(settings)
    if not settings.do_sample:
        return int(np.argmax(log_probs))
    probabilities = kept_probabilities(log_probs, settings)
    drawn = np.searchsorted(np.cumsum(probabilities), generator.random_sample(), side="right")
    return int(min(drawn, np.flatnonzero(probabilities)[-1]))


def _no_token(settings):
    return UserError(
        "no token is allowed next: lower no_repeat_ngram_size=%d or min_length=%d"
        % (settings.no_repeat_ngram_size, settings.min_length)
    )


def kept_probabilities(log_probs: np.ndarray, settings: DecodingSettings) -> np.ndarray:
    """The distribution to sample from: probabilities [V] after temperature, `top_k` and `top_p`.

    Args:
        log_probs: float [V].
        settings: `DecodingSettings`.
    """
    with np.errstate(over="ignore"):  # tiny temperature: all but the highest become 0
        probabilities = np.exp((log_probs - log_probs.max()) / settings.temperature)
    probabilities /= probabilities.sum()
    order = np.argsort(-probabilities, kind="stable")
    is_dropped = np.zeros(len(order), bool)
    if settings.top_k:
        is_dropped[settings.top_k :] = True
    kept = np.where(is_dropped, 0.0, probabilities[order])
    kept /= kept.sum()
    before = np.cumsum(kept) - kept
    probabilities[order] = np.where(before < settings.top_p, kept, 0.0)
    return probabilities / probabilities.sum()


# Beam search


def beam_search(next_log_probs: NextLogProbs, rules: Rules) -> List[Hypothesis]:
    """Finds the best texts for one row, in descending order of the normalized score.

    Finished hypotheses stay in the comparison; the search continues until no open hypothesis can
    become better than these.

    Args:
        next_log_probs: see the module's docstring; its first call returns one row.
        rules: `Rules`, with a `max_length`.

    Returns:
        list of `Hypothesis`, from 1 to `num_beams` of them.

    Raises:
        UserError: if the rules allow no token.
    """
    settings = rules.settings
    longest, alpha = settings.max_length or 0, settings.length_penalty
    open_ones, tokens, parents = [Hypothesis((), 0.0)], None, None
    ended: List[Hypothesis] = []
    for _ in range(longest):
        log_probs = next_log_probs(tokens, parents)
        totals = np.stack(
            [one.score + rules.allowed(row, one.tokens) for one, row in zip(open_ones, log_probs)]
        )
        extended, parents = [], []
        for parent, token in _best(totals, 2 * settings.num_beams):
            former, total = open_ones[parent].tokens, float(totals[parent, token])
            if token == rules.end_id:
                ended.append(Hypothesis(former, total / length_norm(len(former) + 1, alpha)))
            elif len(extended) < settings.num_beams:
                extended.append(Hypothesis(former + (token,), total))
                parents.append(parent)
        if not extended and not ended:
            raise _no_token(settings)
        ended = sorted(ended, key=lambda one: -one.score)[: settings.num_beams]
        open_ones, tokens = extended, [one.tokens[-1] for one in extended]
        if not open_ones or _is_decided(open_ones, ended, settings):
            open_ones = []
            break
    cut = [Hypothesis(one.tokens, one.score / length_norm(longest, alpha)) for one in open_ones]
    return sorted(ended + cut, key=lambda one: -one.score)[: settings.num_beams]


def _best(totals, count):
    """(row, column) of the highest finite values, in descending order; ties: the first."""
    flat = totals.ravel()
    count = min(count, int(np.isfinite(flat).sum()))
    if not count:
        return []
    least = np.partition(flat, -count)[-count]
    above, equal = np.flatnonzero(flat > least), np.flatnonzero(flat == least)
    chosen = np.concatenate([above, equal[: count - len(above)]])
    chosen = sorted(chosen, key=lambda index: (-flat[index], index))
    return [(int(index) // totals.shape[1], int(index) % totals.shape[1]) for index in chosen]


def _is_decided(open_ones, ended, settings):
    """Whether no open hypothesis can beat the worst of enough finished ones."""
    if len(ended) < settings.num_beams:
        return False
    best = max(one.score for one in open_ones)
    lengths = (len(open_ones[0].tokens) + 1, settings.max_length)
    bound = max(best / length_norm(length, settings.length_penalty) for length in lengths)
    return bound <= ended[-1].score
