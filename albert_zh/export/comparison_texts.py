"""Texts for exports: texts to calibrate int8 on, and texts to compare a file on."""

import os
from typing import List, Optional, Sequence, Tuple

from albert_zh.common import package_files, storage, validation
from albert_zh.common.errors import UserError
from albert_zh.export import exported_model
from albert_zh.tasks.tables import position_columns
from albert_zh.tasks.tables import rows as row_files
from albert_zh.tasks.task_forms import KEYS

Texts = List[Tuple[str, Optional[str]]]

# Bundled texts for models of pairs and of single texts; files used for training are not included.
PAIR_SAMPLES = ("data/pairs_sample/test.txt",)
SINGLE_SAMPLES = ("data/topics_sample/dev.csv", "data/topics_sample/test.csv")
MOST_COMPARED = {
    "classifier": 500,
    "pretraining": 100,
    "encoder": 100,
    "embedding": 500,
}  # fewer for large outputs
LEAST_COMPARED = 100  # with fewer texts of the user, bundled texts are added
LEAST_TO_DIVIDE = 200


def for_model(model: exported_model.Model, path: Optional[str], encoding: str = "utf-8") -> Texts:
    """Like `of_file`, but without second texts if the model takes none, or by the kind's reader.

    Args:
        model: `exported_model.Model`.
        path: the file, or None.
        encoding: encoding of the file.
    """
    if path is not None and model.kind.plain_texts is not None:
        return [(text, None) for text in model.kind.plain_texts(path, encoding)]
    texts = of_file(path, encoding)
    columns = model.settings.get("columns")
    if columns and "text_b" not in columns:
        return [(text, None) for text, _ in texts]
    single = [text for text, text_b in texts if text_b is None]
    if path is not None and columns and single:
        raise UserError(
            "--representative_texts=%s: the model takes pairs, %d of %d rows have one text, the "
            "first %r: expected text_a<tab>text_b"
            % (path, len(single), len(texts), validation.shortened(single[0]))
        )
    return texts


def of_file(path: Optional[str], encoding: str = "utf-8") -> Texts:
    """Reads texts from a file: one text per line, or the text columns of a table.

    A column of labels (short, and with few distinct values) is ignored; .csv files have commas and
    quotes, other files have tabs.

    Args:
        path: the file, or None.
        encoding: encoding of the file.

    Returns:
        list of (text_a, text_b or None).

    Raises:
        UserError: if the file is JSON or empty.
    """
    if path is None:
        return []
    table = row_files.Table(path, encoding)
    if table.is_json:
        raise UserError(
            "--representative_texts=%s: JSON is not read: give a text a line, or a .tsv or .csv of "
            "the same texts" % path
        )
    rows = [row.cells for row in table if row.problem is None]
    if not rows:
        raise UserError("--representative_texts=%s is empty: expected one text per line" % path)
    labels = set()
    if len(rows) > 1 and any(position_columns.TEXT_COLUMN.match(cell.strip()) for cell in rows[0]):
        header, rows = rows[0], rows[1:]
        names = [cell.strip().lower() for cell in header]
        labels = {number for number, name in enumerate(names) if name in KEYS["label"]}
    columns = _text_columns(rows, labels)
    cells = [[row[column] for column in columns if column < len(row)] for row in rows]
    return [(row[0], row[1] if len(row) > 1 else None) for row in cells if row]


def _text_columns(rows, labels):
    """Numbers of the first two text columns: with many values, or longer than labels.

    Columns of `labels` are no text columns.
    """
    width = max(len(row) for row in rows)
    if width == 1:
        return [0]
    columns, variety = [], []
    for column in range(width):
        cells = [row[column] for row in rows if column < len(row)]
        is_id = all(
            map(position_columns.NUMBER.match, cells[1:] or cells)
        )  # line 1 may be a header
        is_id = is_id or column in labels
        variety.append(0 if is_id else len(set(cells)))
        mean_length = sum(map(len, cells)) / len(cells)
        if not is_id and mean_length > 4 and len(set(cells)) > min(len(cells) / 4, 100):
            columns.append(column)
    return columns[:2] or [variety.index(max(variety))]  # if texts are as short as labels


def spread(texts: Sequence, most: int) -> list:
    """At most `most` elements of a list, evenly spaced."""
    count = min(most, len(texts))
    return [texts[column * len(texts) // count] for column in range(count)]


def for_ranges(options: exported_model.Options) -> Texts:
    """The user's texts for the calibration of int8: every other one if there are many."""
    return options.texts[::2] if _are_divided(options) else options.texts


def _are_divided(options):
    return options.quantize == "int8" and len(options.texts) >= LEAST_TO_DIVIDE


def to_compare(model: exported_model.Model, options: exported_model.Options) -> Texts:
    """The texts on which an exported file is compared with the checkpoint.

    They are the user's texts, without every other one if those calibrate int8. If there are few,
    bundled texts for the model's kind are added.

    Args:
        model: `exported_model.Model`.
        options: `exported_model.Options`.

    Returns:
        at most `MOST_COMPARED` texts.
    """
    most = MOST_COMPARED[options.task]
    texts = spread(options.texts[1::2] if _are_divided(options) else options.texts, most)
    if len(texts) >= LEAST_COMPARED:
        return texts
    return texts + spread(_bundled(model), most - len(texts))


def _bundled(model):
    columns = model.settings.get("columns")
    names = PAIR_SAMPLES + SINGLE_SAMPLES
    if columns:
        names = PAIR_SAMPLES if "text_b" in columns else SINGLE_SAMPLES
    paths = [os.path.join(package_files.ROOT, *name.split("/")) for name in names]
    return [text for path in paths if storage.exists(path) for text in of_file(path)]
