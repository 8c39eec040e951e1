"""Flags that only sentence embeddings have."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from absl import flags

from albert_zh.common import storage, validation
from albert_zh.common.errors import UserError
from albert_zh.model import sentence_vectors
from albert_zh.tasks import datasets, kind_interface, model_width, task_forms
from albert_zh.tasks.embedding import losses, mining_flags

RATE_OF_NARROW = 2e-4
DROPOUT_OF_VIEWS = 0.1
MARGINS_OF_TRIPLET = {"cosine": 0.5, "euclidean": 5.0}  # default margin for each distance
DEV_FORMATS = ("scored", "positives")
SCORED, RETRIEVAL = "sentence_embedding", "sentence_retrieval"  # kinds, by how dev is evaluated


class Objective(NamedTuple):
    """The requirements of a training objective.

    Fields:
        data_format: format of the training file, one of `text_files.FORMATS`.
        dev_format: default format of the dev and test files.
        is_of_batch: whether the loss compares rows of the batch with each other.
        takes_negatives: whether the loss uses the negatives of a row.
        needs_negatives: whether each row has to have a negative.
    """

    data_format: str
    dev_format: str = "scored"
    is_of_batch: bool = False
    takes_negatives: bool = False
    needs_negatives: bool = False


OBJECTIVES = {
    "cosent": Objective("scored", is_of_batch=True),
    "softmax": Objective("scored"),
    "cosine": Objective("scored"),
    "contrastive": Objective("scored"),
    "infonce": Objective("positives", "positives", is_of_batch=True, takes_negatives=True),
    "four_blocks": Objective("positives", "positives", is_of_batch=True),
    "simbert": Objective("positives", "positives", is_of_batch=True),
    "triplet": Objective("positives", "positives", takes_negatives=True, needs_negatives=True),
    "margin_mse": Objective("margins", "positives", takes_negatives=True, needs_negatives=True),
    "simcse": Objective("texts", is_of_batch=True),
    "esimcse": Objective("texts", is_of_batch=True),
    "vectors": Objective("texts"),
}
SCORABLE = ("cosent", "cosine", "margin_mse")  # may be trained on a pair classifier's scores
VIEWS = ("simcse", "esimcse")  # the positive of a text is the text itself
_OF_TEMPERATURE = ("cosent", "infonce", "four_blocks", "simbert") + VIEWS
# {flag: the objectives whose losses it affects}
_OBJECTIVES_OF = {
    "cosine_temperature": _OF_TEMPERATURE,
    "margin": ("infonce", "triplet", "contrastive") + VIEWS,
    "triplet_distance": ("triplet",),
    "symmetric": ("infonce",) + VIEWS,
    "own_negative_weight": ("infonce",),
}

_TABLE = (
    ("string", "train_file", None, "Training file, instead of --data_dir."),
    ("string", "dev_file", None, "Dev file, by which the best checkpoint is chosen."),
    ("string", "predict_file", None, "Test file, on which the best model is evaluated."),
    (
        "string",
        "corpus_file",
        None,
        "File of corpus entries, one per line, that are searched for the queries of dev and test, "
        "in addition to the entries in their rows; by default DATA_DIR/faq.txt or corpus.txt, if "
        "it exists.",
    ),
    (
        "list",
        "more_train",
        None,
        "Additional training files as FILE:WEIGHT; each row of such a file occurs WEIGHT times per "
        "epoch (0.5: half of the rows).",
    ),
    ("boolean", "normalize", True, "Whether vectors are normalized to unit length."),
    ("integer", "width", None, "Dimension of the vectors; by default the full dimension."),
    (
        "list",
        "matryoshka",
        None,
        "Dimensions to which vectors can be truncated after training, such as 312,128,64; the loss "
        "is summed over them.",
    ),
    (
        "integer",
        "projection_width",
        None,
        "Output dimension of a dense layer after the pooling, such as the dimension of a teacher's "
        "vectors; by default there is no such layer.",
    ),
    ("float", "cosine_temperature", 0.05, "Temperature by which the loss divides cosines."),
    (
        "float",
        "margin",
        None,
        "infonce: the margin subtracted from the positive's cosine, by default 0; triplet, "
        "contrastive: the distance margin, by default 0.5 (5 with --triplet_distance=euclidean).",
    ),
    ("boolean", "symmetric", False, "infonce: also train positives to find their anchors."),
    (
        "float",
        "own_negative_weight",
        0.0,
        "infonce: a value added to the logits of a row's own negatives.",
    ),
    (
        "integer",
        "batch_in_memory",
        None,
        "Number of rows of a batch that are computed at a time: allows larger batches of infonce "
        "and cosent than fit into memory, with the same results.",
    ),
    (
        "float",
        "dropout",
        None,
        "Dropout rate in training, instead of the config's; by default %g for simcse and esimcse, "
        "whose positives differ from their anchors by dropout." % DROPOUT_OF_VIEWS,
    ),
    (
        "string",
        "teacher_vectors",
        None,
        "vectors: .npy file of a teacher's vectors, one row per line of the training file.",
    ),
    (
        "string",
        "scoring_classifier_dir",
        None,
        "cosent, cosine: folder of a pair classifier (run_classifier.py) whose probabilities are "
        "the scores of the pairs in the training file; labels in that file are not used. "
        "margin_mse: the margin is its probability of the positive minus that of the negative.",
    ),
    (
        "integer",
        "whitening_width",
        None,
        "After training (or without training, for the model of --init_checkpoint), also write "
        "OUTPUT_DIR/whitened, a model whose vectors have this many uncorrelated dimensions.",
    ),
    (
        "float",
        "whitening_power",
        1.0,
        "Strength of the whitening: 1 makes the variances of all directions equal, 0.5 takes their "
        "square roots, 0 leaves them unchanged.",
    ),
    (
        "string",
        "whitening_file",
        None,
        "Texts to which the whitening is fitted, one per line; by default the training texts.",
    ),
)
_ENUMS = (
    (
        "objective",
        "cosent",
        list(OBJECTIVES),
        "The loss. For scored or labelled pairs: cosent, softmax, cosine, contrastive; for pairs "
        "with the same meaning, with or without negatives: infonce, four_blocks, simbert, triplet; "
        "for triplets with a teacher's margins: margin_mse; for unlabelled texts: simcse, esimcse; "
        "for texts with a teacher's vectors: vectors.",
    ),
    (
        "triplet_distance",
        "cosine",
        list(losses.DISTANCES),
        "triplet: 1 - cosine, or the Euclidean distance of the vectors before normalization.",
    ),
    ("pooling", "mean", list(sentence_vectors.POOLINGS), "How token vectors are pooled."),
    (
        "dev_format",
        None,
        list(DEV_FORMATS),
        "Content of dev and test files: scored pairs, or positives, which are searched for "
        "(retrieval); the default depends on --objective.",
    ),
)
# The flags that define a model: a resumed run must have the same values, and the same loss.
_FIXED = (
    "pooling normalize width matryoshka projection_width cosine_temperature margin "
    "triplet_distance symmetric own_negative_weight dropout more_train dev_format"
).split()
_OF_ONE_LAYER = ("cls", "mean", "second_to_last")  # poolings that are linear in a layer's output
_INPUT_FILES = "train_file dev_file predict_file corpus_file teacher_vectors whitening_file".split()
_OF_LOSS = (
    "cosine_temperature margin triplet_distance symmetric own_negative_weight batch_in_memory"
).split()
# What fine_tuning.json contains about a model's loss and its vectors.
_HEAD_KIND = validation.record(
    {
        "loss": validation.one_of(*OBJECTIVES),
        "cosine_temperature": validation.number(above=0),
        "margin": validation.or_none(validation.number()),
        "triplet_distance": validation.one_of(*losses.DISTANCES),
        "symmetric": validation.BOOLEAN,
        "own_negative_weight": validation.number(),
        "batch_in_memory": validation.or_none(validation.integer(1)),
        "dropout": validation.or_none(validation.number(least=0, below=1)),
        "corpus": validation.or_none(validation.TEXT),
        "more_train": validation.list_of(validation.TEXT),
        "dev_format": validation.one_of(*DEV_FORMATS),
        **sentence_vectors.FIELDS,
    },
    required=("loss", "dropout", *sentence_vectors.SentenceNotes._fields),
)


class EmbeddingFlags(kind_interface.KindFlags):
    """Flags of run_sentence_embedding.py."""

    help_of_task = "Task: sentences."
    fixed = tuple(_FIXED)
    variable = ("batch_in_memory",)
    head_kind = _HEAD_KIND

    def define(self, options: Any) -> None:
        for kind, name, default, help_text in _TABLE:
            getattr(flags, "DEFINE_" + kind)(name, default, help_text, flag_values=options)
        for enum in _ENUMS:
            flags.DEFINE_enum(*enum, flag_values=options)
        mining_flags.define(options)

    def kind_of(self, options: Any) -> Optional[str]:
        return RETRIEVAL if dev_format(options) == "positives" else SCORED

    def kind_in_use(self, options: Any, trained: str) -> str:
        """The kind may change without training: vectors do not depend on the evaluation files."""
        return trained if options.dev_format is None else str(self.kind_of(options))

    def check(self, options: Any) -> None:
        kind_interface.refuse_given(
            options,
            task_forms.COLUMN_FLAGS.values(),
            "columns of these files have fixed names (text_a, text_b, label, negatives): name them "
            "so in the file's header",
        )
        for name in _INPUT_FILES:
            path = options[name].value
            if path and not storage.is_file(path):
                raise UserError("--%s=%s: no such file" % (name, path))
        for check in (
            _check_loss,
            _check_effects,
            _check_batch,
            _check_dropout,
            _check_scoring,
            _check_what_does_not_go,
        ):
            check(options, OBJECTIVES[options.objective])
        mining_flags.check(options)
        _check_whitening(options)
        sentence_vectors.check_notes(
            notes_of_head(self.head(options)), model_width.config_of(options), _width_flag(options)
        )

    def files(self, options: Any) -> Dict[str, str]:
        given = {"train": options.train_file, "dev": options.dev_file, "test": options.predict_file}
        return {split: path for split, path in given.items() if path}

    def head(self, options: Any) -> Dict[str, Any]:
        head: Dict[str, Any] = {name: options[name].value for name in _OF_LOSS}
        if head["margin"] is None:
            head["margin"] = _usual_margin(options)
        full = options.projection_width or model_width.config_of(options).hidden_size
        widths = matryoshka_widths(options)
        dropout = options.dropout
        if dropout is None and options.objective in VIEWS:
            dropout = DROPOUT_OF_VIEWS
        return dict(
            head,
            loss=options.objective,
            dropout=dropout,
            corpus=options.corpus_file,
            more_train=list(options.more_train or ()),
            dev_format=dev_format(options),
            pooling=options.pooling,
            normalize=options.normalize,
            width=options.width or (widths[0] if widths else full),
            widths=widths,
            projection_width=options.projection_width,
            max_seq_length=options.max_seq_length,
        )

    def json_files(self, head: Dict[str, Any]) -> Dict[str, Any]:
        return {sentence_vectors.SENTENCE_FILE: sentence_vectors.as_json(notes_of_head(head))}

    def notes_without_training(
        self, options: Any, folders: Sequence[str]
    ) -> Optional[Dict[str, Any]]:
        """Every encoder has vectors, configured by sentence_embedding.json or else by the flags."""
        head = self.head(options)
        found = (sentence_vectors.read_notes(folder) for folder in folders)
        notes = next(filter(None, found), notes_of_head(head))
        head.update(sentence_vectors.as_json(notes))
        return {
            "objective": self.kind_of(options),
            "columns": ["text_a", "text_b"],
            "max_seq_length": notes.max_seq_length,
            "head": head,
        }

    def usual_rate(self, options: Any) -> Optional[float]:
        return RATE_OF_NARROW if model_width.is_narrow(options) else None


def dev_format(options: Any) -> str:
    """The format of dev and test files, one of `DEV_FORMATS`."""
    return options.dev_format or OBJECTIVES[options.objective].dev_format


def matryoshka_widths(options: Any) -> List[int]:
    """The widths of --matryoshka, the largest first; raises `UserError` for invalid widths."""
    try:
        widths = sorted({int(width) for width in options.matryoshka or ()}, reverse=True)
    except ValueError:
        widths = [0]
    if widths and widths[-1] < 1:
        raise UserError(
            "--matryoshka=%s: expected widths, such as 312,128,64" % ",".join(options.matryoshka)
        )
    if widths and options.width not in (None, widths[0]):
        raise UserError(
            "--width=%d: expected %d, the largest width of --matryoshka, or no --width"
            % (options.width, widths[0])
        )
    return widths


def notes_of_head(head: Dict[str, Any]) -> sentence_vectors.SentenceNotes:
    """How a model with this `Settings.head` computes vectors."""
    names = sentence_vectors.SentenceNotes._fields
    known = {name: head[name] for name in names}
    return sentence_vectors.SentenceNotes(**dict(known, widths=tuple(known["widths"])))


def _usual_margin(options):
    if options.objective == "triplet":
        return MARGINS_OF_TRIPLET[options.triplet_distance]
    return 0.5 if options.objective == "contrastive" else 0.0


def _width_flag(options):
    return "--matryoshka" if options.matryoshka else "--width"


def _check_loss(options, objective):
    del objective
    for name, least in (("cosine_temperature", 1e-4), ("width", 1), ("projection_width", 1)):
        given = options[name].value
        if given is not None and not given >= least:
            raise UserError("--%s=%s: expected at least %g" % (name, given, least))
    if options.objective == "vectors" and options.do_train:
        if not options.teacher_vectors:
            raise UserError("--objective=vectors learns a teacher's vectors: add --teacher_vectors")
        if options.more_train:
            raise UserError(
                "--more_train: its rows have no vectors of --teacher_vectors, which "
                "--objective=vectors learns: join the files and their vectors"
            )


def _check_effects(options, objective):
    """Raises `UserError` for flags of training that this objective, or this dev file, ignores."""
    del objective
    if not options.do_train:
        return
    for name, objectives in _OBJECTIVES_OF.items():
        flag = options[name]
        if flag.value != flag.default and options.objective not in objectives:
            raise UserError(
                "--%s=%s has no effect with --objective=%s: it is for %s: leave it out"
                % (name, flag.value, options.objective, ", ".join(objectives))
            )
    if options.corpus_file and dev_format(options) == "scored" and not options.mine_negatives:
        raise UserError(
            "--corpus_file=%s has no effect: dev and test have scored pairs, for which nothing is "
            "searched: leave it out, or give files of positive pairs and --dev_format=positives"
            % options.corpus_file
        )


def _check_batch(options, objective):
    if objective.is_of_batch and options.train_batch_size < 2 and options.do_train:
        raise UserError(
            "--train_batch_size=%d: %s compares rows of a batch, which have to be 2 or more; 32 to "
            "256 are usual" % (options.train_batch_size, options.objective)
        )
    if options.batch_in_memory is not None and options.batch_in_memory < 1:
        raise UserError("--batch_in_memory=%d: expected 1 or more" % options.batch_in_memory)


def _check_scoring(options, objective):
    del objective
    path = options.scoring_classifier_dir
    if path and options.objective not in SCORABLE:
        raise UserError(
            "--scoring_classifier_dir: --objective=%s has no scores of pairs: expected %s"
            % (options.objective, " or ".join(SCORABLE))
        )
    if path and not storage.exists(path):
        raise UserError("--scoring_classifier_dir=%s: no such folder" % path)


def _check_whitening(options):
    width = options.whitening_width
    if width is None:
        for name in ("whitening_file", "whitening_power"):
            if options[name].present:
                raise UserError("--%s: nothing is whitened: add --whitening_width=64" % name)
        return
    if not 0 <= options.whitening_power <= 1:
        raise UserError("--whitening_power=%g: expected 0 to 1" % options.whitening_power)
    most = model_width.config_of(options).hidden_size
    if options.do_train:
        most = _directions(
            notes_of_head(EmbeddingFlags().head(options)), model_width.config_of(options)
        )
    if not 1 <= width <= most:
        raise UserError(
            "--whitening_width=%d: expected 1 to %d, the directions of the model's vectors"
            % (width, most)
        )
    if options.seeds or options.search:
        raise UserError("--whitening_width is for a single model: leave out --seeds and --search")


def _directions(notes, config):
    """The number of directions in which a model's vectors can differ.

    It is one less than the width for the outputs of a LayerNorm, and for their mean, because their
    sum is fixed.
    """
    has_one_norm = config.layout == "brightmart" or config.num_hidden_groups == 1
    is_linear = notes.pooling in _OF_ONE_LAYER or (has_one_norm and notes.pooling != "max")
    is_normalized = is_linear and not config.is_pre_norm
    return min(notes.width, config.hidden_size - is_normalized)


def _check_dropout(options, objective):
    del objective
    dropout = options.dropout
    if dropout is not None and not 0 <= dropout < 1:
        raise UserError("--dropout=%g: expected 0 or more and below 1" % dropout)
    if dropout == 0 and options.objective in VIEWS:
        raise UserError(
            "--dropout=0: %s creates the two views of a text by dropout, without which they are "
            "identical: 0.1 to 0.3 are usual" % options.objective
        )


def _check_what_does_not_go(options, objective):
    if options.rdrop_alpha:
        raise UserError("--rdrop_alpha is for predictions of classes: leave it out")
    if options.fgm_epsilon and options.batch_in_memory:
        raise UserError("--fgm_epsilon and --batch_in_memory are mutually exclusive: leave one out")
    if options.use_tpu and objective.is_of_batch:
        raise UserError(
            "--use_tpu: %s compares rows of the whole batch, which a TPU's cores do not gather "
            "here: train on GPUs or a CPU" % options.objective
        )
    if objective.data_format == "texts" and options.do_eval and not _has_dev(options):
        raise UserError(
            "--objective=%s trains on single texts, which cannot be evaluated: add a dev file of "
            "pairs (--dev_file), or --do_eval=false" % options.objective
        )


def _has_dev(options):
    if options.dev_file or not options.data_dir or not storage.is_folder(options.data_dir):
        return bool(options.dev_file)
    return any(
        name.split(".")[0] in datasets.DEV_NAMES for name in storage.names_in(options.data_dir)
    )
