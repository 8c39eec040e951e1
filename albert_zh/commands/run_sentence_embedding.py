r"""Trains sentence vectors for search and comparison, and measures them beside TF-IDF.

    python run_sentence_embedding.py --data_dir=data/faq_sample --objective=infonce \
        --do_train=true --do_eval=true --do_predict=true \
        --bert_config_file=albert_starter_zh/albert_config_tiny.json \
        --vocab_file=albert_starter_zh/vocab.txt --init_checkpoint=albert_starter_zh \
        --train_batch_size=64 --num_train_epochs=5 --output_dir=embedding_output

The folder holds train, dev and test files (.tsv, .txt, .csv, .jsonl). What their rows are goes with
--objective: two texts and a score (cosent, softmax, cosine, contrastive), a text and one that is
right for it, such as a FAQ's `question<TAB>entry`, perhaps with wrong ones (infonce, four_blocks,
triplet), or a text (simcse, esimcse). OUTPUT_DIR/best says in sentence_embedding.json how its
vectors are made; OUTPUT_DIR/comparison.md has dev and test scores beside those of character TF-IDF
and of the model before training.
"""

import contextlib
import os
from typing import Any

from absl import flags

from albert_zh.common import storage
from albert_zh.common.errors import run_command
from albert_zh.common.messages import say
from albert_zh.finetuning import output_folder, runner
from albert_zh.inference.text_encoder import TextEncoder
from albert_zh.tasks import datasets, reader, registry
from albert_zh.tasks.embedding import comparison
from albert_zh.tasks.embedding import flags as options_of

__all__ = ["define_flags", "main", "run"]

KIND = "sentence_embedding"
MAX_SEQ_LENGTH = 64


def define_flags(**defaults: Any) -> None:
    """Defines the flags of the command.

    Args:
        **defaults: defaults in place of the usual ones.
    """
    settings = {"task_name": datasets.OWN_SENTENCES, "max_seq_length": MAX_SEQ_LENGTH}
    runner.define_flags(KIND, **dict(settings, **defaults))


def run() -> None:
    """Does what the flags ask for."""
    options = flags.FLAGS
    summary = runner.run(None, options, KIND)
    best = os.path.join(options.output_dir, output_folder.BEST_FOLDER)
    if summary and storage.is_folder(best):
        for line in _comparison(options, best):
            say(line)


def _comparison(options, best):
    """Lines about the best model's vectors beside TF-IDF's and the untrained model's."""
    kind = registry.get(options_of.EmbeddingFlags().kind_of(options))
    task = datasets.get_task(options.task_name)._replace(
        objective=kind.name, head=kind.flags.head(options)
    )
    given = kind.flags.files(options)
    task = task._replace(files=given or task.files)
    folder = os.curdir if given else options.data_dir
    splits = [name for name in ("test", "dev") if reader.split_path(task, folder, name)[0]]
    if not splits:
        return []
    split = kind.read_split(task, folder, splits[0], options.encoding, options.skip_bad_rows)
    with contextlib.ExitStack() as stack:
        encoders = {comparison.TRAINED: stack.enter_context(TextEncoder(best)).encode}
        if options.init_checkpoint:
            untrained = TextEncoder(
                options.init_checkpoint,
                "last",
                "mean",
                config_file=options.bert_config_file,
                vocab_file=options.vocab_file or options.spm_model_file,
            )
            encoders[comparison.UNTRAINED] = stack.enter_context(untrained).encode
        return comparison.compare(
            split.examples, kind.is_retrieval, encoders, options.output_dir, split.path
        )


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
