"""Creates the training files of a run with mined negatives.

for line in prepare(options, kind, task, data_dir):
    say(line)  # options.train_file is OUTPUT_DIR/mined_negatives.jsonl then

Files of --more_train also get negatives, in mined_negatives_2.jsonl and so on; a text that is a
positive of a row in one file is not mined for any row of its group in another file.
"""

import contextlib
import json
import os
from typing import Any, Dict, List, Sequence, Tuple

from albert_zh.common import output_files, transfer, validation
from albert_zh.common.errors import UserError
from albert_zh.inference import predictor, text_encoder
from albert_zh.inference.retrieval import negative_mining, prepared_training
from albert_zh.tasks.embedding import groups, mining_flags, text_files
from albert_zh.tasks.tables import split_files

MINED_FILE, MINED_FURTHER = "mined_negatives.jsonl", "mined_negatives_%d.jsonl"
REPORT = "mined_negatives.json"
WORK_FOLDER = "mining"


def prepare(options: Any, kind: Any, task: Any, data_dir: str) -> List[str]:
    """Mines negatives for the training files, unless already done, and sets the flags to use them.

    Args:
        options: the flags; train_file, the files next to it in the data folder, and more_train are
            set.
        kind, task, data_dir: the data that the flags name.

    Returns:
        lines to print.

    Raises:
        UserError: for invalid files or models.
    """
    path = split_files.existing_path(task, data_dir, "train")[0]
    split = kind.read_split(task, data_dir, "train", options.encoding, options.skip_bad_rows)
    files = [split] + [more.split for more in split.further]
    examples_of_files = groups.of_files([read.examples for read in files])
    examples = [example for of_file in examples_of_files for example in of_file]
    corpus = kind.corpus_of(task, data_dir)
    entries = [example.text_b for example in examples]
    notes = text_files.named_notes(split)
    if corpus:
        of_corpus = text_files.read_entries(corpus, options.encoding, options.skip_bad_rows)
        entries += of_corpus[0]
        notes += of_corpus[1]
    entries = list(dict.fromkeys(entries))
    mined, counts = _mined(options, [read.sha256 for read in files], examples, entries)
    _check_each_has_one(examples, mined)
    notes += _notes_of_few(options.mined_negatives, mined)
    targets = _written(options.output_dir, examples_of_files, mined)
    report = {"file": path, "rows": len(examples), "entries": len(entries), "texts": counts}
    report["more_train"] = [more.path for more in split.further]
    output_files.write_json(os.path.join(options.output_dir, REPORT), report)
    prepared_training.name_files(options, task, data_dir, targets[0], corpus)
    if split.further:
        options["more_train"].value = [
            "%s:%.12g" % (target, more.weight) for target, more in zip(targets[1:], split.further)
        ]
    shown = ", ".join("%d %s" % (count, name) for name, count in counts.items() if count)
    line = "negatives for %d rows from %d texts: %s; %s"
    return ["note: " + note for note in notes] + [
        line % (len(mined), len(entries), shown, ", ".join(targets))
    ]


def _check_each_has_one(examples, mined):
    """Raises `UserError` if rows are left without any negative."""
    lacking = [
        example for example, found in zip(examples, mined) if not found and not example.negatives
    ]
    if lacking:
        raise UserError(
            "--mine_negatives: no negative is left for %d of %d rows, such as that of %s: all "
            "other texts are positives of it, or excluded by the --mining flags: name further "
            "texts with --corpus_file, or relax the limits"
            % (len(lacking), len(examples), validation.shown(lacking[0].text_a))
        )


def _notes_of_few(wanted, mined) -> List[str]:
    """The note on rows for which fewer negatives were found than requested."""
    counts = [len(found) for found in mined]
    num_few = sum(count < wanted for count in counts)
    return [
        "%d of %d rows have fewer than --mined_negatives=%d mined ones, the fewest %d"
        % (num_few, len(counts), wanted, min(counts))
    ] * bool(num_few)


def _written(folder, examples_of_files, mined) -> List[str]:
    """Writes the rows of each file with the negatives mined for them, file by file."""
    targets, negatives_of_rows = [], iter(mined)
    for number, examples in enumerate(examples_of_files, start=1):
        name = MINED_FILE if number == 1 else MINED_FURTHER % number
        targets.append(os.path.join(folder, name))
        with output_files.atomic_write(targets[-1]) as stream:
            for example in examples:
                row = {"text_a": example.text_a, "text_b": example.text_b}
                row["negatives"] = list(example.negatives) + next(negatives_of_rows)
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return targets


def _mined(
    options: Any, digests: Sequence[str], examples: Sequence[Any], entries: List[str]
) -> Tuple[List[List[str]], Dict[str, int]]:
    """The negatives of each row, and counts; `digests`: digests of the files of the rows."""
    first, last = mining_flags.ranks(options)
    limits = negative_mining.Limits(
        options.mined_negatives,
        first,
        last,
        options.mining_margin,
        options.mining_relative_margin,
        options.mining_most_similar,
        options.mining_most_probable,
        options.seed,
    )
    folder = transfer.local_stand_in(os.path.join(options.output_dir, WORK_FOLDER))
    with contextlib.ExitStack() as stack:
        finder = _finder(options, entries, folder, stack)
        classify, fingerprint = None, ""
        if options.mining_classifier_dir:
            path = options.mining_classifier_dir
            model = predictor.Predictor(path, precision=options.precision)
            stack.enter_context(model)
            model.similarity_column()  # a mistake is reported before anything is computed
            classify = model.similarities
            fingerprint = model.fingerprint_of()
        key = json.dumps([digests, entries, finder.fingerprint, fingerprint])
        miner = negative_mining.Miner(entries, finder, classify, limits, folder, key)
        return miner.mine(examples)


def _finder(options, entries, folder, stack):
    """The finder of similar texts."""
    if options.mine_negatives == "lexical":
        return negative_mining.LexicalFinder(entries)
    if options.mining_model_dir:
        encoder = text_encoder.TextEncoder(options.mining_model_dir, precision=options.precision)
    else:
        encoder = text_encoder.TextEncoder(
            options.init_checkpoint,
            config_file=options.bert_config_file,
            vocab_file=options.vocab_file or options.spm_model_file,
            precision=options.precision,
        )
    return negative_mining.VectorFinder(entries, stack.enter_context(encoder), folder)
