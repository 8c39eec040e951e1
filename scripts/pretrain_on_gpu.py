r"""Pre-trains a model in albert_zh's layout with PyTorch on one GPU, with or without a teacher.

    python convert_albert_tf_checkpoint_to_pytorch.py --tf_checkpoint_path=albert_starter_zh \
        --pytorch_dump_path=start
    python scripts/pretrain_on_gpu.py --packed_file=packed.npz --init_model=start \
        --output_dir=trained
    python convert_albert_pytorch_checkpoint_to_tf.py --pytorch_model_path=trained \
        --tf_dump_path=model

Requires a GPU of compute capability 8.0 or higher, PyTorch 2.7 or newer, numpy, absl-py and tqdm,
but not TensorFlow; small trials run on a CPU. packed.npz is created by scripts/pack_text.py. The
model learns to predict masked words, whether two texts are from the same document and, in the last
steps, which pieces were replaced by its samples (`--detection_from`). With `--teacher_steps` a
larger encoder in the ELECTRA layout is trained first, and the model also learns its distributions
and outputs; the teacher is saved in OUTPUT_DIR/teacher and can be converted like the model. The
training can be interrupted at any time: the same command resumes it.
"""

import hashlib
import io
import math
import os
import pickle
import sys
import time
from typing import TYPE_CHECKING, Dict, Sequence

from absl import flags
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert_zh.common import cores, files, output_files, path_rules, progress, validation
from albert_zh.common.errors import UserError, run_command
from albert_zh.common.folder_locks import one_at_a_time
from albert_zh.conversion import pytorch_files
from albert_zh.training import metrics_log
import packed_text

if TYPE_CHECKING:
    import torch

    import packed_losses

FLAGS = flags.FLAGS
_COMPILED = {
    "packed_encoders": ["layer_norm", "finish_layer", "score_words"],
    "packed_losses": ["word_losses", "soft_word_losses", "output_distance", "detection_losses"],
}
_POSITIVE = validation.integer(1)
_CONFIG_KEYS = {
    "model_type": validation.one_of("albert_zh"),
    "ln_type": validation.one_of("postln"),
    "hidden_act": validation.one_of("gelu_new"),
    "layer_norm_eps": validation.number(1e-12, 1e-12),
    "type_vocab_size": validation.integer(2, 2),
    "max_position_embeddings": validation.integer(packed_text.LONG),
    "vocab_size": _POSITIVE,
    "embedding_size": _POSITIVE,
    "hidden_size": _POSITIVE,
    "num_attention_heads": _POSITIVE,
    "num_hidden_layers": _POSITIVE,
    "intermediate_size": _POSITIVE,
}
_MODEL_CONFIG = validation.record(_CONFIG_KEYS, list(_CONFIG_KEYS))
_MOST_PIECES_ON_CPU = 4096
_TEACHER_HEAD_SIZE = 64
_LEAST_CAPABILITY = (8, 0)  # required for flash attention and bfloat16
_WEIGHTS, _CONFIG = "model.safetensors", "config.json"
_ENDINGS_OF_WEIGHTS = (".safetensors", ".bin", ".index.json", ".pt", ".png", ".jsonl")
_TOKENIZER_FILES = ("vocab.txt", "tokenizer_config.json")
_ONLY_HERE = ("detector.", "teacher_map.")  # tensors that are not saved with the model
_SETTINGS_OF_TEACHER = (
    "num_pieces long_share teacher_steps teacher_layers teacher_hidden_size teacher_learning_rate "
    "seed"
).split()
_SETTINGS = _SETTINGS_OF_TEACHER + ["steps", "learning_rate", "detection_from"]
_STEPS_BETWEEN_LOGS, _EVALUATED_PAIRS = 100, 1600


def define_flags() -> None:
    """Defines this command's flags."""
    flags.DEFINE_string("packed_file", None, "Text, packed by scripts/pack_text.py.")
    flags.DEFINE_string("init_model", None, "PyTorch model folder to start from.")
    flags.DEFINE_string("output_dir", None, "Model folder to write.")
    flags.DEFINE_integer("steps", 13000, "Number of training steps.", lower_bound=1)
    flags.DEFINE_integer("num_pieces", 65536, "Pieces of text per step.", lower_bound=1024)
    flags.DEFINE_float(
        "learning_rate", 1.5e-3, "Peak learning rate, after a short warm-up; decays to 0.", 0.0
    )
    flags.DEFINE_float(
        "detection_from", 0.7, "Share of the steps before replaced token detection.", 0.0, 1.0
    )
    flags.DEFINE_float("long_share", 0.1, "Share of text in sequences of up to 512 pieces.", 0, 0.9)
    flags.DEFINE_integer("teacher_steps", 0, "Steps of the teacher; 0: no teacher.", lower_bound=0)
    flags.DEFINE_integer("teacher_layers", 8, "Layers of the teacher.", lower_bound=1)
    flags.DEFINE_integer("teacher_hidden_size", 512, "Hidden size of the teacher.", lower_bound=64)
    flags.DEFINE_float("teacher_learning_rate", 7e-4, "Peak learning rate of the teacher.", 0.0)
    flags.DEFINE_integer("seed", 1, "Random seed of masks and of initial values of new tensors.")
    flags.DEFINE_integer("save_seconds", 60, "Seconds between checkpoints.", lower_bound=1)
    flags.DEFINE_integer("eval_steps", 2000, "Steps between evaluations.", lower_bound=1)
    flags.DEFINE_integer(
        "num_workers", 0, "Processes that draw pairs; by default all cores but 2.", lower_bound=0
    )
    flags.DEFINE_boolean("compile", True, "Whether to use torch.compile, which is faster.")


def main() -> None:
    """Trains, and writes the model folder."""
    for name in ("packed_file", "init_model", "output_dir"):
        if not FLAGS[name].value:
            raise UserError("--%s is required" % name)
    if FLAGS.teacher_hidden_size % _TEACHER_HEAD_SIZE:
        raise UserError(
            "--teacher_hidden_size=%d: expected a multiple of %d"
            % (FLAGS.teacher_hidden_size, _TEACHER_HEAD_SIZE)
        )
    torch = _torch()
    config, values = _start()
    folder = path_rules.output_folder(FLAGS.output_dir)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise files.cannot_write("--output_dir=" + FLAGS.output_dir, error) from error
    with one_at_a_time(folder):
        text = packed_text.PackedText(
            FLAGS.packed_file, FLAGS.num_workers or max(1, cores.num_usable() - 2)
        )
        try:
            _check_vocabulary(text, config)
            device = _device(torch)
            if FLAGS.compile and device.type == "cuda":
                _compile()
            text.place_on(device)
            teacher = _trained_teacher(text, config) if FLAGS.teacher_steps else None
            trained = _trained_model(text, config, values, teacher)
        except torch.OutOfMemoryError as error:
            raise UserError(
                "--num_pieces=%d: the GPU has too little memory: lower it" % FLAGS.num_pieces
            ) from error
        finally:
            text.close()
        _write_model(folder, trained)


def _torch():
    try:
        import torch

        torch.nonzero_static, torch.OutOfMemoryError  # noqa: B018 (are they there?)
    except (ImportError, AttributeError) as error:
        raise UserError(
            "%s; this command needs PyTorch: pip install 'torch>=2.7'" % error
        ) from error
    return torch


def _start():
    """Returns (config, {name: float32 tensor}) of --init_model."""
    import torch

    way_out = "expected a folder that convert_albert_tf_checkpoint_to_pytorch.py wrote"
    path = os.path.join(FLAGS.init_model, _CONFIG)
    config = files.read_json(path, _MODEL_CONFIG, way_out)
    size, rest = divmod(config["hidden_size"], config["num_attention_heads"])
    if rest or size > 256:
        raise UserError(
            "%s: hidden_size %d with num_attention_heads %d: expected a multiple, heads of at most "
            "256" % (path, config["hidden_size"], config["num_attention_heads"])
        )
    tensors = pytorch_files.read_tensors(FLAGS.init_model)
    missing = sorted({"cls.predictions.bias", "cls.seq_relationship.weight"} - set(tensors))
    if missing:
        raise UserError(
            "%s has no %s: expected a pre-trained model with its heads"
            % (FLAGS.init_model, missing[0])
        )
    values = {name: np.array(value, np.float32) for name, value in tensors.items()}
    return config, {name: torch.from_numpy(value) for name, value in values.items()}


def _check_vocabulary(text, config):
    """Raises `UserError` if the text was tokenized with another vocabulary."""
    path = os.path.join(FLAGS.init_model, "vocab.txt")
    is_alike = text.special_ids.vocab_size == config["vocab_size"]
    if is_alike and os.path.exists(path):
        is_alike = hashlib.sha256(files.read_bytes(path)).hexdigest() == text.vocabulary_sha256
    if not is_alike:
        raise UserError(
            "--packed_file=%s: packed with another vocabulary, of %d entries; --init_model has %d: "
            "pack the text with --vocab_file=%s"
            % (FLAGS.packed_file, text.special_ids.vocab_size, config["vocab_size"], path)
        )


def _device(torch):
    """Returns the GPU, or the CPU for small trials."""
    if not torch.cuda.is_available():
        if FLAGS.num_pieces > _MOST_PIECES_ON_CPU:
            raise UserError(
                "PyTorch finds no GPU; on a CPU --num_pieces is at most %d" % _MOST_PIECES_ON_CPU
            )
        return torch.device("cpu")
    if torch.cuda.get_device_capability() < _LEAST_CAPABILITY:
        raise UserError(
            "%s has compute capability %d.%d, expected 8.0 (A100) or higher"
            % ((torch.cuda.get_device_name(),) + torch.cuda.get_device_capability())
        )
    return torch.device("cuda")


def _compile():
    import packed_encoders
    import packed_losses

    modules = {"packed_encoders": packed_encoders, "packed_losses": packed_losses}
    for name, functions in _COMPILED.items():
        packed_encoders.compile_functions(modules[name], functions)


def _seed_start_values():
    import torch

    torch.manual_seed(FLAGS.seed)


def _trained_teacher(text, config):
    """Trains the teacher; returns (encoder, its weights in the data type of training)."""
    import packed_encoders
    import packed_losses

    _seed_start_values()
    encoder = packed_encoders.Electra(_teacher_config(config))
    objective = packed_losses.Objective(encoder, text.special_ids)
    training = Training("teacher", encoder.start_values(), text, _SETTINGS_OF_TEACHER)
    training.run(objective, FLAGS.teacher_steps, FLAGS.teacher_learning_rate, warmup_share=0.08)
    folder = os.path.join(FLAGS.output_dir, "teacher")
    _write_weights(folder, training.parameters.values(("electra.",)))
    output_files.write_json(os.path.join(folder, _CONFIG), encoder.config)
    for name in _TOKENIZER_FILES:
        if os.path.exists(os.path.join(FLAGS.init_model, name)):
            output_files.copy_file(os.path.join(FLAGS.init_model, name), os.path.join(folder, name))
    return encoder, {name: value.detach() for name, value in training.weights().items()}


def _teacher_config(config):
    """Returns the teacher's config for the `ElectraModel` of transformers."""
    hidden = FLAGS.teacher_hidden_size
    return {
        "model_type": "electra",
        "architectures": ["ElectraModel"],
        "vocab_size": config["vocab_size"],
        "embedding_size": config["embedding_size"],
        "hidden_size": hidden,
        "num_hidden_layers": FLAGS.teacher_layers,
        "num_attention_heads": hidden // _TEACHER_HEAD_SIZE,
        "intermediate_size": 4 * hidden,
        "hidden_act": "gelu",
        "max_position_embeddings": config["max_position_embeddings"],
        "type_vocab_size": 2,
    }


def _trained_model(text, config, values, teacher):
    """Trains the model; returns its weights as {name: float32 array}."""
    import packed_encoders
    import packed_losses

    _seed_start_values()
    encoder = packed_encoders.AlbertZh(config)
    hidden = encoder.hidden_size
    packed_encoders.add_dense(values, "detector.dense", hidden, hidden)
    packed_encoders.add_dense(values, "detector.out", 1, hidden)
    if teacher:
        packed_encoders.add_dense(values, "teacher_map", teacher[0].hidden_size, hidden)
    objective = packed_losses.Objective(encoder, text.special_ids, teacher, FLAGS.detection_from)
    training = Training("model", values, text, _SETTINGS)
    training.run(objective, FLAGS.steps, FLAGS.learning_rate, warmup_share=0.03)
    kept = training.parameters.values()
    return {name: value for name, value in kept.items() if not name.startswith(_ONLY_HERE)}


def _write_model(folder, values):
    """Writes the weights, and copies config, vocabulary etc. of the initial model."""
    for name in sorted(os.listdir(FLAGS.init_model)):
        path = os.path.join(FLAGS.init_model, name)
        if os.path.isfile(path) and not name.endswith(_ENDINGS_OF_WEIGHTS):
            output_files.copy_file(path, os.path.join(folder, name))
    _write_weights(folder, values)


def _write_weights(folder, values):
    pytorch_files.write_safetensors(os.path.join(folder, _WEIGHTS), values)
    print("%d parameters -> %s" % (sum(value.size for value in values.values()), folder))


class Training:
    """A resumable training run, whose state is saved in OUTPUT_DIR/<name>/state.pt.

    Attributes:
        parameters: `packed_encoders.Parameters`.
    """

    def __init__(
        self,
        name: str,
        values: Dict[str, "torch.Tensor"],
        text: packed_text.PackedText,
        setting_names: Sequence[str],
    ) -> None:
        """Places the parameters on the device.

        Args:
            name: name of its folder.
            values: {name: tensor}, the initial values.
            text: the training text.
            setting_names: flags that must not change when the run is resumed.
        """
        import torch

        import packed_encoders

        self._name, self._text = name, text
        self._settings = {flag: FLAGS[flag].value for flag in setting_names}
        for flag, path in (("packed_file", FLAGS.packed_file), ("init_model", _init_weights())):
            self._settings[flag] = _digest(path)
        self._folder = os.path.join(FLAGS.output_dir, name)
        os.makedirs(self._folder, exist_ok=True)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32
        self.parameters = packed_encoders.Parameters(values).to(self._device)
        self._random = torch.Generator(self._device)
        self._random.manual_seed(FLAGS.seed)

    def weights(self) -> Dict[str, "torch.Tensor"]:
        """Returns {name: tensor} in the data type of training."""
        return self.parameters.cast(self._dtype)

    def run(
        self,
        objective: "packed_losses.Objective",
        num_steps: int,
        rate: float,
        warmup_share: float,
    ) -> None:
        """Trains up to a step, starting from the last saved state.

        Args:
            objective: the losses.
            num_steps: the step to train up to.
            rate: the peak learning rate.
            warmup_share: share of the steps for the warm-up.
        """
        import torch

        optimizer = torch.optim.AdamW(
            self.parameters.groups(0.01), rate, (0.9, 0.98), 1e-6, fused=self._device.type == "cuda"
        )
        step, first_place = self._restored(optimizer)
        metrics = metrics_log.Metrics(self._folder, step)
        bar = progress.progress_bar(self._name, num_steps, "step", initial=step)
        with metrics, bar:
            for place, batch in self._batches(first_place) if step < num_steps else ():
                share = step / num_steps
                rising, falling = share / warmup_share, (1 - share) / (1 - warmup_share)
                _set_rate(optimizer, rate * min(rising, falling))
                values = self._step(objective, batch, share, optimizer)
                step += 1
                bar.update()
                self._record(metrics, step, values, objective, step == num_steps)
                self._save_now_and_then(optimizer, step, place, step == num_steps)
                if step == num_steps:
                    break
        metrics_log.draw_learning_curve(
            metrics,
            os.path.join(self._folder, metrics_log.LEARNING_CURVE),
            [("masked_lm_accuracy", "masked words"), ("pair_accuracy", "pairs")],
            "accuracy on held-out text",
        )

    def _batches(self, place):
        """Yields ((pass, index of the next batch), batch) from a position on, endlessly."""
        pass_number, first = place
        while True:
            batches = self._text.batches(pass_number, FLAGS.num_pieces, FLAGS.long_share, first)
            for number, batch in enumerate(batches, first + 1):
                yield (pass_number, number), batch
            pass_number, first = pass_number + 1, 0

    def _step(self, objective, batch, share, optimizer):
        """Does one step; returns {name: value on the device}."""
        import torch

        loss, values = objective.losses(self.weights(), batch, share, self._random)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters.parameters(), 1.0, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return dict(values, loss=loss)

    def _record(self, metrics, step, values, objective, is_last):
        if step % _STEPS_BETWEEN_LOGS == 0 or is_last:
            numbers = {name: value.item() for name, value in values.items()}
            if not math.isfinite(numbers["loss"]):
                raise UserError(
                    "%s: the loss is not finite at step %d: train again with a lower learning rate "
                    "and another --output_dir" % (self._name, step)
                )
            metrics.add(step, **numbers)
        if step % FLAGS.eval_steps == 0 or is_last:
            batches = self._text.held_out_batches(
                None if is_last else _EVALUATED_PAIRS, FLAGS.num_pieces
            )
            metrics.add(step, **objective.evaluated(self.weights(), batches))
            self._say_last(metrics)

    def _say_last(self, metrics):
        record = metrics.records[-1]
        print(
            "%s, step %d: held-out masked words %.4f, pairs %.4f"
            % (self._name, record["step"], record["masked_lm_accuracy"], record["pair_accuracy"])
        )

    def _state_file(self):
        return os.path.join(self._folder, "state.pt")

    def _restored(self, optimizer):
        """Restores the saved state, if any; returns (step, position in the text)."""
        import torch

        self._saved_at = time.time()
        if not os.path.exists(self._state_file()):
            return 0, (0, 0)
        try:
            state = torch.load(self._state_file(), map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise UserError(
                "%s: damaged: remove it to start the training again" % self._state_file()
            ) from error
        former = state["settings"]
        changed = ["--" + k for k, v in self._settings.items() if former.get(k) != v]
        if changed:
            raise UserError(
                "%s was begun with another %s: give the same, or another --output_dir"
                % (self._folder, ", ".join(changed))
            )
        self.parameters.load_state_dict(state["parameters"])
        optimizer.load_state_dict(state["optimizer"])
        self._random.set_state(state["random"])
        return state["step"], tuple(state["place"])

    def _save_now_and_then(self, optimizer, step, place, is_last):
        import torch

        if time.time() - self._saved_at < FLAGS.save_seconds and not is_last:
            return
        state = {
            "settings": self._settings,
            "parameters": self.parameters.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": self._random.get_state(),
            "step": step,
            "place": list(place),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with output_files.atomic_write(self._state_file(), "wb") as stream:
            stream.write(buffer.getvalue())
        self._saved_at = time.time()


def _init_weights():
    return pytorch_files.find_weights(FLAGS.init_model)


def _digest(path):
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _set_rate(optimizer, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate


if __name__ == "__main__":
    define_flags()
    run_command(main)
