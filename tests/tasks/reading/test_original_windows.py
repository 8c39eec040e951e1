"""Windows and predictions, compared with golden files of the original program."""

import json
import os

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks import kind_interface, registry
from albert_zh.tasks.input_examples import InputExample
from albert_zh.tasks.reading import answer_files, examples, original_windows, records
from albert_zh.tasks.reading.original_windows import OriginalWindowMaker
from albert_zh.tasks.reading.question_files import read_questions
from albert_zh.tasks.reading.questions import Answer, Question
from albert_zh.text import tokenization
from sentencepiece_models import train_sentencepiece

CASES = {"cased": False, "lower": True}


@pytest.fixture(scope="module", params=sorted(CASES))
def case(request, shared):
    """Returns (expected, questions, window maker, function: pattern -> path of a golden file)."""
    golden = os.path.join(shared, "golden", "labelling", "reading")
    vocab = os.path.join(shared, "data", "ckpt_index_only", "MarsRoger_albert_tiny", "vocab.txt")
    tokenizer = tokenization.FullTokenizer(vocab, do_lower_case=CASES[request.param])
    questions = read_questions(os.path.join(golden, "squad.json")).questions

    def path(pattern):
        return os.path.join(golden, pattern % request.param)

    with open(path("features_%s.json"), encoding="utf-8") as handle:
        expected = json.load(handle)
    lengths = (expected[name] for name in ("max_seq_length", "doc_stride", "max_query_length"))
    return expected, questions, OriginalWindowMaker(tokenizer, *lengths), path


def test_words_and_answers_are_the_original_s(case):
    expected, questions, maker, _ = case
    assert len(questions) == len(expected["examples"]) == 9
    for question, example in zip(questions, expected["examples"]):
        document = maker.document(question.context)
        assert document.words == example["doc_tokens"]
        assert maker.answer_words(question, document) == (example["start"], example["end"])


def test_runs_of_letters_go_on_over_a_replaced_character():
    """The original does not treat U+FFFD as ideograph, punctuation, blank or control character."""
    words = original_windows.split_into_words("北a\ufffdB京\u200b9\x00C", False)
    assert words == ["北", "a\ufffdB", "京", "\u200b", "9", "\x00", "C"]


@pytest.mark.parametrize("mode", ["train", "predict"])
def test_windows_are_the_original_s(case, mode):
    expected, questions, maker, _ = case
    made = [features._asdict() for features in maker.features(questions, mode == "train")]
    assert json.loads(json.dumps(made)) == expected["features_" + mode]


def test_ranked_answers_are_exactly_the_original_s(case):
    _, questions, maker, path = case
    windows = {}
    for features in maker.features(questions):
        windows.setdefault(features.example_index, []).append(features)
    scores = np.load(path("log_probs_%s.npz"))
    ranked = {}
    for index, question in enumerate(questions):
        log_probabilities = [
            (scores["start_%d" % f.unique_id].tolist(), scores["end_%d" % f.unique_id].tolist())
            for f in windows[index]
        ]
        pairs = original_windows.best_pairs(
            maker.document(question.context).words,
            windows[index],
            log_probabilities,
            maker.lowers,
            n_best_size=20,
            max_answer_length=30,
        )
        ranked[question.id] = original_windows.entries_of(pairs)
    assert ranked == read_json(path("dev_nbest_predictions_%s.json"))


@pytest.fixture
def small_maker(tmp_path):
    entries = "[PAD] [UNK] [CLS] [SEP] 我 爱 北 京 是 alb ##ert , 4 ##m".split()
    (tmp_path / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    return OriginalWindowMaker(tokenization.FullTokenizer(str(tmp_path / "vocab.txt")), 20, 4, 4)


def test_odd_white_space_and_control_characters_do_not_shift_words(small_maker):
    context = " 我\u3000ALBERT,\x85爱\u200b北\u2028京\n"
    document = small_maker.document(context)
    assert document.words == ["我", "albert", ",", "爱", "\u200b", "北", "京"]
    assert document.pieces == ["我", "alb", "##ert", ",", "爱", "[UNK]", "北", "京"]
    assert [document.word_of_character[context.index(char)] for char in "我A,爱北京"] == [
        0, 1, 2, 3, 5, 6,
    ]  # fmt: skip


def test_a_question_whose_answer_is_not_there_has_no_training_windows(small_maker):
    questions = [
        Question("0", "我", "我爱北京", (Answer("上海", None),)),
        Question("1", "我", "我爱北京", (Answer("北京", 2),)),
        Question("2", "我", "我爱北京", ()),
    ]
    (window,) = small_maker.features(questions, is_training=True)
    assert (window.example_index, window.start_position, window.end_position) == (1, 5, 6)
    assert len(list(small_maker.features(questions))) == 3


def test_a_question_without_an_allowed_pair_gets_the_original_s_nonce(small_maker):
    (window,) = small_maker.features([Question("0", "我", "我爱", None)])
    starts = [0.0] * 20
    pairs = original_windows.best_pairs(
        ["我", "爱"], [window], [(starts, starts)], lowers=True, n_best_size=1, max_answer_length=30
    )
    (entry,) = original_windows.entries_of(pairs)
    assert entry["text"] == "empty" and entry["probability"] == 1.0


def test_sentencepiece_is_refused(tmp_path):
    model = train_sentencepiece(tmp_path, ["我 爱 北京 abc"] * 3, 20)
    with pytest.raises(UserError, match="--original_features needs a vocabulary of word pieces"):
        OriginalWindowMaker(tokenization.FullTokenizer(None, spm_model_file=model), 64, 8, 8)


def test_the_kind_of_task_has_the_same_windows_and_answers(case, tmp_path):
    expected, questions, maker, path = case
    lengths = {name: expected[name] for name in ("doc_stride", "max_query_length")}
    head = dict(lengths, original_features=True, max_answer_length=30, n_best_size=20)
    scores = np.load(path("log_probs_%s.npz"))
    ranker = records.Ranker(maker._tokenizer, expected["max_seq_length"], head, None)
    files = answer_files.AnswerFiles(str(tmp_path), ranker)
    windows = iter(expected["features_predict"])
    with files:
        for number, question in enumerate(questions):
            rows = []
            made, _ = records.records(question, maker._tokenizer, expected["max_seq_length"], head)
            for record in made:
                window = next(windows)
                size = len(record["input_ids"])
                assert record["input_ids"] == window["input_ids"][:size]
                assert sum(window["input_mask"]) == size
                assert record["span_mask"] == window["input_span_mask"][:size]
                logits = {
                    name + "_logits": scores["%s_%d" % (name, window["unique_id"])][:size]
                    for name in ("start", "end")
                }
                rows.append(logits)
            example = examples.QuestionExample(
                "dev-%d" % number, question.text, question.context, None, question.id, ""
            )
            files.write(example, rows)
    assert next(windows, None) is None
    with open(path("dev_predictions_%s.json"), encoding="utf-8") as golden:
        assert read_json(files.paths[0]) == json.load(golden)
    with open(path("dev_nbest_predictions_%s.json"), encoding="utf-8") as golden:
        for name, entries in json.load(golden).items():
            ours = read_json(files.paths[1])[name]
            assert [e["text"] for e in ours] == [e["text"] for e in entries]
            assert [e["start_index"] for e in ours] == [e["start_index"] for e in entries]
            for key in ("probability", "start_logit", "end_logit"):
                assert [e[key] for e in ours] == pytest.approx([e[key] for e in entries], abs=1e-5)


def read_json(path):
    with open(path, encoding="utf-8") as content:
        return json.load(content)


def without_blanks(text, lowers):
    return "".join((text.lower() if lowers else text).split())


def test_answers_have_their_range_in_the_context(case):
    """The characters of each answer are the original's text, apart from blanks and case."""
    expected, questions, maker, path = case
    lengths = {name: expected[name] for name in ("doc_stride", "max_query_length")}
    head = dict(lengths, original_features=True, max_answer_length=30, n_best_size=20)
    ranker = records.Ranker(maker._tokenizer, expected["max_seq_length"], head, None)
    scores = np.load(path("log_probs_%s.npz"))
    rows = {}
    for window in expected["features_predict"]:
        of_window = {
            name + "_logits": scores["%s_%d" % (name, window["unique_id"])]
            for name in ("start", "end")
        }
        rows.setdefault(window["example_index"], []).append(of_window)
    count = 0
    for index, question in enumerate(questions):
        for answer in ranker.ranked(question, rows[index]).answers:
            characters = question.context[answer.begin : answer.end]
            assert without_blanks(characters, maker.lowers) == answer.text
            assert characters == characters.strip()
            count += 1
    assert count > 100


SPACED = "我 爱\u3000ALBERT ,北 京"  # pieces: 我 爱 alb ##ert , 北 京


@pytest.mark.parametrize(
    "first, last, text",
    [(3, 4, "我 爱"), (5, 6, "ALBERT"), (6, 6, "ERT"), (5, 7, "ALBERT ,"), (8, 9, "北 京")],
)
def test_a_model_in_use_answers_by_the_context_s_characters(small_maker, first, last, text):
    logits = {name: np.zeros(11) for name in ("start_logits", "end_logits")}
    logits["start_logits"][first] = logits["end_logits"][last] = 9.0
    (entry, *_) = decoded_by_original(small_maker, SPACED, logits)
    assert entry["text"] == text == SPACED[entry["begin"] : entry["end"]]


def test_a_model_in_use_has_no_answer_where_no_pair_is_allowed(small_maker):
    logits = {"start_logits": np.arange(11), "end_logits": -np.arange(11)}
    (entry,) = decoded_by_original(small_maker, SPACED, logits, n_best_size=1)
    assert (entry["text"], entry["begin"], entry["end"]) == ("", 0, 0)


def decoded_by_original(maker, context, logits, **settings):
    """Decodes the logits of a question of one piece, as `Predictor` does."""
    head = dict(settings, original_features=True, max_query_length=4, doc_stride=9)
    use = kind_interface.ModelInUse(None, {"head": head}, maker._tokenizer, 20)
    example = InputExample("text-0", "是", context, None)
    return registry.get("reading_comprehension").decode([example], [[logits]], use)[0]
