"""Comparison of an exported file with its checkpoint: limits, predictions, and the texts used."""

import itertools
import types

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.export import common as export_common
from albert_zh.export import comparison as export_comparison
from albert_zh.export import comparison_texts, exported_model
from albert_zh.tasks import registry
import small_models

LABELS = ("体育", "财经", "娱乐")


def options(quantize, texts, task="classifier"):
    return exported_model.Options(task, None, quantize, None, texts, False, False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_models.write_model(tmp_path_factory.mktemp("model") / "model", labels=LABELS)


def model_with(folder, **settings):
    return export_common.read_model(folder, "classifier")._replace(settings=settings)


def examples_of(model, texts=()):
    return export_comparison.Examples(model, "classifier", export_common.session_of, texts)


def arrays(*values):
    return [[np.array([value], np.float32)] for value in values]


def test_differences_and_labels_are_counted():
    expected = arrays([0.9, 0.1], [0.2, 0.8], [0.45, 0.55], [0.7, 0.3])
    outputs = arrays([0.9, 0.1], [0.3, 0.7], [0.55, 0.45], [0.6, 0.4])
    found = export_comparison.compared(outputs, expected, lambda arrays: arrays[0].argmax(axis=-1))
    assert found.num_texts == 4 and found.equal_labels == 0.75
    assert found.largest == pytest.approx(0.1) and found.mean == pytest.approx(0.075)
    without_labels = export_comparison.compared(outputs, expected)
    assert without_labels.equal_labels is None


def test_what_stands_at_padding_is_not_compared(folder):
    model = export_common.read_model(folder, "encoder")
    examples = export_comparison.Examples(model, "encoder", export_common.session_of, seq_length=64)
    lengths = [int(row["input_mask"].sum()) for row in examples.rows]
    assert max(lengths) == 64 > min(lengths)
    found = iter(zip(lengths, examples.expected))

    def run(row):
        length, (tokens, pooled) = next(found)
        assert tokens.shape[1] == length
        padded = np.full((1, 64) + tokens.shape[2:], 7.0, np.float32)
        padded[:, :length] = tokens
        return [padded, pooled]

    limits = export_comparison.limits("none")
    assert examples.check(run, limits, "model.tflite").largest == 0


def test_a_model_of_pairs_is_judged_by_pairs(folder, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("怎么开户\t如何开通一个新的账户\n今天天气怎么样\n", encoding="utf-8")
    pairs = model_with(folder, columns=["text_a", "text_b", "label"])
    with pytest.raises(
        UserError, match="takes pairs, 1 of 2 rows have one text, the first '今天天气"
    ):
        comparison_texts.for_model(pairs, str(path))
    single = model_with(folder, columns=["text_a", "label"])
    assert comparison_texts.for_model(single, str(path)) == [
        ("怎么开户", None),
        ("今天天气怎么样", None),
    ]


def test_a_readers_rows_have_room_for_a_question(folder):
    """The minimum is 24 pieces of a question, [CLS], two [SEP] and one piece of the context."""
    model = model_with(folder, objective="reading_comprehension", head={"max_query_length": 24})
    export_common.check_length(28, model)
    with pytest.raises(UserError, match="expected 28 .what the model's questions need. to"):
        export_common.check_length(27, model)


def test_large_outputs_are_compared_by_their_size():
    (found,) = [export_comparison.compared(arrays([10.0, 41.0]), arrays([10.0, 40.0]))]
    assert found.largest == pytest.approx(1 / 40) and found.mean == pytest.approx(1 / 80)
    with pytest.raises(UserError, match="gives .*, expected"):
        export_comparison.compared(arrays([1.0]), arrays([1.0, 2.0]))


@pytest.mark.parametrize("place", [0, 2])
def test_outputs_that_are_no_numbers_are_a_problem_in_any_case(place):
    expected = [[np.zeros([1, 2], np.float32) for _ in range(3)]]
    outputs = [[array.copy() for array in expected[0]]]
    anything = export_comparison.limits("int8", tolerance=9.0, min_equal_labels=0.0)
    labels_of = np.size
    same = export_comparison.compared(outputs, expected, labels_of)
    assert export_comparison.problem_of(same, anything) is None
    outputs[0][place][0, 1] = np.nan
    found = export_comparison.compared(outputs, expected, labels_of)
    assert "are not finite numbers" in export_comparison.problem_of(found, anything)


def test_problems_say_what_was_measured_expected_and_the_way_out():
    comparison = export_comparison.Comparison(500, 0.5312, 0.021, 0.9611)
    problem = export_comparison.problem_of
    limits = export_comparison.limits
    assert problem(comparison, limits("int8")) is None
    assert problem(comparison, limits("int8", min_equal_labels=0.98), "add texts, or ") == (
        "its labels are equal to the checkpoint's on 96.1 % of 500 texts, expected at least 98.0 "
        "%: add texts, or accept it with --min_equal_labels=0.961"
    )
    assert problem(comparison, limits("none", min_equal_labels=0.9)) == (
        "the largest difference of its outputs on 500 texts is 0.53, expected at most 0.0001: "
        "accept it with --tolerance=0.54"
    )
    assert problem(comparison._replace(mean=0.06), limits("int8")) == (
        "the mean difference of its outputs on 500 texts is 0.06, expected at most 0.05: accept "
        "it with --tolerance=0.54"
    )
    assert problem(comparison, limits("none", 0.54, 0.961)) is None


@pytest.mark.parametrize(
    "kind, answers",
    [
        ("multi_label", "labels"),
        ("sequence_labelling", "tags"),
        ("span_labelling", "spans"),
        ("reading_comprehension", "answer spans"),
    ],
)
def test_the_problem_names_what_a_model_of_the_kind_answers(kind, answers):
    comparison = export_comparison.Comparison(500, 0.0, 0.0, 0.9)
    limits = export_comparison.limits("none", min_equal_labels=1.0)
    problem = export_comparison.problem_of(
        comparison, limits, answers=registry.get(kind).answer_names
    )
    assert problem.startswith(
        "its %s are equal to the checkpoint's on 90.0 %% of 500 texts" % answers
    )


def test_every_kind_of_quantization_has_limits_for_labels():
    for quantize, limits in export_comparison.LIMITS.items():
        assert limits.equal_labels >= 0.95, quantize
        assert limits.largest or limits.mean, quantize


@pytest.mark.parametrize("num_changed, is_kept", [(0, True), (5, True), (6, False)])
def test_a_file_is_judged_by_the_labels_of_all_texts(num_changed, is_kept, folder):
    """At most 5 % of the labels may change: 5 of 104 are 4.8 %."""
    texts = [("今天天气%d" % number, None) for number in range(100)]
    examples = examples_of(model_with(folder), texts)
    assert len(examples.rows) == len(examples.expected) == 104
    answers = iter([outputs[0] for outputs in examples.expected])
    numbers = iter(range(104))

    def run(row):
        probabilities = next(answers)
        return [np.roll(probabilities, int(next(numbers) < num_changed), axis=-1)]

    limits = export_comparison.limits("int8", tolerance=1.0)
    if is_kept:
        found = examples.check(run, limits, "model.tflite", "int8")
        assert found.equal_labels == pytest.approx(1 - num_changed / 104)
    else:
        with pytest.raises(
            UserError, match="is not written: its labels are equal to .* on 94.2 % of"
        ):
            examples.check(run, limits, "model.tflite", "int8")


def test_what_equal_labels_are_depends_on_the_objective(folder):
    expected, outputs = arrays([0.9, 0.4, 0.2]), arrays([0.9, 0.6, 0.2])
    for settings, equal in (
        ({"objective": "single_label"}, 1.0),
        ({"objective": "multi_label"}, 0.0),
        ({"objective": "multi_label", "thresholds": [0.5, 0.3, 0.5]}, 1.0),
        ({"objective": "regression"}, None),
    ):
        examples = examples_of(model_with(folder, **settings))
        found = export_comparison.compared(outputs, expected, examples._answer_of)
        assert found.equal_labels == equal


def answers_of(kind, names, labels=None, **head):
    """Returns the function of a row's output arrays -> the prediction of a model of this kind."""
    model = types.SimpleNamespace(
        kind=registry.get(kind), labels=labels, settings={"objective": kind, "head": head}
    )
    return export_comparison._answer_of(model, "classifier", names)


def test_tags_are_those_of_the_pieces_by_themselves_or_along_the_best_path():
    names, tags = ["logits", "transitions"], ("O", "B-a", "I-a")
    logits = np.array([[[9, 0, 0], [1, 0, 0], [0, 3, 0], [0, 1, 2], [0, 9, 0]]], np.float32)
    for form, transitions, expected in (
        ("softmax", np.zeros([3, 3]), [0, 1, 2]),
        ("crf", np.zeros([3, 3]), [0, 1, 2]),
        ("crf", [[0, 0, 0], [0, 0, -9], [0, 0, 0]], [0, 1, 1]),  # I-a after B-a is unlikely
    ):
        answer = answers_of("sequence_labelling", names, tags, form=form)
        assert list(answer([logits, np.array([transitions], np.float32)])) == expected


def test_spans_are_those_with_a_score_above_0():
    names = ["span_scores", "span_types", "span_starts", "span_ends"]
    row = [np.array([column]) for column in ([2.0, 0.5, -0.1], [1, 0, 0], [4, 1, 2], [5, 1, 3])]
    spans = answers_of("span_labelling", names, ("a", "b"))(row)
    assert [tuple(span) for span in spans] == [(1, 2, "a"), (4, 6, "b")]


def test_the_span_of_a_question_is_the_best_of_all_pairs():
    draws = np.random.RandomState(3).normal(size=(20, 2, 1, 7))
    answer = answers_of("reading_comprehension", ["start_logits", "end_logits"])
    for starts, ends in draws:
        pairs = itertools.combinations_with_replacement(range(7), 2)
        best = max(pairs, key=lambda pair: starts[0, pair[0]] + ends[0, pair[1]])
        assert answer([starts, ends]) == best


def test_answers_are_judged_where_that_is_asked_for(folder):
    examples = examples_of(model_with(folder, objective="regression"))
    examples._answer_names = "tags"
    examples._answer_of, expected = (lambda arrays: arrays[0].round(3).tolist()), examples.expected
    for share, is_kept in ((None, True), (0.5, True), (0.8, False)):
        answers = iter(expected)
        changes = iter([0.01, 0, 0, 0])
        limits = export_comparison.limits("int8", tolerance=1.0, min_equal_labels=share)

        def run(row, answers=answers, changes=changes):
            return [next(answers)[0] + next(changes)]

        if is_kept:
            assert examples.check(run, limits, "model.onnx", "int8").equal_labels == 0.75
        else:
            with pytest.raises(
                UserError, match="its tags are equal to the checkpoint's on 75.0 % of 4"
            ):
                examples.check(run, limits, "model.onnx", "int8")


def test_bundled_texts_are_of_the_models_kind(folder):
    pairs = comparison_texts.to_compare(
        model_with(folder, columns=["text_a", "text_b", "label"]), options("none", [])
    )
    assert len(pairs) == len(set(pairs)) == 500 and all(second for _, second in pairs)
    single = comparison_texts.to_compare(
        model_with(folder, columns=["text_a", "label"]), options("none", [])
    )
    assert 400 <= len(single) <= 500 and not any(second for _, second in single)
    both = comparison_texts.to_compare(model_with(folder), options("none", []))
    assert len(both) == 500 and 50 < sum(1 for _, second in both if second) < 450
    encoder = comparison_texts.to_compare(model_with(folder), options("none", [], task="encoder"))
    assert len(encoder) == 100


def test_the_users_texts_are_those_that_are_compared(folder):
    many = [("文%d" % number, None) for number in range(3000)]
    found = comparison_texts.to_compare(model_with(folder), options("none", many))
    assert len(found) == 500 and set(found) <= set(many)
    assert found[0] == many[0] and found[-1][0] >= "文299"  # sampled from the whole file
    found = comparison_texts.to_compare(model_with(folder), options("none", many[:120]))
    assert found == many[:120]
    found = comparison_texts.to_compare(model_with(folder), options("none", many[:30]))
    assert found[:30] == many[:30] and len(found) == 500


def test_ranges_are_found_on_other_texts_than_those_compared(folder):
    texts = [("文%d" % number, None) for number in range(400)]
    for_ranges = comparison_texts.for_ranges(options("int8", texts))
    compared = comparison_texts.to_compare(model_with(folder), options("int8", texts))
    assert len(for_ranges) == len(compared) == 200 and not set(for_ranges) & set(compared)
    few = options("int8", texts[:150])
    assert comparison_texts.for_ranges(few) == comparison_texts.to_compare(model_with(folder), few)


def test_without_the_bundled_texts_the_odd_ones_are_compared(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(comparison_texts.package_files, "ROOT", str(tmp_path / "nothing"))
    model = model_with(folder)
    assert comparison_texts.to_compare(model, options("none", [])) == []
    assert len(examples_of(model).rows) == 4
