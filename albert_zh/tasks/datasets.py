"""The tasks: the files, columns and labels of each.

A task is an entry of `TASKS`; a new task of a known form needs nothing else. A folder with your own
data is the task `multiclass`, whose columns and labels are taken from its training file.
"""

import collections
from typing import Any, Dict, List, Optional

from albert_zh.common.errors import UserError
from albert_zh.tasks import registry
from albert_zh.tasks.task_forms import PAIR, Task, is_pair

OWN_DATA = "multiclass"
OWN_QUESTIONS = "questions"
OWN_SENTENCES = "sentences"
OWN_TEXTS = "seq2seq"
INFERENCE = ("contradiction", "entailment", "neutral")
DISAGREEMENT = "-"  # in place of a label if the annotators disagree


# Records that are not plain rows of texts


def _csl_examples(record):
    keywords = record["keyword"]
    text = keywords if isinstance(keywords, str) else " ".join(keywords)
    return [{"text_a": text, "text_b": record["abst"], "label": record.get("label")}]


def _wsc_examples(record):
    """The text with `_` around the noun and `[ ]` around the pronoun."""
    text, target = record["text"], record["target"]
    marks = []
    for span, left, right in (("span1", "_", "_"), ("span2", "[", "]")):
        begin, words = target[span + "_index"], target[span + "_text"]
        if text[begin : begin + len(words)] != words:
            raise ValueError("%r is not at %s_index, %d" % (words, span, begin))
        marks += [(begin, 1, left), (begin + len(words), 0, right)]
    for position, _, mark in sorted(marks, reverse=True):
        text = text[:position] + mark + text[position:]
    return [{"text_a": text, "label": record.get("label")}]


def copa_examples(record: Dict[str, Any]) -> List[Any]:
    """One pair per choice, with the cause before the effect; label 1 for the right choice."""
    examples = []
    for number in (0, 1):
        texts = [record["premise"], record["choice%d" % number]]
        if record["question"] == "cause":
            texts.reverse()
        label = record.get("label")
        if label in (0, 1, "0", "1") and not isinstance(label, bool):
            label = int(int(label) == number)
        examples.append({"text_a": texts[0], "text_b": texts[1], "label": label})
    return examples


def _is_not_chinese(record):
    return str(record.get("language", "zh")) != "zh"


def has_no_agreed_label(record: Dict[str, Any]) -> bool:
    """Whether a row of an inference task has no label because its annotators disagree."""
    return DISAGREEMENT in (record.get("label"), record.get("gold_label"))


# The table

DEV_NAMES = ("dev", "valid", "val", "validation")  # of the user's own files, by priority
_FEWCLUE = {
    "train": ("train_few_all.json", "train_0.json"),
    "dev": ("dev_few_all.json", "dev_0.json"),
    "test": ("test_public.json",),
}
_SPLITS = {
    split: tuple(
        name + ending for name in names for ending in (".csv", ".tsv", ".txt", ".json", ".jsonl")
    )
    + _FEWCLUE[split]
    for split, names in (("train", ("train",)), ("dev", DEV_NAMES), ("test", ("test",)))
}
# File names of CLUE, of FewCLUE, and of copies as tables (for tasks that have plain columns).
_TEXT_ENDINGS = (".tsv", ".txt", ".csv", ".jsonl", ".json")
_SENTENCES = {
    split: tuple(name + ending for name in names for ending in _TEXT_ENDINGS)
    for split, names in (("train", ("train",)), ("dev", DEV_NAMES), ("test", ("test",)))
}
_CLUE = {
    "train": ("train.json", *_FEWCLUE["train"], "train.tsv", "train.txt"),
    "dev": ("dev.json", *_FEWCLUE["dev"], "dev.tsv", "dev.txt"),
    "test": ("test.json", *_FEWCLUE["test"], "test1.0.json", "test.tsv", "test.txt"),
}
_TSV = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}
_LABELLED_ENDINGS = (
    ".txt .json .jsonl .tsv .conll .conllu .bio .bioes .bmes .char.bmes .char .utf8 .data".split()
)
_LABELLED = {
    split: tuple(name + ending for name in names for ending in _LABELLED_ENDINGS)
    + tuple("example." + name for name in names)
    + names
    for split, names in (("train", ("train",)), ("dev", DEV_NAMES), ("test", ("test",)))
}
_LCQMC = Task(
    files={"train": "train.txt", "dev": "dev.txt", "test": "test.txt"},
    columns=PAIR,
    labels=("0", "1"),
)
_TNEWS_LABELS = collections.OrderedDict(
    [
        ("100", "news_story"),
        ("101", "news_culture"),
        ("102", "news_entertainment"),
        ("103", "news_sports"),
        ("104", "news_finance"),
        ("106", "news_house"),
        ("107", "news_car"),
        ("108", "news_edu"),
        ("109", "news_tech"),
        ("110", "news_military"),
        ("112", "news_travel"),
        ("113", "news_world"),
        ("114", "news_stock"),
        ("115", "news_agriculture"),
        ("116", "news_game"),
    ]
)
_NAMES_OF_QUESTIONS = {
    "train": "train cmrc2018_train DRCD_training",
    "dev": "dev cmrc2018_dev DRCD_dev",
    "test": "test cmrc2018_trial DRCD_test",
}
_ENDINGS_OF_QUESTIONS = (".json", ".jsonl", ".csv", ".tsv", ".txt")
_QUESTIONS = {
    split: tuple(name + ending for ending in _ENDINGS_OF_QUESTIONS for name in names.split())
    for split, names in _NAMES_OF_QUESTIONS.items()
}
_QUESTIONS["dev"] += tuple(
    name + ending for name in DEV_NAMES[1:] for ending in _ENDINGS_OF_QUESTIONS
)
TASKS = {
    "lcqmc": _LCQMC,
    "lcqmc_pair": _LCQMC,
    "sentence_pair": Task(
        files={"train": "train_0827.tsv", "dev": "dev_0827.tsv", "test": "test_0827.tsv"},
        columns=("label", "text_a", "text_b"),
        labels=("0", "1"),
    ),
    "afqmc": Task(files=_CLUE, columns=PAIR, labels=("0", "1")),
    "tnews": Task(
        files=_CLUE,
        columns=("text_a", "label"),
        labels=tuple(_TNEWS_LABELS),
        aliases={name: number for number, name in _TNEWS_LABELS.items()},
    ),
    "iflytek": Task(
        files=_CLUE, columns=("text_a", "label"), labels=tuple(str(n) for n in range(119))
    ),
    "cmnli": Task(files=_CLUE, columns=PAIR, labels=INFERENCE, is_left_out=has_no_agreed_label),
    "csl": Task(files=_CLUE, columns=PAIR, labels=("0", "1"), examples_of=_csl_examples),
    "wsc": Task(
        files=_CLUE,
        columns=("text_a", "label"),
        labels=("true", "false"),
        examples_of=_wsc_examples,
    ),
    "copa": Task(files=_CLUE, columns=PAIR, labels=("0", "1"), examples_of=copa_examples),
    "xnli": Task(
        files={
            "train": ("train.json", "multinli/multinli.train.zh.tsv", "train.tsv"),
            "dev": ("dev.json", "XNLI-1.0/xnli.dev.tsv", "xnli.dev.tsv", "dev.tsv"),
            "test": ("test.json", "XNLI-1.0/xnli.test.tsv", "xnli.test.tsv", "test.tsv"),
        },
        columns=PAIR,
        labels=INFERENCE,
        aliases={"contradictory": "contradiction"},
        is_left_out=_is_not_chinese,
    ),
    "chnsenticorp": Task(files=_TSV, columns=("label", "text_a"), labels=("0", "1")),
    "cola": Task(files=_TSV, columns=(None, "label", None, "text_a"), labels=("0", "1")),
    "mnli": Task(
        files={"train": "train.tsv", "dev": "dev_matched.tsv", "test": "test_matched.tsv"},
        columns=PAIR,
        labels=INFERENCE,
    ),
    "mrpc": Task(
        files=_TSV,
        columns=("label", None, None, "text_a", "text_b"),
        labels=("0", "1"),
        keys={"text_a": ["#1 string"], "text_b": ["#2 string"], "label": ["quality"]},
    ),
    OWN_DATA: Task(files=_SPLITS, columns=None, labels=None),
    "ner": Task(files=_LABELLED, columns=None, labels=None, objective="sequence_labelling"),
    "cws": Task(
        files=_LABELLED,
        columns=None,
        labels=None,
        objective="sequence_labelling",
        finds_words=True,
    ),
    "cmrc2018": Task(
        files=_QUESTIONS,
        columns=("text_a", "text_b"),
        labels=("start", "end"),
        objective="reading_comprehension",
    ),
    "drcd": Task(
        files=_QUESTIONS,
        columns=("text_a", "text_b"),
        labels=("start", "end"),
        objective="reading_comprehension",
    ),
    OWN_SENTENCES: Task(
        files={
            split: names + tuple("qrels/%s" % name for name in names)
            for split, names in _SENTENCES.items()
        },
        columns=None,
        labels=None,
        objective="sentence_embedding",
    ),
    OWN_TEXTS: Task(files=_SENTENCES, columns=None, labels=None, objective="generation"),
    OWN_QUESTIONS: Task(
        files=_QUESTIONS,
        columns=("text_a", "text_b"),
        labels=None,
        objective="reading_comprehension",
    ),
}


def get_task(name: str) -> Task:
    """The task with a name (case does not matter); raises `UserError` for an unknown name."""
    try:
        return TASKS[name.lower()]
    except KeyError:
        raise UserError(
            "--task_name: unknown task %r, expected one of %s" % (name, ", ".join(sorted(TASKS)))
        ) from None


def compares_sentences(task: Any) -> bool:
    """Whether a task's model decides if two sentences mean the same, as similarity.py needs."""
    kind = registry.rules_of(task)
    has_two_classes = kind.has_classes and not kind.has_several_labels and len(task.labels) == 2
    # Records that are not plain rows of texts (csl, copa) are not two sentences to compare.
    return is_pair(task) and has_two_classes and task.examples_of is None


def num_outputs(task: Any) -> int:
    """Outputs of the task's classifier: one per label, one for a regression."""
    return registry.rules_of(task).num_outputs(len(task.labels))


# Labels


def label_value(task: Any, label: Optional[str]) -> Any:
    """A label as a training target.

    Args:
        task: `Task` with its labels.
        label: str, or None.

    Returns:
        the class number; a list of 0 and 1, one per class (multi-label); a float (regression).
    """
    return registry.rules_of(task).target(label, task.labels, task.separator)


def label_parts(task: Any, label: str) -> List[str]:
    """The labels in one label cell: any number of them in a multi-label task."""
    return registry.rules_of(task).labels_of_cell(label, task.separator)
