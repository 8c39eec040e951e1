r"""Pre-trains a model of albert_zh's layout with PyTorch on one GPU, with or without a teacher.

    python convert_albert_tf_checkpoint_to_pytorch.py --tf_checkpoint_path=albert_starter_zh \
        --pytorch_dump_path=start
    python scripts/pretrain_on_gpu.py --packed_file=packed.npz --init_model=start \
        --output_dir=trained
    python convert_albert_pytorch_checkpoint_to_tf.py --pytorch_model_path=trained \
        --tf_dump_path=model

Needs PyTorch and safetensors, and no TensorFlow. packed.npz is scripts/pack_text.py's. Learnt are
masked words, whether two texts are of one document, and in the last steps which pieces were
replaced by samples of the model (`--detection_from`). With `--teacher_steps` a larger encoder, of
the ELECTRA layout, is trained first, and the model learns its distributions and outputs, too; it
remains in OUTPUT_DIR/teacher and converts like the model. The training can be interrupted at any
time: the same command resumes.
"""

import math
import os
import shutil
import sys
import time

from absl import flags
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert_zh.common import files, output_files, path_rules, progress, validation
from albert_zh.common.errors import UserError, run_command
from albert_zh.training import metrics_log
import packed_text

FLAGS = flags.FLAGS
_COMPILED = {
    "packed_encoders": ["layer_norm", "finish_layer", "score_words"],
    "packed_losses": ["word_losses", "soft_word_losses", "output_distance", "detection_losses"],
}
_MODEL_CONFIG = validation.record(
    {"model_type": validation.one_of("albert_zh"), "num_hidden_layers": validation.integer(1)},
    ["model_type", "num_hidden_layers"],
)
_WEIGHTS, _CONFIG = "model.safetensors", "config.json"
_TOKENIZER_FILES = ("vocab.txt", "tokenizer_config.json")
_ONLY_HERE = ("detector.", "teacher_map.")  # tensors that the model does not keep
_STEPS_BETWEEN_LOGS, _EVALUATED_PAIRS = 100, 1600


def define_flags():
    """Defines this command's flags."""
    flags.DEFINE_string("packed_file", None, "Text, packed by scripts/pack_text.py.")
    flags.DEFINE_string("init_model", None, "Model folder of PyTorch to start from.")
    flags.DEFINE_string("output_dir", None, "Model folder to write.")
    flags.DEFINE_integer("steps", 13000, "Steps of training.", lower_bound=1)
    flags.DEFINE_integer("num_pieces", 65536, "Pieces of text in a step.", lower_bound=1024)
    flags.DEFINE_float("learning_rate", 1.5e-3, "The highest; reached early, it falls to 0.")
    flags.DEFINE_float(
        "detection_from", 0.7, "Share of the steps before replaced pieces are learnt."
    )
    flags.DEFINE_float("long_share", 0.1, "Share of text in sequences of up to 512 pieces.")
    flags.DEFINE_integer("teacher_steps", 0, "Steps of the teacher; 0: none.", lower_bound=0)
    flags.DEFINE_integer("teacher_layers", 8, "Layers of the teacher.", lower_bound=1)
    flags.DEFINE_integer("teacher_hidden_size", 512, "Hidden size of the teacher.", lower_bound=64)
    flags.DEFINE_float("teacher_learning_rate", 7e-4, "The highest of the teacher.")
    flags.DEFINE_integer("seed", 1, "Of the pieces that are masked.")
    flags.DEFINE_integer("save_seconds", 60, "Seconds between saved states.", lower_bound=1)
    flags.DEFINE_integer("eval_steps", 2000, "Steps between evaluations.", lower_bound=1)
    flags.DEFINE_integer("num_workers", 0, "Processes that draw pairs; by default all cores but 2.")
    flags.DEFINE_boolean("compile", True, "Whether to compile what can be; slower without.")


def main():
    """Trains, and writes the model folder."""
    for name in ("packed_file", "init_model", "output_dir"):
        if not FLAGS[name].value:
            raise UserError("--%s is required" % name)
    config = files.read_json(os.path.join(FLAGS.init_model, _CONFIG), _MODEL_CONFIG)
    folder = path_rules.output_folder(FLAGS.output_dir)
    os.makedirs(folder, exist_ok=True)
    torch = _torch()
    if FLAGS.compile:
        _compile()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    text = packed_text.PackedText(
        FLAGS.packed_file, device, FLAGS.num_workers or max(1, os.cpu_count() - 2)
    )
    try:
        teacher = _trained_teacher(text, config) if FLAGS.teacher_steps else None
        values = _trained_model(text, config, teacher)
    finally:
        text.close()
    _write_model(folder, values)


def _torch():
    try:
        import safetensors  # noqa: F401 (used later)
        import torch
    except ImportError as error:
        raise UserError("%s; this command needs: pip install torch safetensors" % error) from error
    return torch


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
    """(encoder, its weights in the type of training) of the teacher."""
    import packed_encoders
    import packed_losses

    _seed_start_values()
    encoder = packed_encoders.Electra(_teacher_config(config))
    objective = packed_losses.Objective(encoder, text.special_ids)
    training = Training("teacher", encoder, encoder.start_values(), text)
    training.run(objective, FLAGS.teacher_steps, FLAGS.teacher_learning_rate, warmup_share=0.08)
    folder = os.path.join(FLAGS.output_dir, "teacher")
    _write_weights(folder, training.parameters.values(("electra.",)))
    output_files.write_json(os.path.join(folder, _CONFIG), encoder.config)
    for name in _TOKENIZER_FILES:
        if os.path.exists(os.path.join(FLAGS.init_model, name)):
            shutil.copy(os.path.join(FLAGS.init_model, name), folder)
    return encoder, {name: value.detach() for name, value in training.weights().items()}


def _teacher_config(config):
    """Config of the teacher for transformers' `ElectraModel`."""
    hidden = FLAGS.teacher_hidden_size
    return {
        "model_type": "electra",
        "architectures": ["ElectraModel"],
        "vocab_size": config["vocab_size"],
        "embedding_size": config["embedding_size"],
        "hidden_size": hidden,
        "num_hidden_layers": FLAGS.teacher_layers,
        "num_attention_heads": hidden // 64,
        "intermediate_size": 4 * hidden,
        "hidden_act": "gelu",
        "max_position_embeddings": config["max_position_embeddings"],
        "type_vocab_size": 2,
    }


def _trained_model(text, config, teacher):
    """{name: float32 array} of the model."""
    from safetensors.numpy import load_file
    import torch

    import packed_encoders
    import packed_losses

    _seed_start_values()
    encoder = packed_encoders.AlbertZh(config)
    loaded = load_file(os.path.join(FLAGS.init_model, _WEIGHTS))
    values = {name: torch.from_numpy(value.astype(np.float32)) for name, value in loaded.items()}
    hidden = encoder.hidden_size
    packed_encoders.add_dense(values, "detector.dense", hidden, hidden)
    packed_encoders.add_dense(values, "detector.out", 1, hidden)
    if teacher:
        packed_encoders.add_dense(values, "teacher_map", teacher[0].hidden_size, hidden)
    objective = packed_losses.Objective(encoder, text.special_ids, teacher, FLAGS.detection_from)
    training = Training("model", encoder, values, text)
    training.run(objective, FLAGS.steps, FLAGS.learning_rate, warmup_share=0.03)
    kept = training.parameters.values()
    return {name: value for name, value in kept.items() if not name.startswith(_ONLY_HERE)}


def _write_model(folder, values):
    """Writes weights, and beside them what describes the model that was started from."""
    for name in sorted(os.listdir(FLAGS.init_model)):
        if name != _WEIGHTS:
            shutil.copy(os.path.join(FLAGS.init_model, name), folder)
    _write_weights(folder, values)


def _write_weights(folder, values):
    from safetensors.numpy import save_file

    with output_files.whole_file(os.path.join(folder, _WEIGHTS)) as path:
        save_file(values, path, metadata={"format": "pt"})
    print("%d parameters -> %s" % (sum(value.size for value in values.values()), folder))


class Training:
    """A training that resumes: its state is in OUTPUT_DIR/<name>/state.pt.

    Attributes:
        parameters: `packed_encoders.Parameters`.
    """

    def __init__(self, name, encoder, values, text):
        """Places the parameters on the device.

        Args:
            name: str, of its folder.
            encoder: `packed_encoders.Encoder`.
            values: {name: tensor}, what is started from.
            text: `packed_text.PackedText`.
        """
        import torch

        import packed_encoders

        self._name, self._encoder, self._text = name, encoder, text
        self._folder = os.path.join(FLAGS.output_dir, name)
        os.makedirs(self._folder, exist_ok=True)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32
        self.parameters = packed_encoders.Parameters(values).to(self._device)
        self._random = torch.Generator(self._device)
        self._random.manual_seed(FLAGS.seed)

    def weights(self):
        """{name: tensor} in the type of training."""
        return self.parameters.cast(self._dtype)

    def run(self, objective, num_steps, rate, warmup_share):
        """Trains up to a step, from the last saved state on.

        Args:
            objective: `packed_losses.Objective`.
            num_steps: int.
            rate: float, the highest learning rate.
            warmup_share: float, of the steps, until it is reached.
        """
        import torch

        optimizer = torch.optim.AdamW(
            self.parameters.groups(0.01), rate, (0.9, 0.98), 1e-6, fused=self._device.type == "cuda"
        )
        step, first_place = self._restored(optimizer)
        metrics = metrics_log.Metrics(self._folder, step)
        bar = progress.progress_bar(self._name, num_steps, "step", initial=step)
        with metrics, bar:
            for place, batch in self._batches(first_place):
                if step >= num_steps:
                    break
                share = step / num_steps
                rising, falling = share / warmup_share, (1 - share) / (1 - warmup_share)
                _set_rate(optimizer, rate * min(rising, falling))
                values = self._step(objective, batch, share, optimizer)
                step += 1
                bar.update()
                self._record(metrics, step, values, objective, step == num_steps)
                self._save_now_and_then(optimizer, step, place, step == num_steps)
        metrics_log.draw_learning_curve(
            metrics,
            os.path.join(self._folder, metrics_log.LEARNING_CURVE),
            [("masked_lm_accuracy", "masked words"), ("pair_accuracy", "pairs")],
            "accuracy on held-out text",
        )

    def _batches(self, place):
        """((pass, batch in it), batch) from a place on, without end."""
        pass_number, skipped = place
        while True:
            batches = self._text.batches(pass_number, FLAGS.num_pieces, FLAGS.long_share)
            number = -1
            for number, batch in enumerate(batches):
                if number >= skipped:
                    yield (pass_number, number + 1), batch
            if number < 0:
                raise UserError(
                    "--num_pieces=%d: the text is shorter than one step" % FLAGS.num_pieces
                )
            pass_number, skipped = pass_number + 1, 0

    def _step(self, objective, batch, share, optimizer):
        """One step; returns {name: value on the device}."""
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
                    "the loss is not finite at step %d: take a lower learning rate" % step
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

    def _settings(self):
        """What a resumed run must have alike."""
        names = sorted(set(flags.FLAGS.flag_values_dict()) & _SETTINGS_OF_STATE)
        return {name: FLAGS[name].value for name in names}

    def _restored(self, optimizer):
        """(step, place in the text) of the saved state; the start where there is none."""
        import torch

        self._saved_at = time.time()
        if not os.path.exists(self._state_file()):
            return 0, (0, 0)
        state = torch.load(self._state_file(), map_location="cpu", weights_only=True)
        if state["settings"] != self._settings():
            changed = [k for k, v in self._settings().items() if state["settings"].get(k) != v]
            raise UserError(
                "%s was begun with %s: give the same flags, or another --output_dir"
                % (
                    self._folder,
                    ", ".join("--%s=%s" % (name, state["settings"].get(name)) for name in changed),
                )
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
            "settings": self._settings(),
            "parameters": self.parameters.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": self._random.get_state(),
            "step": step,
            "place": list(place),
        }
        with output_files.whole_file(self._state_file()) as path:
            torch.save(state, path)
        self._saved_at = time.time()


_SETTINGS_OF_STATE = {
    "packed_file",
    "init_model",
    "steps",
    "num_pieces",
    "learning_rate",
    "detection_from",
    "long_share",
    "teacher_steps",
    "teacher_layers",
    "teacher_hidden_size",
    "teacher_learning_rate",
    "seed",
}


def _set_rate(optimizer, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate


if __name__ == "__main__":
    define_flags()
    run_command(main)
