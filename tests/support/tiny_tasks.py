"""Tiny data of three kinds of tasks, as files of a workspace."""

import json

SIZES = {"train": 24, "dev": 8, "test": 4}


def _questions(count):
    context = "天气很好123去吃饭吧"
    questions = [
        {"id": "Q%d" % n, "question": "%d怎么" % n, "answers": [{"text": "123", "answer_start": 4}]}
        for n in range(count)
    ]
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": questions}]}]})


def _tagged_texts(count):
    return "\n".join(
        "今 O\n天 O\n吃 B-eat\n饭 I-eat\n%s O\n" % "好吧门"[n % 3] for n in range(count)
    )


def _scored_pairs(count):
    return "".join("今天%d\t吃饭%d\t%d\n" % (n, n + 1, n % 3) for n in range(count))


# {name of the kind: (task, extension of its files, function of a size -> a file's text)}.
KINDS = {
    "reading_comprehension": ("questions", ".json", _questions),
    "sentence_embedding": ("sentences", ".tsv", _scored_pairs),
    "sequence_labelling": ("ner", ".txt", _tagged_texts),
}


def write(workspace, family):
    """Writes the files of a kind below a workspace's folder.

    Args:
        workspace: `workspace.Workspace`.
        family: a key of `KINDS`.

    Returns:
        name of the folder with the files, in the workspace's folder.
    """
    _, ending, text = KINDS[family]
    for name, count in SIZES.items():
        workspace.write("%s/%s%s" % (family, name, ending), text(count))
    return family


def settings_of(folder, family):
    """The settings of `finetuning.run` that are specific to a kind.

    Args:
        folder: path of the folder with the files.
        family: a key of `KINDS`.
    """
    task_name, ending, _ = KINDS[family]
    settings = {"family": family, "task_name": task_name, "data_dir": folder}
    if family == "reading_comprehension":
        flags = {"train_file": "train", "dev_file": "dev", "predict_file": "test"}
        settings.update((flag, "%s/%s%s" % (folder, name, ending)) for flag, name in flags.items())
        settings.update(data_dir="", max_query_length=6)
    return settings
