"""Start-up time of run_classifier.py, from the command to the first step, with cached features.

    python benchmarks/start_up.py
    python benchmarks/start_up.py --model_dir=prev_trained_model/albert_tiny_zh --rounds=9

Fine-tunes on data/pairs_sample for one step, several times, each time in a separate process. The
first step begins when the first checkpoint is written; it ends, including XLA's compilation, when
its line is printed. In turn, the import of TensorFlow alone is timed: no program can avoid this
share.
"""

import collections
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags

from albert_zh.common.errors import UserError, run_command
from albert_zh.model.checkpoints.model_folder import config_in_folder

FLAGS = flags.FLAGS
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
FIRST_CHECKPOINT = "model.ckpt-0.index"
LINE_OF_FIRST_STEP = "step 1 of 1"
POLLING = 0.02  # seconds
BATCH = 64
IMPORT = [sys.executable, "-c", "import tensorflow"]


def define_flags():
    flags.DEFINE_string("model_dir", os.path.join(ROOT, "albert_starter_zh"), "Model folder.")
    flags.DEFINE_integer("rounds", 5, "Number of runs (for the median).", lower_bound=1)


def main():
    """Prints the table."""
    seconds = collections.OrderedDict()
    with tempfile.TemporaryDirectory() as folder:
        timed_run(folder)  # writes the features and fills the system's file cache
        for _ in range(FLAGS.rounds):
            begin = time.time()
            subprocess.check_call(IMPORT, stderr=subprocess.DEVNULL)
            times = {"import of TensorFlow alone": time.time() - begin}
            times.update(timed_run(folder))
            for name, value in times.items():
                seconds.setdefault(name, []).append(value)
    print("| from the command to | seconds, median of %d |\n|---|---:|" % FLAGS.rounds)
    for name, values in seconds.items():
        print("| %s | %.1f |" % (name, statistics.median(values)))


def timed_run(folder):
    """Fine-tunes for one step.

    Args:
        folder: the output folder; its checkpoints are removed first, its features are reused.

    Returns:
        {event: seconds since the command}.

    Raises:
        UserError: if the command fails.
    """
    for name in os.listdir(folder):
        if name.startswith(("model.ckpt", "checkpoint")):
            os.remove(os.path.join(folder, name))
    begin = time.time()
    process = subprocess.Popen(
        command_of_one_step(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    times = collections.OrderedDict()
    watched = (os.path.join(folder, FIRST_CHECKPOINT), process, begin, times)
    watch = threading.Thread(target=_note_when_there, args=watched)
    watch.start()
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(LINE_OF_FIRST_STEP):
            times["the end of the first step, compiled by then"] = time.time() - begin
    watch.join()
    if process.wait() or len(times) < 2:
        raise UserError("a run failed (status %d): %s" % (process.returncode, "".join(lines[-3:])))
    times["the end of the command"] = time.time() - begin
    return times


def _note_when_there(path, process, begin, times):
    while process.poll() is None:
        if os.path.exists(path):
            times["the beginning of the first step"] = time.time() - begin
            return
        time.sleep(POLLING)


def command_of_one_step(folder):
    """The command line of run_classifier.py on data/pairs_sample for one step."""
    data = os.path.join(ROOT, "data", "pairs_sample")
    with open(os.path.join(data, "train.txt"), encoding="utf-8") as handle:
        num_rows = sum(1 for _ in handle) - 1  # without the header
    options = {
        "task_name": "lcqmc_pair",
        "do_train": "true",
        "data_dir": data,
        "output_dir": folder,
        "bert_config_file": config_in_folder(FLAGS.model_dir),
        "vocab_file": os.path.join(FLAGS.model_dir, "vocab.txt"),
        "init_checkpoint": FLAGS.model_dir,
        "train_batch_size": str(BATCH),
        "num_train_epochs": repr(1.01 * BATCH / num_rows),
    }
    command = [sys.executable, "-u", os.path.join(ROOT, "run_classifier.py")]
    return command + ["--%s=%s" % option for option in options.items()]


if __name__ == "__main__":
    define_flags()
    run_command(main)
