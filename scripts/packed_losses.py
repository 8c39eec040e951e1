"""The training losses on a packed batch, and the metrics on held-out text.

    objective = Objective(encoder, special_ids, teacher=(encoder, weights), detection_from=0.7)
    loss, values = objective.losses(weights, batch, share, generator)

Losses: masked LM (15 % of the pieces; 80 % of them show [MASK], 10 % another piece) and pairs.
After a share of the steps, there are also losses on the text whose masks are filled with samples of
the model: detection of replaced pieces (weight 20), and pairs again. With a teacher, half of the
masked LM loss is the divergence from the teacher's distributions; the distance from its outputs is
faded out until 0.8 of the steps.
Dimensions: T pieces, H hidden size, M masked positions, V vocabulary size.
"""

import math
from typing import TYPE_CHECKING, Dict, Iterable, Optional, Tuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    import packed_encoders
    import packed_text

Weights = Dict[str, torch.Tensor]
MASKED_SHARE = 0.15
_SHOWN_AS_MASK, _SHOWN_AS_OTHER = 0.8, 0.9
DETECTION_WEIGHT, SOFT_WEIGHT, DISTANCE_WEIGHT, DISTANCE_UNTIL = 20.0, 0.5, 0.5, 0.8


def _mean(values, weights):
    return (values * weights).sum() / weights.sum().clamp(min=1)


def word_losses(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Returns (mean cross-entropy, accuracy) of the weighted rows of logits [M, V]."""
    log_probs = functional.log_softmax(logits.float(), -1)
    losses = -log_probs.gather(1, labels[:, None])[:, 0]
    return _mean(losses, weights), _mean((logits.argmax(-1) == labels).float(), weights)


def soft_word_losses(
    logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns means over rows: (cross-entropy, divergence from the teacher, accuracy)."""
    log_probs = functional.log_softmax(logits.float(), -1)
    losses = -log_probs.gather(1, labels[:, None])[:, 0]
    wanted = functional.log_softmax(teacher_logits.float(), -1)
    divergence = (wanted.exp() * (wanted - log_probs)).sum(-1)
    hits = (logits.argmax(-1) == labels).float()
    return _mean(losses, weights), _mean(divergence, weights), _mean(hits, weights)


def output_distance(
    rows: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    teacher_rows: torch.Tensor,
    weights: torch.Tensor,
) -> torch.Tensor:
    """Mean squared difference of mapped outputs [T, H] and the teacher's, both normalized."""
    mapped = functional.linear(rows, weight, bias).float()
    mapped, wanted = (
        functional.layer_norm(x, x.shape[-1:]) for x in (mapped, teacher_rows.float())
    )
    return _mean((mapped - wanted).square().mean(-1), weights)


def detection_losses(
    rows: torch.Tensor,
    dense: torch.Tensor,
    dense_bias: torch.Tensor,
    out: torch.Tensor,
    out_bias: torch.Tensor,
    is_replaced: torch.Tensor,
    weights: torch.Tensor,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Returns (mean cross-entropy, accuracy) of detecting replaced pieces in rows [T, H]."""
    hidden = functional.gelu(functional.linear(rows, dense, dense_bias), approximate="tanh")
    logits = functional.linear(hidden, out, out_bias)[:, 0].float()
    losses = functional.binary_cross_entropy_with_logits(logits, is_replaced, reduction="none")
    hits = ((logits > 0) == (is_replaced > 0.5)).float()
    return _mean(losses, weights), _mean(hits, weights)


class Objective:
    """The losses of a training run."""

    def __init__(
        self,
        encoder: "packed_encoders.Encoder",
        special_ids: "packed_text.SpecialIds",
        teacher: Optional[Tuple["packed_encoders.Encoder", Weights]] = None,
        detection_from: float = 1.0,
    ) -> None:
        """Initializes the objective.

        Args:
            encoder: the encoder to train.
            special_ids: special ids of the vocabulary.
            teacher: (encoder, its weights) or None.
            detection_from: share of the steps after which replaced token detection begins.
        """
        self._encoder, self._ids, self._teacher = encoder, special_ids, teacher
        self._detection_from = detection_from

    def losses(
        self,
        weights: Weights,
        batch: "packed_text.PackedBatch",
        share: float,
        generator: torch.Generator,
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor]]:
        """Computes the loss of a step.

        Args:
            weights: {name: tensor} of the encoder and the heads.
            batch: the text.
            share: share of the steps that are done.
            generator: random generator for the masks.

        Returns:
            (loss, {name: component of the loss, detached}).
        """
        ids, places, is_chosen = self._masked(batch, generator)
        labels = batch.ids[places]
        rows = self._encoder.encode(weights, batch, ids)
        logits = self._encoder.word_logits(weights, rows[places])
        loss, values = self._of_words(weights, batch, ids, places, is_chosen, rows, logits, share)
        values["pairs"] = self._of_pairs(weights, rows, batch)
        loss = loss + values["pairs"]
        if share >= self._detection_from:
            filled = self._filled(batch, logits.detach(), labels, places, is_chosen, generator)
            detection, values["detected"] = self._of_detection(weights, batch, filled)
            values["detection"] = detection
            loss = loss + detection
        return loss, {name: value.detach() for name, value in values.items()}

    def _masked(self, batch, generator):
        """Returns (masked ids [T], positions [M], 1.0 for each that is used [M]); M is constant."""
        count = len(batch.ids)
        most = MASKED_SHARE * count + 6 * math.sqrt(MASKED_SHARE * count)  # six std deviations
        draw, fate = torch.rand((2, count), device=batch.ids.device, generator=generator)
        is_masked = (draw < MASKED_SHARE) & batch.is_text
        places = torch.nonzero_static(is_masked, size=-int(-most // 8) * 8)[:, 0]
        others = torch.randint(
            self._ids.vocab_size, (count,), device=batch.ids.device, generator=generator
        )
        shown = torch.where(fate < _SHOWN_AS_OTHER, others, batch.ids)
        shown = torch.where(fate < _SHOWN_AS_MASK, self._ids.mask, shown)
        ids = torch.where(is_masked, shown, batch.ids)
        return ids, torch.clamp(places, min=0), (places >= 0).float()

    def _of_words(self, weights, batch, ids, places, is_chosen, rows, logits, share):
        """Returns (loss, {name: component}) of the masked LM, including the teacher's losses."""
        labels = batch.ids[places]
        if self._teacher is None:
            words, hits = word_losses(logits, labels, is_chosen)
            return words, {"masked_lm_loss": words, "hits": hits}
        encoder, teacher = self._teacher
        with torch.no_grad():
            teacher_rows = encoder.encode(teacher, batch, ids)
            teacher_logits = encoder.word_logits(teacher, teacher_rows[places])
        words, soft, hits = soft_word_losses(logits, teacher_logits, labels, is_chosen)
        distance = output_distance(
            rows,
            weights["teacher_map.weight"],
            weights["teacher_map.bias"],
            teacher_rows,
            batch.is_shown.float(),
        )
        fading = DISTANCE_WEIGHT * max(0.0, 1 - share / DISTANCE_UNTIL)
        loss = (1 - SOFT_WEIGHT) * words + SOFT_WEIGHT * soft + fading * distance
        parts = {"masked_lm_loss": words, "soft": soft, "distance": distance, "hits": hits}
        return loss, parts

    def _of_pairs(self, weights, rows, batch):
        logits = self._encoder.pair_logits(weights, rows, batch)
        return functional.cross_entropy(logits.float(), batch.labels)

    def _filled(self, batch, logits, labels, places, is_chosen, generator):
        """Returns the text [T] with a sample of the model at each masked position."""
        noise = torch.rand(logits.shape, device=logits.device, generator=generator)
        drawn = (logits.float() - torch.log(-torch.log(noise + 1e-9) + 1e-9)).argmax(-1)
        return batch.ids.scatter(0, places, torch.where(is_chosen > 0, drawn, labels))

    def _of_detection(self, weights, batch, filled):
        """Returns (loss of detection and of pairs in the filled text, detection accuracy)."""
        rows = self._encoder.encode(weights, batch, filled)
        detector = ["detector.dense.weight", "detector.dense.bias"]
        detector += ["detector.out.weight", "detector.out.bias"]
        loss, hits = detection_losses(
            rows,
            *(weights[name] for name in detector),
            (filled != batch.ids).float(),
            batch.is_text.float(),
        )
        return DETECTION_WEIGHT * loss + self._of_pairs(weights, rows, batch), hits

    @torch.no_grad()
    def evaluated(
        self, weights: Weights, batches: Iterable["packed_text.PackedBatch"]
    ) -> Dict[str, float]:
        """Computes the loss and accuracies on held-out text, always with the same masks.

        Args:
            weights: as for `losses`.
            batches: the text.

        Returns:
            {name: value}.
        """
        generator, totals = None, [0.0] * 5
        for batch in batches:
            if generator is None:
                generator = torch.Generator(batch.ids.device).manual_seed(7)
            ids, places, is_chosen = self._masked(batch, generator)
            rows = self._encoder.encode(weights, batch, ids)
            logits = self._encoder.word_logits(weights, rows[places])
            loss, accuracy = word_losses(logits, batch.ids[places], is_chosen)
            count = is_chosen.sum().item()
            chosen = self._encoder.pair_logits(weights, rows, batch).argmax(1)
            found = [loss.item() * count, accuracy.item() * count, count]
            found += [(chosen == batch.labels).sum().item(), len(batch.labels)]
            totals = [total + part for total, part in zip(totals, found)]
        return {
            "held_out_loss": totals[0] / totals[2],
            "masked_lm_accuracy": totals[1] / totals[2],
            "pair_accuracy": totals[3] / totals[4],
        }
