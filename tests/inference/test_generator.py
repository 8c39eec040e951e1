"""Compares a generator in memory with whole sequences that are computed at once."""

import json
import os
import threading

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import generate
from albert_zh.common.errors import UserError
from albert_zh.inference import decoding
from albert_zh.inference import generator as generator_module
from albert_zh.inference.generator import Abandoned, Generator
from albert_zh.model import attention_masks, heads, modeling
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values
import small_models
from workspace import VOCABULARY

SOURCES = ["今天天气很好", "我们去吃饭吧？", "开门"]
SPECIAL = (0, 1, 2, 4)


@pytest.fixture(name="folder", scope="module")
def folder_fixture(tmp_path_factory):
    return small_models.write_generator(tmp_path_factory.mktemp("generator") / "best")


@pytest.fixture(name="generator", scope="module")
def generator_fixture(folder):
    with Generator(folder) as generator:
        yield generator


@pytest.fixture(name="log_probs_at_once", scope="module")
def log_probs_fixture(folder):
    """Yields a function of (source ids, target ids) -> float [T + 1, V], which uses no cache."""
    config = modeling.AlbertConfig.from_json_file(folder + "/albert_config.json")
    with tf.Graph().as_default(), tf.Session() as session:
        ids, segments = (tf.placeholder(tf.int32, [1, None]) for _ in range(2))
        mask = tf.ones_like(ids)
        seen = attention_masks.visible_positions("sequence_to_sequence", mask, segments)
        model = modeling.AlbertModel(
            config, False, ids, mask, segments, scope="bert", attention_mask=seen
        )
        logits = heads.word_logits(config, model, model.get_sequence_output()[0])
        log_probs = tf.nn.log_softmax(logits)
        weights = checkpoint_values.read_weights(checkpoint_files.find_checkpoint(folder))
        for variable in tf.global_variables():
            variable.load(weights[variable.op.name], session)

        def run(source, target):
            row = [source + target]
            kinds = [[0] * len(source) + [1] * len(target)]
            return session.run(log_probs, {ids: row, segments: kinds})[len(source) - 1 :]

        yield run


def source_of(generator, text):
    tokens = ["[CLS]"] + generator.tokenizer.tokenize(text) + ["[SEP]"]
    return generator.tokenizer.convert_tokens_to_ids(tokens)


def greedy(log_probs_at_once, source, num_tokens, min_length):
    """Returns (tokens, sum of log probabilities), computing each step from the beginning."""
    target, total = [], 0.0
    for _ in range(num_tokens):
        log_probs = log_probs_at_once(source, target)[-1].astype(float)
        banned = list(SPECIAL) + ([3] if len(target) < min_length else [])
        allowed = np.array(log_probs)
        allowed[banned] = -np.inf
        token = int(allowed.argmax())
        total += log_probs[token]
        if token == 3:
            break
        target.append(token)
    return target, total


def test_greedy_texts_and_scores_are_those_without_a_cache(generator, log_probs_at_once):
    """The texts are generated in one batch, with sources of different lengths."""
    written = generator.generate(SOURCES, min_length=6, length_penalty=0.0)
    for source, one in zip(SOURCES, written):
        ids = source_of(generator, source)
        target, total = greedy(log_probs_at_once, ids, generator.max_length, 6)
        assert one.text == "".join(VOCABULARY[token] for token in target)
        assert one.score == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_caches_grow_as_the_texts_do(generator, monkeypatch, num_beams):
    settings = {"min_length": 12, "num_beams": num_beams}
    expected = generator.generate(SOURCES, **settings)
    monkeypatch.setattr(generator_module, "_COLUMNS", 3)
    written = generator.generate(SOURCES, **settings)
    assert [one.text for one in written] == [one.text for one in expected]
    assert [one.score for one in written] == pytest.approx([one.score for one in expected])


def test_a_long_max_length_takes_no_memory_before_it_is_written(generator):
    rules = decoding.Rules(3, SPECIAL, decoding.DecodingSettings(max_length=10**6))
    rows = generator_module._Rows(generator, [source_of(generator, SOURCES[0])], rules)
    assert rows._cache[0].shape[2] < 200


@pytest.mark.parametrize("num_beams", [1, 3])
def test_writing_ends_when_nobody_wants_the_texts(generator, num_beams):
    asked = []

    def is_wanted():
        asked.append(True)
        return len(asked) <= 2

    with pytest.raises(Abandoned):
        generator.generate(SOURCES, is_wanted, min_length=12, num_beams=num_beams)
    assert 3 <= len(asked) <= 2 + len(SOURCES)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"do_sample": True, "seed": 3}, {"num_beams": 2}])
def test_several_threads_write_the_texts_of_one(folder, settings):
    sources = [source + text for source in SOURCES for text in ("", "好", "今天")]
    settings = dict(settings, max_length=8)
    with Generator(folder, num_threads=1) as of_one_thread:
        expected = of_one_thread.generate(sources, **settings)
    with Generator(folder, num_threads=4) as of_four:
        assert [text.text for text in of_four.generate(sources, **settings)] == [
            text.text for text in expected
        ]


def test_an_error_in_one_part_ends_the_others(folder, monkeypatch):
    def failing(self, sources, rules, is_wanted, first_number):
        if first_number == 0:
            raise UserError("no token is allowed next")
        while is_wanted():
            pass

    monkeypatch.setattr(Generator, "_written", failing)
    error = pytest.raises(UserError, match="no token is allowed next")
    with Generator(folder, num_threads=2) as model, error:
        model.generate(SOURCES)


def test_beams_find_texts_of_higher_score(generator):
    one = generator.generate(SOURCES, length_penalty=0.0, max_length=6, min_length=6)
    four = generator.generate(SOURCES, length_penalty=0.0, max_length=6, min_length=6, num_beams=8)
    assert sum(text.score for text in four) > sum(text.score for text in one)


def test_a_beams_score_is_the_log_probability_of_its_text(generator, log_probs_at_once):
    (best,) = generator.generate(
        SOURCES[:1], length_penalty=1.0, max_length=6, min_length=6, num_beams=3
    )
    tokens = [VOCABULARY.index(character) for character in best.text]
    log_probs = log_probs_at_once(source_of(generator, SOURCES[0]), tokens)
    total = sum(log_probs[index, token] for index, token in enumerate(tokens))
    assert best.score == pytest.approx(total / (11 / 6), abs=1e-4)


def test_streams_are_the_text_in_pieces_and_seeds_repeat_samples(generator):
    settings = {"do_sample": True, "top_p": 0.9, "temperature": 1.5, "min_length": 6, "seed": 5}
    pieces = list(generator.stream(SOURCES[0], **settings))
    (written,) = generator.generate(SOURCES[:1], **settings)
    assert "".join(pieces) == written.text and len(pieces) >= 6
    (other,) = generator.generate(SOURCES[:1], **dict(settings, seed=6))
    assert other.text != written.text


def test_a_stream_left_half_read_keeps_nobody_from_closing(folder):
    generator = Generator(folder)
    pieces = generator.stream(SOURCES[0], min_length=6)
    assert next(pieces)
    closing = threading.Thread(target=generator.close, daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    with pytest.raises(UserError, match="this Generator is closed"):
        next(pieces)


def test_no_ngram_is_repeated(generator):
    (written,) = generator.generate(
        SOURCES[:1], no_repeat_ngram_size=2, min_length=12, max_length=12
    )
    pairs = [written.text[start : start + 2] for start in range(11)]
    assert len(written.text) == 12 and len(set(pairs)) == len(pairs)


@pytest.mark.parametrize(
    "texts, settings, message",
    [
        ([""], {}, "text 0 is empty"),
        ([("今天", "明天")], {}, "text 0 is empty or a pair"),
        (
            SOURCES,
            {"max_length": 60},
            "leaves no positions for the source: the model has 64 positions",
        ),
        (SOURCES, {"width": 3}, "not a generation setting"),
        (SOURCES, {"min_length": 40}, "min_length: 40 is more than max_length, 12"),
    ],
)
def test_errors(generator, texts, settings, message):
    with pytest.raises(UserError, match=message):
        generator.generate(texts, **settings)


def test_other_models_are_refused(tmp_path):
    folder = small_models.write_model(tmp_path / "classifier")
    with pytest.raises(UserError, match="not a generator .* train one with run_seq2seq.py"):
        Generator(folder)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("head", None, "head: max_target_length is missing"),
        ("token_ids", {"pad": 0, "unk": 1, "cls": 2, "sep": 7, "mask": 4}, "found .* sep 7"),
        ("max_target_length", 40, "max_seq_length: expected more than .* 40, found 40"),
    ],
)
def test_damaged_notes_are_named(tmp_path, key, value, message):
    folder = small_models.write_generator(tmp_path / "model")
    path = os.path.join(folder, "fine_tuning.json")
    with open(path, encoding="utf-8") as handle:
        notes = json.load(handle)
    if value is None:
        del notes[key]
    else:
        notes["head"][key] = value
    with open(path, "w", encoding="utf-8") as handle:
        json.dump(notes, handle)
    with pytest.raises(UserError, match="fine_tuning.json: .*%s" % message) as caught:
        Generator(folder)
    assert "\n" not in str(caught.value)


def test_long_sources_are_cut_and_marked(generator):
    (written,) = generator.generate(["今天" * 40], max_length=3)
    assert written.was_cut


def test_the_command_prints_json_and_means_of_scores(folder, tmp_path, capsys):
    path = tmp_path / "test.tsv"
    path.write_text("今天天气\t天气\n开门\t门\n", encoding="utf-8")
    small_models.run_command(
        generate,
        ["--model_dir=%s" % folder, "--input_file=%s" % path, "--max_length=4"],
        words=[],
    )
    shown = capsys.readouterr()
    rows = [json.loads(line) for line in shown.out.splitlines()]
    assert [row["target"] for row in rows] == ["天气", "门"]
    assert all(row.keys() >= {"text", "generated", "score", "rouge_l"} for row in rows)
    assert "2 texts: rouge_1 " in shown.err and "distinct_2 " in shown.err


def test_unknown_words_of_sources_and_flags_in_vain_are_noted(folder, capsys):
    """Full-width letters are not in the vocabulary; flags for files have no effect without one."""
    arguments = ["--model_dir=%s" % folder, "--max_length=3"]
    of_file = ["--text_column=1", "--label_column=2", "--skip_bad_rows"]
    small_models.run_command(generate, arguments + of_file, words=["今天ＡＢ气很", "今天天气"])
    lines = capsys.readouterr().err.splitlines()
    of_flags = [
        "note: %s has no effect without --input_file" % flag.partition("=")[0] for flag in of_file
    ]
    assert [line for line in lines if line.startswith("note:")] == of_flags + [
        "note: the texts: 11.1 % of the word pieces are unknown to the vocabulary, most often "
        "ＡＢ: the model cannot tell them apart; write letters and digits of full width half-width"
    ]
    small_models.run_command(generate, arguments, words=["今天天气"])
    assert "unknown" not in capsys.readouterr().err
