"""Compares a model's vectors with training-free baselines: character TF-IDF, untrained model.

lines = compare(split.examples, True, {"trained": encode, "untrained": other}, "output")
"""

import os
from typing import Any, Callable, Dict, List, Sequence

import numpy as np

from albert_zh.common import output_files, plotting
from albert_zh.tasks.embedding.scorer import COLLAPSED
from albert_zh.tasks.embedding.scores import (
    CharacterTfIdf,
    Measured,
    VectorSimilarity,
    mean_cosine,
)
from albert_zh.tasks.markdown import table

TFIDF, TRAINED, UNTRAINED = "character TF-IDF", "trained", "untrained"
_SHOWN = {
    True: ("recall_at_1", "recall_at_5", "recall_at_50", "mrr_at_10", "ndcg_at_10", "map_at_10"),
    False: ("spearman", "pearson", "auc"),
}


def compare(
    examples: Sequence[Any],
    is_retrieval: bool,
    encoders: Dict[str, Callable[[Sequence[str]], np.ndarray]],
    folder: str,
    title: str,
    trained: Sequence[str] = (TRAINED,),
) -> List[str]:
    """Evaluates encoders and TF-IDF on the same rows; writes comparison.md, .json and .png.

    Args:
        examples: `text_files.EmbeddingExample`s of a dev or test file.
        is_retrieval: whether the rows are a retrieval task, in which positives are searched.
        encoders: {name: function of texts -> float [n, W]}.
        folder: the folder to which the files are written.
        title: name of the evaluated data, for the files.
        trained: the names of the trained models.

    Returns:
        lines for the user.
    """
    measured = Measured(examples, is_retrieval)
    texts = measured.texts()
    scores = {TFIDF: measured.scores(CharacterTfIdf(texts))}
    for name, encode in encoders.items():
        vectors = encode(texts)
        scores[name] = measured.scores(VectorSimilarity(dict(zip(texts, vectors))))
        scores[name]["mean_cosine"] = mean_cosine(vectors)
    columns = [name for name in _SHOWN[is_retrieval] if name in scores[TFIDF]]
    warnings = [
        "%s: %s" % (name, warning) if len(trained) > 1 else warning
        for name in trained
        if name in scores
        for warning in _warnings(scores[name], scores[TFIDF], columns[0])
    ]
    output_files.write_json(
        os.path.join(folder, "comparison.json"), {"file": title, "scores": scores}
    )
    with output_files.atomic_write(os.path.join(folder, "comparison.md")) as stream:
        stream.write("\n".join(_markdown(title, scores, columns, warnings)) + "\n")
    _draw(os.path.join(folder, "comparison.png"), title, scores, columns)
    lines = ["%-17s %s" % ("on " + os.path.basename(title), "  ".join(columns))]
    lines += ["%-17s %s" % (name, _row(scores[name], columns)) for name in scores]
    return lines + ["warning: " + warning for warning in warnings]


def _row(scores, columns):
    return "  ".join(("%.4f" % scores[name]).ljust(len(name)) for name in columns).rstrip()


def _warnings(trained, tf_idf, metric):
    """Warnings about trained vectors with these scores, one line each."""
    warnings = []
    if trained[metric] < tf_idf[metric]:
        warnings.append(
            "%s %.4f is lower than that of %s, %.4f, which needs no model: train longer, with "
            "more rows or another --objective" % (metric, trained[metric], TFIDF, tf_idf[metric])
        )
    if trained["mean_cosine"] > COLLAPSED:
        warnings.append(
            "the mean cosine of different texts is %.3f: vectors have collapsed, try a lower "
            "--learning_rate" % trained["mean_cosine"]
        )
    return warnings


def _markdown(title, scores, columns, warnings):
    yield "# Comparison on %s" % title
    yield ""
    rows = [[name] + [of_one[column] for column in columns] for name, of_one in scores.items()]
    yield from table(["vectors"] + list(columns), rows)
    for warning in warnings:
        yield "Warning: %s." % warning


def _draw(path, title, scores, columns):
    """Draws the metrics as bars; nothing if matplotlib is not installed."""
    if not plotting.is_installed():
        return
    figure, axes = plotting.subplots(figsize=(1.5 + 1.2 * len(columns), 3.5))
    width = 0.8 / len(scores)
    for number, (name, of_one) in enumerate(scores.items()):
        places = np.arange(len(columns)) + number * width
        axes.bar(places, [of_one[column] for column in columns], width, label=name)
    axes.set_xticks(np.arange(len(columns)) + 0.4 - width / 2)
    axes.set_xticklabels(columns)
    axes.set_title(os.path.basename(title))
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.1), "ncol": len(scores)}
    axes.legend(frameon=False, fontsize="small", **below)
    plotting.save(figure, path)
