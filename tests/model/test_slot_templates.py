"""Slot templates, compared with an implementation in NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import ngram_table, slot_templates

# [CLS] city city word word [SEP], and a shorter row of two entries with other sets of names
IDS = np.array([[2, 50, 51, 7, 8, 3], [2, 60, 61, 3, 0, 0]], np.int32)
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]], np.int32)
SLOTS = np.zeros([2, 6, 3], np.int32)
SLOTS[0, 1:3, 0] = SLOTS[1, 1, 1] = 1
SLOTS[1, 2] = [1, 1, 0]


def places(ids=IDS, mask=MASK, slots=SLOTS, num_rows=65536):
    """Returns the sorted places of each row that count."""
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = [tf.constant(array) for array in (ids, mask, slots)]
        symbols = slot_templates.symbols(tensors[0], tensors[2])
        shape = ngram_table.TableShape(num_rows, num_rows // 4, 2)
        counted = slot_templates.counted_symbols(symbols, tensors[1])
        found, counted = session.run([ngram_table.table_places(symbols, shape), counted])
        counted = np.concatenate([counted, counted], axis=1)
    return [sorted(row[is_in > 0].tolist()) for row, is_in in zip(found, counted)]


def expected_places(tokens, num_rows=65536):
    """Computes the sorted places of a row's symbols, which are listed without repetitions."""
    singles = num_rows // 4
    single = [token % singles for token in tokens[1:]]
    pairs = zip(tokens, tokens[1:])
    return sorted(single + [singles + (a * 40499 + b) % (num_rows - singles) for a, b in pairs])


def symbol(*names):
    return 2**15 + sum(977 * (j + 1) * (j + 3) % 1021 for j in names) % 1021


@pytest.mark.parametrize("num_rows", [65536, 1024])
def test_places_are_those_of_symbols_and_pairs(num_rows):
    first, second = places(num_rows=num_rows)
    assert first == expected_places([2, symbol(0), 7, 8, 3], num_rows)  # both cities: one symbol
    assert second == expected_places([2, symbol(1), symbol(0, 1), 3], num_rows)


def test_other_words_of_the_same_name_are_the_same_template():
    other = IDS.copy()
    other[0, 1:3] = [90, 91]
    assert places(other) == places()
    assert places(other, slots=0 * SLOTS) != places(slots=0 * SLOTS)
    shorter = np.delete(IDS, 2, axis=1), np.delete(MASK, 2, axis=1), np.delete(SLOTS, 2, axis=1)
    assert places(*shorter)[0] == places()[0]  # the entry has one token


def test_ids_of_large_vocabularies_stay_in_the_table():
    ids = np.full([1, 6], 119546, np.int32)
    (found,) = places(ids, MASK[:1], 0 * SLOTS[:1])
    assert found == expected_places([119546 % 2**15] * 6) and min(found) >= 0


def test_logits_are_the_formula():
    draw = np.random.RandomState(1)
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = [tf.constant(array) for array in (IDS, MASK, SLOTS)]
        logits = slot_templates.template_logits(*tensors, 5, initial_bias=[0.5] * 5)
        session.run(tf.global_variables_initializer())
        np.testing.assert_allclose(session.run(logits), np.full([2, 5], 0.5))
        table, bias = tf.trainable_variables()
        assert (table.op.name, bias.op.name) == ("slot_templates/table", "slot_templates/bias")
        weights = draw.randn(*table.shape.as_list()).astype(np.float32)
        table.load(weights, session)
        found = session.run(logits)
    for row, of_row in zip(found, places()):
        expected = 0.5 + 4 * weights[of_row].sum(axis=0) / np.sqrt(len(of_row))
        np.testing.assert_allclose(row, expected, rtol=1e-5)


@pytest.mark.parametrize("num_outputs, rows", [(1, 65536), (31, 65536), (1000, 4096), (9000, 1024)])
def test_the_table_is_smaller_for_many_outputs(num_outputs, rows):
    assert slot_templates.table_shape(num_outputs) == (rows, rows // 4, 2)
