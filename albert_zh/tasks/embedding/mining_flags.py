"""The flags for mining hard negatives."""

from typing import Any

from absl import flags

from albert_zh.common import storage
from albert_zh.common.errors import UserError

FINDERS = ("lexical", "vectors")
OBJECTIVES = ("infonce", "triplet")  # objectives whose rows have negatives
_TABLE = (
    (
        "string",
        "mining_model_dir",
        None,
        "Folder of the model whose vectors find the negatives; by default that of "
        "--init_checkpoint.",
    ),
    (
        "string",
        "mining_classifier_dir",
        None,
        "Folder of a pair classifier (run_classifier.py); a text that it predicts to be a positive "
        "is not used as a negative.",
    ),
    ("integer", "mined_negatives", 1, "Number of negatives to mine per row."),
    (
        "list",
        "mining_ranks",
        ["1", "50"],
        "First and last rank of the texts from which negatives are drawn; rank 1 is the nearest "
        "text that no row lists as a positive.",
    ),
    (
        "float",
        "mining_margin",
        None,
        "Only use texts whose similarity is at least this much below that of the row's positive.",
    ),
    (
        "float",
        "mining_relative_margin",
        None,
        "Like --mining_margin, but as a share of the positive's similarity, such as 0.05.",
    ),
    ("float", "mining_most_similar", None, "Only use texts whose similarity is at most this."),
    (
        "float",
        "mining_most_probable",
        0.5,
        "Texts to which --mining_classifier_dir assigns a higher probability than this count as "
        "positives and are not used.",
    ),
)
NAMES = tuple(row[1] for row in _TABLE)
_FINDS = (
    "infonce, triplet: mine hard negatives for each row before training, among the positives of "
    "all training files and the corpus entries: lexically (BM25) or by vectors."
)


def define(options: Any) -> None:
    """Defines the flags in `absl.flags.FlagValues`."""
    flags.DEFINE_enum("mine_negatives", None, list(FINDERS), _FINDS, flag_values=options)
    for kind, name, default, help_text in _TABLE:
        getattr(flags, "DEFINE_" + kind)(name, default, help_text, flag_values=options)


def ranks(options: Any) -> Any:
    """(first, last) of --mining_ranks; raises `UserError` unless it has two valid ranks."""
    try:
        first, last = [int(rank) for rank in options.mining_ranks]
    except ValueError:
        first, last = 0, 0
    if not 1 <= first <= last:
        raise UserError(
            "--mining_ranks=%s: expected the first and the last rank, such as 1,50"
            % ",".join(options.mining_ranks)
        )
    return first, last


def check(options: Any) -> None:
    """Raises `UserError` for invalid values or combinations of flags."""
    given = [name for name in NAMES if options[name].present]
    if not options.mine_negatives:
        for name in given:
            raise UserError("--%s: nothing is mined: add --mine_negatives=lexical" % name)
        return
    if options.objective not in OBJECTIVES:
        raise UserError(
            "--mine_negatives: expected --objective=%s, found %s: without --do_train it only "
            "writes a file, which other objectives can be trained on"
            % (" or ".join(OBJECTIVES), options.objective)
        )
    first, last = ranks(options)
    if not 1 <= options.mined_negatives <= last - first + 1:
        raise UserError(
            "--mined_negatives=%d: expected 1 to %d, the ranks of --mining_ranks"
            % (options.mined_negatives, last - first + 1)
        )
    if not 0 <= options.mining_most_probable <= 1:
        raise UserError("--mining_most_probable=%g: expected 0 to 1" % options.mining_most_probable)
    if options.mine_negatives == "lexical" and options.mining_model_dir:
        raise UserError("--mining_model_dir: its vectors need --mine_negatives=vectors")
    if options.mine_negatives == "vectors" and not (
        options.mining_model_dir or options.init_checkpoint
    ):
        raise UserError("--mine_negatives=vectors needs --mining_model_dir or --init_checkpoint")
    if options["mining_most_probable"].present and not options.mining_classifier_dir:
        raise UserError(
            "--mining_most_probable: there is no classifier to compute probabilities: add "
            "--mining_classifier_dir, or leave --mining_most_probable out"
        )
    for name in ("mining_model_dir", "mining_classifier_dir"):
        path = options[name].value
        if path and not storage.exists(path):
            raise UserError("--%s=%s: no such folder" % (name, path))
