"""Losses by which a student learns a teacher's attention and hidden states, in one graph.

    distiller = Distiller(Teacher("bert_base_zh"), student_config, student_tokenizer, settings)
    batches = distiller.with_teacher_rows(batches)  # tf.data, for different vocabularies
    losses = distiller.losses(student_model, features)  # {kind: scalar}

Letters in shape comments: B rows, F tokens of the student, K compared tokens, N heads, D head size,
H width of the student, H' width of the teacher.
"""

from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.layer_distillation import alignment, layer_mapping
from albert_zh.layer_distillation import intermediate_losses as losses
from albert_zh.model.attention import attention_scores
from albert_zh.model.attention_masks import MASKED_LOGIT
from albert_zh.model.checkpoints.checkpoint_values import DISTILLATION_SCOPE
from albert_zh.model.encoder import AlbertModel
from albert_zh.model.relative_positions import RelativePositions
from albert_zh.model.variables import new_variable
from albert_zh.training import length_bucketing

if TYPE_CHECKING:
    from albert_zh.layer_distillation.teacher import Teacher

LOSSES = ("attention", "hidden", "relations")
_ROWS = "teacher_rows/"  # prefix of the names of the teacher's inputs in a batch


class DistillationSettings(NamedTuple):
    """Which parts of the teacher the student learns, and how the two are compared."""

    kinds: Tuple[str, ...] = ("attention", "hidden")  # of `LOSSES`
    layers: Tuple[str, ...] = ()  # see `layer_mapping.layer_pairs`
    tie_projections: bool = False  # one fit_dense for all layers
    is_original: bool = False  # TinyBERT's own losses, with dropout in the teacher
    label_weight: float = 0.0  # weight of the losses of labels (such as masked LM), which are added
    weight_decay: float = 0.01  # weight decay of the optimizer


class _Insides(NamedTuple):
    """The compared tensors of a model, at the compared tokens."""

    hidden: List[tf.Tensor]  # [B, K, H] per depth, from 0
    attention: List[List[tf.Tensor]]  # [query, key, value], each [B, N, K, D], per depth from 1
    relative: Optional[RelativePositions]  # of the compared tokens; None: absolute

    def scores(self, depth: int) -> tf.Tensor:
        """Attention scores before the softmax at a depth from 1, float [B, N, K, K]."""
        query, key, _ = self.attention[depth - 1]
        return attention_scores(query, key, self.relative)


class Distiller:
    """Computes the losses between a student's layers and a teacher's.

    Attributes:
        teacher: `Teacher`.
        label_weight: weight of the losses of labels.
        weight_decay: weight decay of the optimizer.
        pairs: list of compared depths, as (depth of the student, depth of the teacher).
    """

    def __init__(
        self, teacher: "Teacher", config: Any, tokenizer: Any, settings: DistillationSettings
    ) -> None:
        """Checks that teacher and student can be compared.

        Args:
            teacher: the teacher.
            config: `AlbertConfig` of the student.
            tokenizer: `FullTokenizer` of the student's rows.
            settings: which parts are compared, and how.

        Raises:
            UserError: if they cannot be compared.
        """
        self.teacher, self._config = teacher, config
        self.label_weight = settings.label_weight
        self.weight_decay = settings.weight_decay
        self._settings = settings
        depths = (config.num_hidden_layers, teacher.config.num_hidden_layers)
        self.pairs = layer_mapping.layer_pairs(*depths, list(settings.layers))
        self._converter = _row_converter(tokenizer, teacher)
        if settings.is_original:
            _check_original_can_compare(config, teacher, self._converter, settings.kinds)
        self._settings = settings._replace(kinds=self._possible_kinds())
        without = [kind for kind in self._settings.kinds if not self._pairs_of(kind)]
        if without:
            raise UserError(
                "--layers=%s: depth 0 is the input of the first layer, which has no %s: add other "
                "depths, or --losses=hidden" % (",".join(settings.layers), without[0])
            )
        say(
            "distilling %s of %s: layers %s%s",
            " and ".join(self._settings.kinds),
            teacher.path,
            ", ".join("%d from %d" % pair for pair in self.pairs),
            "" if self._converter is None else "; the vocabularies differ",
        )
        if settings.tie_projections and not self._has_projections():
            say("note: --tie_projections has no effect: no compared state is projected")

    def _has_projections(self):
        """Whether `fit_dense` projects compared states to the teacher's width."""
        widths_differ = self._config.hidden_size != self.teacher.config.hidden_size
        return "hidden" in self._settings.kinds and (widths_differ or self._settings.is_original)

    def _possible_kinds(self):
        """Returns the losses; relations replace attention if the numbers of heads differ."""
        kinds = self._settings.kinds
        heads = [c.num_attention_heads for c in (self._config, self.teacher.config)]
        if "attention" in kinds and heads[0] != heads[1]:
            say(
                "note: the student has %d heads, the teacher %d: their relations (MiniLM) are "
                "compared in place of attention scores",
                *heads,
            )
            kinds = tuple(kind for kind in kinds if kind != "attention") + ("relations",)
        return tuple(dict.fromkeys(kinds))

    def run_settings(self) -> Dict[str, Any]:
        """Returns {name: JSON value} of the settings that determine the trained student."""
        return {
            "teacher": self.teacher.fingerprint,
            "weight_decay": self.weight_decay,
            "distillation": "%s; layers %s%s%s; labels %g"
            % (
                ",".join(self._settings.kinds),
                ",".join("%d:%d" % pair for pair in self.pairs),
                ", tied" if self._settings.tie_projections else "",
                ", original" if self._settings.is_original else "",
                self.label_weight,
            ),
        }

    # Rows

    @length_bucketing.without_translation
    def with_teacher_rows(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Adds the teacher's inputs to batches (dicts), if the vocabularies differ."""
        if self._converter is None:
            return batches
        return batches.map(self._add_teacher_rows, num_parallel_calls=2)

    def with_teacher_rows_of(self, input_fn: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps an Estimator's input function so that its batches contain the teacher's inputs."""

        def extended(params, input_context=None):
            return self.with_teacher_rows(input_fn(params, input_context))

        return extended

    def _add_teacher_rows(self, batch):
        inputs = [batch[name] for name in ("input_ids", "input_mask", "segment_ids")]
        arrays = tf.numpy_function(
            self._converter.convert, inputs, [tf.int32] * len(alignment.TeacherRows._fields)
        )
        for array in arrays:
            array.set_shape([inputs[0].shape[0], None])
        names = [_ROWS + name for name in alignment.TeacherRows._fields]
        return dict(batch, **dict(zip(names, arrays)))

    def counts(self, features: Dict[str, tf.Tensor]) -> losses.Counts:
        """Returns the counts by which the losses of a batch are divided."""
        return losses.counts_of(self._mask(features))

    def _mask(self, features):
        """Mask of the compared positions, int tensor [B, K], 0 for padding."""
        name = "input_mask" if self._converter is None else _ROWS + "is_aligned"
        return features[name]

    # Losses

    def losses(
        self,
        model: AlbertModel,
        features: Dict[str, tf.Tensor],
        counts: Optional[losses.Counts] = None,
        precision: str = "float32",
    ) -> Dict[str, tf.Tensor]:
        """Computes the losses of a batch; gradients flow to the student, not to the teacher.

        Args:
            model: the student, built with `keeps_attention` and all positions.
            features: the student's batch, as `with_teacher_rows` returns it.
            counts: counts by which sums are divided; None: the counts of this batch.
            precision: precision of the teacher, as in `AlbertModel`.

        Returns:
            {kind: float scalar tensor}: per kind the mean over the compared layers, or their sum
            with TinyBERT's original losses.
        """
        student, teacher = self._insides(model, features, precision)
        mask = self._mask(features)
        if self._settings.is_original:
            return self._original_losses(student, teacher, mask, counts)
        compared = {
            "attention": lambda s, t: losses.attention_loss(
                student.scores(s), teacher.scores(t), mask, counts
            ),
            "relations": lambda s, t: self._relation_loss(
                student.attention[s - 1], teacher.attention[t - 1], mask, counts
            ),
            "hidden": lambda s, t: losses.hidden_loss(
                self._fitted(student.hidden[s], s), teacher.hidden[t], mask, counts
            ),
        }
        return {
            kind: _mean([compared[kind](*pair) for pair in self._pairs_of(kind)])
            for kind in self._settings.kinds
        }

    def _pairs_of(self, kind):
        """Returns the compared depths; depth 0, the embeddings, only has hidden states."""
        if kind == "hidden":
            return self.pairs
        return [pair for pair in self.pairs if min(pair) > 0]

    def _insides(self, model, features, precision):
        """Returns the `_Insides` of student and teacher."""
        names = ("input_ids", "input_mask", "segment_ids")
        prefix = "" if self._converter is None else _ROWS
        inputs = [features[prefix + name] for name in names]
        teacher = self.teacher.model(*inputs, precision, self._settings.is_original)
        places = {"student": None, "teacher": None}
        if self._converter is not None:
            places = {name: features["%s%s_positions" % (_ROWS, name)] for name in places}
        return (
            _insides_of(model, self._config, places["student"]),
            _insides_of(teacher, self.teacher.config, places["teacher"]),
        )

    def _relation_loss(self, student, teacher, mask, counts):
        """Mean of the relation losses of queries, keys and values."""
        widths = [c.hidden_size for c in (self._config, self.teacher.config)]
        heads = losses.num_relation_heads(*widths)
        return _mean(
            [
                losses.relation_loss(*vectors, mask, heads, counts)
                for vectors in zip(student, teacher)
            ]
        )

    def _original_losses(self, student, teacher, mask, counts):
        """TinyBERT's losses: sums over layers of means over rows, weighted by a part's share."""
        masked = (1.0 - tf.cast(mask, tf.float32))[:, None, None, :] * MASKED_LOGIT
        compared = {
            "attention": lambda s, t: losses.original_attention_loss(
                student.scores(s) + masked, teacher.scores(t) + masked
            ),
            "hidden": lambda s, t: losses.original_hidden_loss(
                self._fitted(student.hidden[s], s), teacher.hidden[t]
            ),
        }
        share = 1.0 if counts is None else losses.counts_of(mask).rows / counts.rows
        return {
            kind: tf.add_n([compared[kind](*pair) for pair in self._pairs_of(kind)]) * share
            for kind in self._settings.kinds
        }

    def _fitted(self, hidden, depth):
        """Projects the student's state [B, K, H] to the teacher's width: [B, K, H']."""
        width = self.teacher.config.hidden_size
        is_tied = self._settings.tie_projections or self._settings.is_original
        if not self._has_projections():
            return hidden
        scope = DISTILLATION_SCOPE + ("fit_dense" if is_tied else "fit_%d" % depth)
        with tf.variable_scope(scope, reuse=tf.AUTO_REUSE):
            kernel = new_variable("kernel", [self._config.hidden_size, width], self._config)
            bias = tf.get_variable("bias", [width], initializer=tf.zeros_initializer())
        return losses.fitted(hidden, kernel, bias)


def _row_converter(tokenizer, teacher):
    """Returns the `RowConverter` of a student's rows; None if the vocabularies are the same."""
    if tokenizer.sha256 == teacher.tokenizer.sha256:
        return None
    if tokenizer.sentencepiece is not None or teacher.tokenizer.sentencepiece is not None:
        raise UserError(
            "%s has another vocabulary than the student, and one of the two is a SentencePiece "
            "model, whose pieces are not aligned: use two lists of word pieces, or one vocabulary"
            % teacher.path
        )
    longest = teacher.config.longest_sequence
    return alignment.RowConverter(tokenizer, teacher.tokenizer, longest)


def _check_original_can_compare(config, teacher, converter, kinds):
    """Raises `UserError` for models and settings on which TinyBERT's own programs would fail."""
    numbers = [(c.num_hidden_layers, c.num_attention_heads) for c in (config, teacher.config)]
    differing = [
        (numbers[1][0] % numbers[0][0], "the teacher's %d layers are not a multiple of %d"),
        (numbers[1][1] != numbers[0][1], "the teacher has %d heads, the student %d"),
    ]
    for number, (differs, text) in enumerate(differing):
        if differs:
            raise UserError(
                "--compatible: %s: leave it out" % (text % (numbers[1][number], numbers[0][number]))
            )
    if converter is not None:
        raise UserError("--compatible: the vocabularies differ: leave it out")
    if "relations" in kinds:
        raise UserError("--compatible: TinyBERT has no --losses=relations: leave one of them out")


def _insides_of(model, config, positions=None):
    """Returns the `_Insides` of a model, at positions int [B, K]; None: at all positions."""
    relative = None
    if config.use_relative_position:
        head_size = config.hidden_size // config.num_attention_heads
        relative = RelativePositions(head_size, config.max_relative_position, positions, positions)
    hidden = [tf.cast(state, tf.float32) for state in model.get_hidden_states()]
    attention = model.get_attention_inputs()
    if positions is None:
        return _Insides(hidden, attention, relative)
    return _Insides(
        [tf.gather(state, positions, axis=1, batch_dims=1) for state in hidden],
        [[tf.gather(x, positions, axis=2, batch_dims=1) for x in layer] for layer in attention],
        relative,
    )


def _mean(scalars):
    return tf.add_n(scalars) / float(len(scalars))
