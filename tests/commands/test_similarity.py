"""Tests of similarity.py and args.py: all ways to use the command, and albert_zh's interface."""

import codecs
import contextlib
import io
import os
import pty
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import similarity
from albert_zh.common import line_reader, package_files
from albert_zh.common.errors import UserError
from albert_zh.inference import predictor, text_encoder
from albert_zh.text import encoding, tokenization
import args
import small_models
from workspace import ROOT

PAIRS = [("今天天气", "明天天气"), ("好", "好"), ("怎么办理", "什么时候开门"), ("", "今天")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_models.write_model(tmp_path_factory.mktemp("models") / "pairs")


@pytest.fixture(scope="module")
def expected(folder):
    with predictor.Predictor(folder) as model:
        return model.predict(PAIRS)[1]


def write_pairs(path, text):
    path.write_bytes(text.encode("utf-8"))
    return str(path)


def run(arguments, words=()):
    return small_models.run_command(similarity, arguments, list(words))


def printed_rows(capsys):
    return [line.split("\t") for line in capsys.readouterr().out.split("\n")[:-1]]


def check_rows(rows, expected):
    assert [tuple(row[:2]) for row in rows] == PAIRS
    np.testing.assert_allclose([float(row[2]) for row in rows], expected[:, 1], atol=6e-5)


@pytest.mark.parametrize(
    "name, text, flags, problem",
    [
        (
            "a.jsonl",
            '{"text": "甲"}\n',
            [],
            "a.jsonl: a table .* save its column of texts as .txt$",
        ),
        ("a.txt", "甲\n", ["--ranking=lexical", "--search_weights=1,0,0"], "not for lexical"),
    ],
)
def test_searches_that_make_no_sense(folder, tmp_path, name, text, flags, problem):
    (tmp_path / name).write_text(text, encoding="utf-8")
    corpus = ["--model_dir=" + folder, "--corpus=%s" % (tmp_path / name), "--query=甲"]
    with pytest.raises(UserError, match=problem):
        run(corpus + flags)


def test_two_sentences(folder, expected, capsys):
    run(["--model_dir=" + folder], PAIRS[0])
    (row,) = printed_rows(capsys)
    assert row[:2] == list(PAIRS[0]) and abs(float(row[2]) - expected[0, 1]) < 6e-5


def test_pairs_of_a_file(folder, expected, capsys, tmp_path):
    """A byte-order mark, further columns and Windows line endings are accepted."""
    lines = ["%s\t%s\t1\r\n" % pair for pair in PAIRS]
    path = write_pairs(tmp_path / "pairs.tsv", "\ufeff" + "".join(lines))
    run(["--model_dir=" + folder, "--pairs=" + path])
    check_rows(printed_rows(capsys), expected)


def test_pairs_that_are_cut_are_counted(folder, capsys, tmp_path):
    """The limit of 48 tokens includes [CLS] and two [SEP]."""
    pairs = [("好" * 20, "天" * 25), ("好" * 20, "天" * 26), ("好", "天" * 90)]
    path = write_pairs(tmp_path / "pairs.tsv", "".join("%s\t%s\n" % pair for pair in pairs))
    run(["--model_dir=" + folder, "--pairs=" + path])
    note = "note: pairs of more than 48 tokens, which were truncated: %d\n"
    assert note % 2 in capsys.readouterr().err
    run(["--model_dir=" + folder], pairs[1])
    assert note % 1 in capsys.readouterr().err
    run(["--model_dir=" + folder], pairs[0])
    assert "were truncated" not in capsys.readouterr().err


@pytest.mark.parametrize("ending, header", [("tsv", ""), ("csv", "text_a,text_b\n")])
def test_pairs_with_an_empty_text_are_noted(folder, capsys, tmp_path, ending, header):
    separator = "," if header else "\t"
    rows = [separator.join(pair) for pair in (("今天", "天气"), ("今天", " "), ("", "天气"))]
    path = write_pairs(tmp_path / ("pairs." + ending), header + "\n".join(rows) + "\n")
    run(["--model_dir=" + folder, "--pairs=" + path])
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert "note: pairs with an empty text, whose similarity is meaningless: 2\n" in printed.err


def test_unknown_words_of_pairs_are_noted(folder, capsys, tmp_path):
    path = write_pairs(tmp_path / "pairs.tsv", "今天\t天气\n今天\t😀鑫鑫\n")
    run(["--model_dir=" + folder, "--pairs=" + path])
    note = (
        "note: %s: 33.3 %% of the word pieces are unknown to the vocabulary, most often 鑫, 😀: "
        "the model cannot tell them apart\n"
    )
    assert note % path in capsys.readouterr().err
    run(["--model_dir=" + folder], PAIRS[0])
    assert "unknown" not in capsys.readouterr().err


def test_unknown_words_of_a_search_are_noted(folder, capsys, tmp_path):
    encoder = small_models.write_embedding_model(tmp_path / "vectors")
    path = write_pairs(tmp_path / "faq.txt", "今天天气\n怎么办理\n")
    flags = ["--model_dir=" + folder, "--encoder_dir=" + encoder, "--corpus=" + path]
    run(flags + ["--query=鑫鑫"])
    notes = [line for line in capsys.readouterr().err.splitlines() if "unknown" in line]
    assert len(notes) == 1 and notes[0].startswith("note: --query: 100.0 % of the word pieces")


def test_a_search_of_several_queries_answers_each(folder, capsys, tmp_path):
    corpus = "--corpus=" + write_pairs(tmp_path / "faq.txt", "今天天气\n怎么办理\n")
    flags = ["--model_dir=" + folder, "--ranking=lexical", corpus, "--top_k=1"]
    run(flags + ["--query=怎么办", "--query=天气"])
    best = [(row[0], row[-1]) for row in printed_rows(capsys)]
    assert best == [("怎么办", "怎么办理"), ("天气", "今天天气")]
    with pytest.raises(UserError, match="--query is empty"):
        run(flags + ["--query=怎么办", "--query="])


def test_texts_of_a_search_that_are_cut_are_counted(folder, capsys, tmp_path):
    encoder = small_models.write_embedding_model(tmp_path / "vectors")  # reads at most 24 tokens
    lines = ["今天天气", "好" * 23, "天" * 40, "怎么办理"]
    path = write_pairs(tmp_path / "faq.txt", "\n".join(lines) + "\n")
    queries = write_pairs(tmp_path / "queries.txt", "天气\n%s\n%s\n" % ("好" * 30, "天" * 22))
    flags = ["--model_dir=" + folder, "--encoder_dir=" + encoder, "--queries=" + queries]
    run(flags + ["--corpus=" + path, "--candidates=4"])
    notes = [line for line in capsys.readouterr().err.splitlines() if "were truncated" in line]
    assert notes == [
        "note: texts of --corpus of more than 24 tokens, which were truncated: 2",
        "note: queries of more than 24 tokens, which were truncated: 1",
        "note: pairs of a query and a line of more than 48 tokens, which were truncated: 3",
    ]


@pytest.mark.slow
def test_a_pipe_is_answered_at_once(folder, expected):
    """A program may wait for the answer to each pair before it writes the next one."""
    command = [sys.executable, os.path.join(ROOT, "similarity.py"), "--model_dir=" + folder]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        rows = []
        for pair in PAIRS:
            process.stdin.write(("%s\t%s\n" % pair).encode("utf-8"))
            process.stdin.flush()
            rows.append(process.stdout.readline().decode("utf-8").rstrip("\n").split("\t"))
        process.stdin.close()
        errors = process.stderr.read().decode("utf-8")
    reading = "reading pairs from standard input: text_a<tab>text_b"
    note = "note: pairs with an empty text, whose similarity is meaningless: 1"
    assert process.returncode == 0
    assert errors.splitlines() == ["model: %s" % folder, reading, note]
    check_rows(rows, expected)


def start_on_a_terminal(*arguments):
    """Starts `python similarity.py ARGUMENT...`; returns its process id and terminal."""
    process, terminal = pty.fork()
    if process == 0:
        script = os.path.join(ROOT, "similarity.py")
        os.execv(sys.executable, [sys.executable, script, *arguments])
    return process, terminal


def test_without_arguments_the_originals_example_is_predicted(folder):
    process, terminal = start_on_a_terminal("--model_dir=" + folder)
    shown = b""
    with contextlib.suppress(OSError):  # reading at the end of a terminal raises an error
        while True:
            shown += os.read(terminal, 1 << 12)
    assert os.waitpid(process, 0)[1] == 0
    pair = ("我喜欢妈妈做的汤", "妈妈做的汤我很喜欢喝")
    with similarity.open_predictor(folder) as model:
        line = "%s\t%s\t%.4f" % (*pair, model.similarities([pair])[0])
    lines = shown.decode("utf-8").splitlines()
    assert line in lines and lines[-1].startswith("this was the example; ")


def test_conversation_on_a_terminal(folder, expected):
    process, terminal = start_on_a_terminal("--model_dir=" + folder, "--interactive")
    shown, num_answered = "", 0
    answers = ["今天天气\n", "明天天气\n", "\n"]
    decoder = codecs.getincrementaldecoder("utf-8")()
    with contextlib.suppress(OSError):  # reading at the end of a terminal raises an error
        while True:
            shown += decoder.decode(os.read(terminal, 1 << 12))
            if shown.count("句子一：") + shown.count("句子二：") > num_answered:
                os.write(terminal, answers[num_answered].encode("utf-8"))
                num_answered += 1
    assert os.waitpid(process, 0)[1] == 0
    assert "相似度：%.4f" % expected[0, 1] in shown


def test_conversation_over_a_pipe_when_asked_for(folder, expected, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("今天天气\n明天天气\n\n"))
    run(["--model_dir=" + folder, "--interactive"])
    assert "相似度：%.4f" % expected[0, 1] in capsys.readouterr().out


@pytest.mark.slow
def test_candidates_are_the_nearest_by_the_vectors_of_the_encoder(folder, tmp_path, capsys):
    """The classifier of `folder` ranks the candidates; the other model selects them."""
    other = small_models.write_model(tmp_path / "other", seed=2)
    lines = ["今天天气", "明天", "银行卡怎么办", "什么时候开门", "好", "吃饭吧我们"]
    path = write_pairs(tmp_path / "faq.txt", "\n".join(lines) + "\n")
    with text_encoder.TextEncoder(other) as encoder:
        query, *vectors = encoder.encode(["开门"] + lines, normalize=True)
    cosines = np.dot(vectors, query)
    with predictor.Predictor(folder) as model:
        probabilities = model.similarities([("开门", line) for line in lines])
    answers = []
    for candidates in (1, 3, 6):
        flags = ["--corpus=" + path, "--query=开门", "--top_k=1", "--candidates=%d" % candidates]
        flags.append("--search_weights=0,0.0000001,1")  # only the classifier determines the order
        run(["--model_dir=" + folder, "--encoder_dir=" + other] + flags)
        ((_, _, probability, cosine, _, text),) = printed_rows(capsys)
        best = max(np.argsort(-cosines)[:candidates], key=lambda number: probabilities[number])
        assert text == lines[best]
        answers.append(text)
        assert abs(float(probability) - probabilities[best]) < 6e-5
        assert abs(float(cosine) - cosines[best]) < 6e-5
    assert len(set(answers)) == 3


@pytest.mark.slow
def test_a_classifier_ranks_what_an_embedding_model_finds(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(package_files, "places_of_models", list)  # ignore existing *_output/best
    lines = ["机票怎么改签", "手机号怎么换绑", "信用卡怎么还款"]
    path = write_pairs(tmp_path / "faq.txt", "\n".join(lines) + "\n")
    flags = ["--model_dir=" + folder, "--corpus=" + path, "--query=怎么改绑手机"]
    bundled = package_files.EMBEDDING_MODEL
    with predictor.Predictor(folder) as model:
        probabilities = model.similarities([("怎么改绑手机", line) for line in lines])
    cosines = {}
    for model_of_vectors, further in ((bundled, []), (folder, ["--encoder_dir=" + folder])):
        with text_encoder.TextEncoder(model_of_vectors) as encoder:
            query, *vectors = encoder.encode(["怎么改绑手机"] + lines, normalize=True)
        run(flags + ["--ranking=classifier"] + further)
        printed = capsys.readouterr()
        for row in (line.split("\t") for line in printed.out.splitlines()):
            number = int(row[4]) - 1
            assert abs(float(row[2]) - probabilities[number]) < 6e-5
            assert abs(float(row[3]) - np.dot(vectors[number], query)) < 6e-5
        cosines[model_of_vectors] = np.dot(vectors, query)
        notes = [line for line in printed.err.splitlines() if "were not trained" in line]
        start = "vectors: %s, as those of %s were not trained" % (bundled, folder)
        assert len(notes) == (not further) and all(note.startswith(start) for note in notes)
    assert np.argmax(cosines[bundled]) == 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("a\tb\nc d\n", "pairs.tsv, line 2: expected text_a<tab>text_b"),
        ("a\tb\n\nc\td\n", "pairs.tsv, line 2: expected text_a<tab>text_b"),
    ],
)
def test_lines_that_are_no_pairs_are_told(folder, tmp_path, text, message):
    path = write_pairs(tmp_path / "pairs.tsv", text)
    with pytest.raises(UserError, match=message):
        run(["--model_dir=" + folder, "--pairs=" + path])


def test_lines_that_end_as_on_old_macs_are_told(tmp_path):
    path = tmp_path / "mac.txt"
    path.write_bytes("今天\t明天\r今天\t后天\r".encode())
    with pytest.raises(UserError, match="mac.txt: its lines end with CR only"):
        list(line_reader.groups_of_lines(str(path)))
    path.write_bytes("今天\t明天\r".encode())
    assert [[line for _, line in group] for group in line_reader.groups_of_lines(str(path))] == [
        ["今天\t明天"]
    ]


@pytest.mark.parametrize(
    "name, first, is_table",
    [
        ("a.csv", "text,label", True),
        ("a.csv", "只有一列", False),
        ("a.jsonl", '{"text": "今天"}', True),
        ("a.json", "[", True),
        ("a.txt", "今天,天气", False),
    ],
)
def test_tables_are_not_read_as_texts(tmp_path, name, first, is_table):
    path = tmp_path / name
    path.write_text(first + "\n今天,好\n", encoding="utf-8")
    if not is_table:
        (group,) = line_reader.groups_of_lines(str(path))
        assert [line for _, line in group] == [first, "今天,好"]
        return
    with pytest.raises(UserError, match=r"a table \(line 1: .*expected one text per line"):
        list(line_reader.groups_of_lines(str(path)))


def test_text_in_another_encoding_than_the_locale_is_told(folder, monkeypatch, tmp_path, capsys):
    """In a UTF-8 locale, Python decodes GBK of the command line or terminal to surrogates."""
    wrong = "今天".encode("gbk").decode("utf-8", "surrogateescape")
    remedy = r"make both UTF-8 \(export LANG=C.UTF-8\)"
    with pytest.raises(UserError, match=r"argument 2: character 1 is \\udcbd, .*" + remedy):
        run(["--model_dir=" + folder], ["今天", wrong])
    arguments = ["--model_dir=" + folder, "--corpus=" + write_pairs(tmp_path / "faq.txt", "今\n")]
    with pytest.raises(UserError, match="--query, text 1: character 1 is .*" + remedy):
        run(arguments + ["--query=" + wrong])
    typed = io.TextIOWrapper(io.BytesIO("今天\n".encode("gbk")), "utf-8", "surrogateescape")
    monkeypatch.setattr(sys, "stdin", typed)
    with pytest.raises(UserError, match="standard input: character 1 .*" + remedy):
        run(["--model_dir=" + folder, "--interactive"])
    typed = io.TextIOWrapper(io.BytesIO("今天\n".encode("gbk")), "utf-8", "strict")
    monkeypatch.setattr(sys, "stdin", typed)
    with pytest.raises(UserError, match="standard input: .*" + remedy):
        run(["--model_dir=" + folder, "--interactive"])
    assert wrong not in capsys.readouterr().out


def test_halves_of_characters_in_a_file_are_told(folder, tmp_path):
    """Codecs such as UTF-7 decode lone surrogates without an error."""
    path = write_pairs(tmp_path / "pairs.tsv", "a\tb\na\t+2AA-\n")
    with pytest.raises(UserError, match=r"pairs.tsv, line 2: character 3 is \\ud800"):
        run(["--model_dir=" + folder, "--pairs=" + path, "--encoding=utf-7"])


def test_lines_come_in_groups_with_their_places(tmp_path):
    path = write_pairs(tmp_path / "lines.txt", "\ufeffa\r\nb\u2028c\n\nlast")
    (group, rest) = line_reader.groups_of_lines(path)
    places = ["%s, line %d" % (path, number) for number in (1, 2, 3, 4)]
    assert group + rest == list(zip(places, ["a", "b\u2028c", "", "last"]))
    long = "天" * 30000  # a character crosses the end of a block
    path = write_pairs(tmp_path / "long.txt", "x" + long + "\n" + long + "\n")
    lines = [line for group in line_reader.groups_of_lines(path) for _, line in group]
    assert lines == ["x" + long, long]


def test_the_time_of_a_long_line_grows_with_its_length(monkeypatch, tmp_path):
    """The line has 16,000 blocks: copying all previous ones for each would take many seconds."""
    monkeypatch.setattr(line_reader, "BYTES_AT_ONCE", 256)
    path = write_pairs(tmp_path / "long.txt", "first\n" + "x" * (1 << 22) + "\r\nlast")
    begin = time.process_time()
    lines = [line for group in line_reader.groups_of_lines(path) for _, line in group]
    assert time.process_time() - begin < 3
    assert lines == ["first", "x" * (1 << 22), "last"]


def test_other_encodings_are_told_and_can_be_named(folder, expected, capsys, tmp_path):
    path = str(tmp_path / "pairs.tsv")
    text = "我们明天\t去银行办理\n" * 3
    with open(path, "wb") as handle:
        handle.write(text.encode("gbk"))
    with pytest.raises(UserError, match="pairs.tsv, line 1: the file is in GBK.*gb18030"):
        run(["--model_dir=" + folder, "--pairs=" + path])
    run(["--model_dir=" + folder, "--pairs=" + path, "--encoding=gb18030"])
    rows = printed_rows(capsys)
    assert [row[:2] for row in rows] == [["我们明天", "去银行办理"]] * 3
    with pytest.raises(UserError, match="no/file: cannot be read"):
        run(["--model_dir=" + folder, "--pairs=no/file"])


@pytest.mark.parametrize(
    "arguments, words, message",
    [
        ([], ["一句"], "expected two sentences, found 1"),
        ([], ["一", "二", "三"], "expected two sentences, found 3"),
        (["--pairs=x"], ["一", "二"], "two sentences and --pairs are mutually exclusive"),
        (["--corpus=x"], [], "--corpus needs either --query or --queries"),
        (["--query=x"], [], "--query needs --corpus"),
        (["--pairs=x", "--ranking=cosine"], [], "--ranking needs --corpus"),
        (["--top_k=5"], ["一", "二"], "--top_k needs --corpus"),
        (["--corpus=x", "--query= "], [], "--query is empty: expected a text"),
    ],
)
def test_flags_that_make_no_sense_together(folder, arguments, words, message):
    with pytest.raises(UserError, match=message):
        run(["--model_dir=" + folder] + arguments, words)


@pytest.fixture
def args_of(monkeypatch):
    def change(**values):
        for name, value in values.items():
            monkeypatch.setattr(args, name, value)

    return change


def test_the_old_interface(folder, expected, args_of, capsys):
    args_of(model_dir=folder, batch_size=3)
    sim = similarity.BertSim()
    sim.start_model()
    probabilities = sim.predict_sentences(PAIRS)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    check_rows(printed_rows(capsys), expected)
    assert sim.predict_sentences([]).shape == (0, 2)
    assert sim.model_in_use().max_seq_length == 48  # as in training, not albert_zh's 128
    sim.set_mode("infer")  # the value of tf.estimator.ModeKeys.PREDICT
    np.testing.assert_allclose(sim.predict(*PAIRS[0]), probabilities[:1], atol=1e-6)
    with pytest.raises(UserError, match="mode: 'train' is not for BertSim"):
        sim.set_mode("train")
    with pytest.raises(UserError, match="text 0 is None"):
        sim.predict_sentences([None])
    sim.close()


def test_pairs_for_an_estimator_of_the_old_interface(folder, args_of):
    """Tests the input function with which albert_zh's `BertSim` predicted, and its processor."""
    args_of(model_dir=folder, max_seq_len=12)
    examples = similarity.SimProcessor().get_sentence_examples(PAIRS)
    assert [(e.guid, e.text_a, e.text_b, e.label) for e in examples] == [
        ("test-%d" % number, *pair, "0") for number, pair in enumerate(PAIRS)
    ]
    assert similarity.SimProcessor().get_labels() == ["0", "1"]
    assert issubclass(similarity.SimProcessor, similarity.DataProcessor)
    sim = similarity.BertSim()
    with tf.Graph().as_default(), tf.Session() as session:
        dataset = similarity.input_fn_builder(sim, PAIRS)()
        batch = session.run(tf.data.make_one_shot_iterator(dataset).get_next())
    assert {name: array.shape for name, array in batch.items()} == {
        **dict.fromkeys(("input_ids", "input_mask", "segment_ids"), (len(PAIRS), 12)),
        "label_ids": (len(PAIRS),),
    }
    tokenizer = tokenization.FullTokenizer(os.path.join(folder, "vocab.txt"))
    for row, mask, pair in zip(batch["input_ids"], batch["input_mask"], PAIRS):
        ids = encoding.encode(tokenizer, *pair, 12)[0]
        assert row.tolist() == ids + [0] * (12 - len(ids)) and mask.sum() == len(ids)
    sim.close()


@pytest.mark.slow
def test_the_old_interface_asks_which_class_is_the_same(tmp_path, args_of, capsys):
    labels = ("duplicate", "not_duplicate")
    settings = {"columns": ["text_a", "text_b", "label"]}
    folder = small_models.write_model(tmp_path / "named", labels=labels, settings=settings)
    args_of(model_dir=folder)
    sim = similarity.BertSim()
    probabilities = sim.predict_sentences(PAIRS)
    with predictor.Predictor(folder) as model:
        np.testing.assert_allclose(probabilities[:, 1], model.similarities(PAIRS), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    sim.close()
    args_of(model_dir=small_models.write_model(tmp_path / "three", labels=("a", "b", "c")))
    with pytest.raises(UserError, match="has 3 classes"):
        similarity.BertSim().start_model()


@pytest.mark.slow
def test_the_names_of_args_are_read(folder, expected, args_of, tmp_path, capsys):
    """As in albert_zh, config, vocabulary and checkpoint are in different places."""
    apart = tmp_path / "trained"
    apart.mkdir()
    for name in os.listdir(folder):
        if name.startswith(("albert_model", "checkpoint", "label_map")):
            os.link(os.path.join(folder, name), str(apart / name))
    places = {
        "config_name": os.path.join(folder, "albert_config.json"),
        "vocab_file": os.path.join(folder, "vocab.txt"),
    }
    args_of(output_dir=str(apart), model_dir="not/there", max_seq_len=48, **places)
    run([], PAIRS[0])
    assert abs(float(printed_rows(capsys)[0][2]) - expected[0, 1]) < 6e-5
    (tmp_path / "faq.txt").write_text("今天\n明天\n", encoding="utf-8")
    run(["--corpus=%s" % (tmp_path / "faq.txt"), "--query=今天"])
    assert len(printed_rows(capsys)) == 2
    args_of(output_dir=None, model_dir=str(tmp_path / "without weights"), config_name=None)
    args_of(ckpt_name=str(apart / "albert_model.ckpt"), vocab_file=None)
    (tmp_path / "without weights").mkdir()
    for name in ("albert_config.json", "vocab.txt"):
        shutil.copy(os.path.join(folder, name), str(tmp_path / "without weights"))
    run([], PAIRS[0])
    assert abs(float(printed_rows(capsys)[0][2]) - expected[0, 1]) < 6e-5
    args_of(ckpt_name=None, model_dir="not/there")
    args_of(output_dir=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="args.py: there is no model at .*nowhere.*not/there"):
        run([], PAIRS[0])
    run(["--model_dir=" + folder], PAIRS[0])  # flags take precedence


def test_closed_standard_input_is_told(folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UserError, match="standard input is closed: name a file"):
        run(["--model_dir=" + folder])


def test_asks_where_python_has_no_readline(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "readline", None)
    monkeypatch.setattr(sys, "stdin", io.StringIO("今天\n明天\n\n"))
    with predictor.Predictor(folder) as model:
        similarity.talk(model)
        expected = model.similarities([("今天", "明天")])[0]
    assert "%.4f" % expected in capsys.readouterr().out


def test_a_model_of_topics_is_no_model_of_pairs(tmp_path):
    topics = small_models.write_model(tmp_path / "topics", labels=("体育", "财经", "娱乐"))
    with pytest.raises(UserError, match="has 3 classes"):
        run(["--model_dir=" + topics], PAIRS[0])


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.csv", '\ufefftext_a,text_b,label\r\n"今天,天气","好 天气",1\r\n今,天,0\r\n'),
        ("a.csv", 'id,label,句子一,句子二\n7,1,"今天,天气","好\n天气"\n8,0,今,天\n'),
        ("a.tsv", "label\ttext_a\ttext_b\n1\t今天,天气\t好 天气\n0\t今\t天\n"),
        (
            "a.jsonl",
            '{"text_a": "今天,天气", "text_b": "好\\t天气"}\n{"text_a": "今", "text_b": "天"}\n',
        ),
        ("a.csv", '"今天,天气",好 天气\n今,天\n'),
        ("a.csv", '"今天,天气",好 天气,1\n\n今,天,0\n\n'),
        ("a.tsv", "今天,天气\t好 天气\t第三列\n今\t天\n"),
    ],
)
def test_pairs_of_the_file_that_was_trained_on(folder, tmp_path, capsys, name, content):
    run(["--model_dir=" + folder, "--pairs=" + write_pairs(tmp_path / name, content)])
    shown = capsys.readouterr()
    rows = [line.split("\t") for line in shown.out.splitlines()]
    assert [row[:2] for row in rows] == [["今天,天气", "好 天气"], ["今", "天"]]
    note = name + ": 2 empty lines were skipped, such as line 2"
    assert (note in shown.err) == ("\n\n" in content)


def test_an_empty_file_of_pairs_is_named(folder, tmp_path):
    path = write_pairs(tmp_path / "a.tsv", "")
    with pytest.raises(UserError, match="a.tsv is empty: expected one text per line"):
        run(["--model_dir=" + folder, "--pairs=" + path])


def test_a_header_in_a_pipe_is_noted(folder, capsys, monkeypatch):
    lines = io.BytesIO("text_a\ttext_b\n今天\t明天\n".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(lines))
    run(["--model_dir=" + folder])
    shown = capsys.readouterr()
    assert "standard input, line 1 looks like a header (text_a | text_b)" in shown.err
    assert shown.out.count("\n") == 2


def test_pairs_in_columns_that_the_model_was_trained_with(tmp_path, capsys):
    folder = small_models.write_model(
        tmp_path / "model",
        settings={
            "task": "multiclass",
            "columns": ["label", "text_b", "text_a"],
            "header": ["同", "乙方", "甲方"],
            "chosen_columns": {"text_a": "甲方", "text_b": "乙方", "label": "同"},
        },
    )
    for name, content in (
        ("a.csv", "同,乙方,甲方\n1,天,今\n"),
        ("a.tsv", "乙方\t甲方\n天\t今\n"),
        ("a.csv", "text_a,text_b\n今,天\n"),
    ):
        run(["--model_dir=" + folder, "--pairs=" + write_pairs(tmp_path / name, content)])
        assert capsys.readouterr().out.startswith("今\t天\t"), content


def test_rows_that_are_no_pairs_are_told(folder, tmp_path):
    for content, message in (
        ("text_a,text_b\n今,天\n今\n", "a.csv, line 3: 1 column, expected 2"),
        ("text_a,label\n今,1\n", "a.csv"),
        ("", "a.csv has no pairs"),
    ):
        path = write_pairs(tmp_path / "a.csv", content)
        with pytest.raises(UserError, match=message):
            run(["--model_dir=" + folder, "--pairs=" + path])
