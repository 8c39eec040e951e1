r"""Pre-trains the objectives that benchmarks/objectives.py hands over, with PyTorch on a GPU.

    python benchmarks/objectives.py --hand_over --output_dir=objectives_output ...
    python benchmarks/objectives_on_gpu.py --output_dir=objectives_output
    python benchmarks/objectives.py --output_dir=objectives_output ...

Needs PyTorch, numpy, absl-py and tqdm, but not TensorFlow. Each objective starts from the same
weights as run_pretraining.py, under the same names, and uses the same formulas, masks and
optimizer; tests/project/test_objectives_on_gpu.py compares losses and weights. Finished objectives
are not trained again. Several commands, each for some of the --objectives, can share a GPU.

Letters in shape comments: R records, B sequences, F pieces of the longest one, P predictions.
"""

import collections
import io
import json
import math
import multiprocessing
import os
import sys

from absl import flags
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from albert_zh.common import files, output_files, progress
from albert_zh.common.errors import UserError, run_command
from albert_zh.corpus import masking

FLAGS = flags.FLAGS
MASKED_SHARE = 0.15
_WIDTHS = 8  # widths of batches are multiples of this
_BATCHES_OF_GROUP = 16  # batches per group, whose records are sorted by length and then split
_STEPS_BETWEEN_LOGS = 100

Settings = collections.namedtuple(
    "Settings",
    "format steps batch_size learning_rate num_warmup_steps has_spans has_sentences "
    "span_boundary_weight generator heads layers has_relative_positions",
)
Settings.__doc__ = """The training settings of one objective.

Fields:
    format: str, format of its records.
    steps, batch_size, learning_rate, num_warmup_steps: training settings.
    has_spans: bool, whether spans of whole words are masked; else single pieces.
    has_sentences: bool, whether the second task is trained.
    span_boundary_weight: float, 0 without that objective.
    generator: {"heads", "layers", "gen_weight", "disc_weight"} of ELECTRA; else None.
    heads, layers: sizes of the model.
    has_relative_positions: bool.
"""
Special = collections.namedtuple("Special", "mask sep vocab_size")


def define_flags():
    """Defines the command's flags."""
    flags.DEFINE_string("output_dir", "objectives_output", "Folder of benchmarks/objectives.py.")
    flags.DEFINE_list("objectives", [], "Objectives to train (see gpu/plan.json); all by default.")
    flags.DEFINE_integer("num_workers", 0, "Masking processes; by default all cores but one.")
    flags.DEFINE_integer("seed", 1, "Seed of the order of records, of masks and of samples.")


def main():
    """Trains the objectives that are not finished."""
    folder = os.path.join(FLAGS.output_dir, "gpu")
    plan = files.read_json(os.path.join(folder, "plan.json"))
    unknown = sorted(set(FLAGS.objectives) - set(plan["objectives"]))
    if unknown:
        raise UserError(
            "--objectives: unknown %s, expected some of %s" % (unknown, list(plan["objectives"]))
        )
    special = Special(**plan["special"])
    for name in FLAGS.objectives or plan["objectives"]:
        if not os.path.exists(trained_file(folder, name)):
            train(folder, name, Settings(**plan["objectives"][name]), special)


def start_file(folder, name):
    """Path of an objective's initial weights."""
    return os.path.join(folder, name + "_start.npz")


def trained_file(folder, name):
    """Path of an objective's trained weights."""
    return os.path.join(folder, name + "_trained.npz")


def records_file(folder, text_format):
    """Path of the records of a format."""
    return os.path.join(folder, "records_%s.npz" % text_format)


# Batches


class Records:
    """Records of --masking=dynamic, in memory.

    Attributes:
        lengths: int [R], number of pieces of each record.
    """

    def __init__(self, path):
        """Reads the file that benchmarks/objectives.py wrote."""
        with np.load(path) as arrays:
            self._pieces, self.lengths = arrays["pieces"], arrays["lengths"].astype(np.int64)
            self._first_lengths, self._labels = arrays["first_lengths"], arrays["labels"]
            self._word_starts = np.unpackbits(arrays["word_starts"], count=len(self._pieces))
        self._begins = np.cumsum(self.lengths) - self.lengths

    def features(self, chosen):
        """{name: int64 [B, F]} of some records, unmasked, and `next_sentence_labels` [B]."""
        lengths = self.lengths[chosen][:, None]
        place = np.arange(-(-lengths.max() // _WIDTHS) * _WIDTHS)  # [F]
        is_piece = place < lengths
        source = np.where(is_piece, self._begins[chosen][:, None] + place, 0)
        in_second = is_piece & (place >= self._first_lengths[chosen][:, None])
        return {
            "input_ids": np.where(is_piece, self._pieces[source], 0).astype(np.int64),
            "input_mask": is_piece.astype(np.int64),
            "segment_ids": in_second.astype(np.int64),
            "token_boundary": np.where(is_piece, self._word_starts[source], 0).astype(np.int64),
            "next_sentence_labels": self._labels[chosen].astype(np.int64),
        }


def planned_batches(lengths, settings, seed):
    """Yields int arrays [B], the records of each step; records of a batch have similar lengths.

    Args:
        lengths: int [R].
        settings: `Settings`.
        seed: int.
    """
    left, epoch = settings.steps, 0
    group = settings.batch_size * _BATCHES_OF_GROUP
    while left:
        generator = np.random.RandomState([seed, epoch])
        order = generator.permutation(len(lengths))
        groups = [order[first : first + group] for first in range(0, len(order), group)]
        order = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in groups])
        count = max(1, len(order) // settings.batch_size)
        batches = np.array_split(order[: count * settings.batch_size], count)
        for number in generator.permutation(count)[:left]:
            yield batches[number]
        left, epoch = left - min(left, count), epoch + 1


def masking_choice(settings):
    """The `masking.MaskingChoice` of an objective."""
    weights = masking.span_weights() if settings.has_spans else masking.WHOLE_WORDS
    return masking.MaskingChoice(
        MASKED_SHARE, 20, weights, whole_words=settings.has_spans, permute=False
    )


def masked_batch(job, records, choice, special):
    """The masked features of one step in compact types; `job` is (numbers of records, seed)."""
    chosen, seed = job
    features = masking.masked_features(
        records.features(chosen),
        choice,
        special.mask,
        special.vocab_size,
        np.random.RandomState(seed),
        special.sep,
    )
    del features["token_boundary"]
    return {name: values.astype(np.int16) for name, values in features.items()}


_inherited = {}  # data that workers inherit when they are forked: too large to send with each job


def _masked_by_worker(job):
    return masked_batch(job, **_inherited)


# Training


def rate_of(step, settings):
    """The learning rate of a step (from 0): linear warm-up, linear decay counted from step 0."""
    if step < settings.num_warmup_steps:
        return settings.learning_rate * step / settings.num_warmup_steps
    return settings.learning_rate * (1 - step / settings.steps)


def train(folder, name, settings, special):
    """Trains one objective and writes its weights; the losses are written to <name>.jsonl."""
    records = Records(records_file(folder, settings.format))
    with np.load(start_file(folder, name)) as arrays:
        start = {key: arrays[key] for key in arrays.files}
    _inherited.update(records=records, choice=masking_choice(settings), special=special)
    batches = planned_batches(records.lengths, settings, FLAGS.seed)
    jobs = ((chosen, [FLAGS.seed, number]) for number, chosen in enumerate(batches))
    workers = FLAGS.num_workers or max(1, multiprocessing.cpu_count() - 1)
    log = os.path.join(folder, name + ".jsonl")
    with multiprocessing.get_context("fork").Pool(workers) as pool, open(log, "w") as stream:
        masked = pool.imap(_masked_by_worker, jobs, chunksize=4)
        values = trained_values(name, start, masked, settings, stream)
    buffer = io.BytesIO()
    np.savez(buffer, **values)
    with output_files.atomic_write(trained_file(folder, name), "wb") as handle:
        handle.write(buffer.getvalue())


def trained_values(name, start, batches, settings, stream):
    """{name: float32 array} after training; losses are written to a stream as JSON lines."""
    import objectives_in_pytorch
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(FLAGS.seed)
    values = {key: torch.from_numpy(value).to(device) for key, value in start.items()}
    for value in values.values():
        value.requires_grad_()
    optimizer = objectives_in_pytorch.Optimizer(values)
    losses, pieces = objectives_in_pytorch.losses_of(settings), 0
    with progress.progress_bar(name, settings.steps, "step") as bar:
        for step, batch in enumerate(batches):
            pieces += int(batch["input_mask"].sum())
            weights = {key: value.to(dtype) for key, value in values.items()}
            loss, parts = losses(weights, on_device(batch, device), settings)
            loss.backward()
            optimizer.step(rate_of(step, settings))
            bar.update()
            if (step + 1) % _STEPS_BETWEEN_LOGS == 0 or step + 1 == settings.steps:
                numbers = {key: part.item() for key, part in parts.items()}
                if not math.isfinite(sum(numbers.values())):
                    raise UserError("%s: the loss is not finite at step %d" % (name, step + 1))
                stream.write(json.dumps(dict(numbers, step=step + 1, pieces=pieces)) + "\n")
                stream.flush()
    return {key: value.detach().cpu().numpy() for key, value in values.items()}


def on_device(batch, device):
    """A batch as int64 tensors, its label weights as float32."""
    import torch

    tensors = {
        name: torch.from_numpy(values.astype(np.int64)).to(device, non_blocking=True)
        for name, values in batch.items()
    }
    return dict(tensors, masked_lm_weights=tensors["masked_lm_weights"].float())


if __name__ == "__main__":
    define_flags()
    run_command(main)
