"""Tests of search in a corpus: saved vectors, nearest lines by cosine, ranking by pairs."""

import errno
import glob
import importlib.util
import io
import os
import pathlib
import re
import socket
import sys
import threading
import time
from unittest import mock

import numpy as np
import pytest

from albert_zh.commands import similarity
from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.inference import file_cache, predictor, text_encoder
from albert_zh.inference.retrieval import corpus_cache, lexical_index, search, vector_index
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values, model_writer
from crossed_cases import with_slow
import small_models
from workspace import CHARACTERS, ROOT

sys.path.append(os.path.join(ROOT, "benchmarks"))  # for the imports of benchmarks/search.py
SPECIFICATION = importlib.util.spec_from_file_location(
    "search_benchmark", os.path.join(ROOT, "benchmarks", "search.py")
)
benchmark = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(benchmark)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_models.write_model(tmp_path_factory.mktemp("models") / "pairs")


@pytest.fixture(scope="module")
def encoder(folder):
    with text_encoder.TextEncoder(folder) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def model(folder):
    with predictor.Predictor(folder) as loaded:
        yield loaded


@pytest.fixture
def faq(tmp_path):
    random = np.random.RandomState(3)
    lines = ["".join(random.choice(list(CHARACTERS), 8)) for _ in range(60)]
    lines[10] = ""
    path = tmp_path / "faq.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path), lines


class Counting:
    """An encoder that counts the texts it encodes."""

    def __init__(self, encoder):
        self._encoder, self.count = encoder, 0
        self.width, self.fingerprint_of = encoder.width, encoder.fingerprint_of
        self.tokenizer = encoder.tokenizer

    def encode(self, texts, **settings):
        self.count += len(texts)
        return self._encoder.encode(texts, **settings)


def test_lines_that_are_equal_by_wording_are_ranked_by_their_cosines(tmp_path, encoder):
    """The best lines do not depend on how many are requested."""
    path = str(tmp_path / "faq.txt")
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(
            "".join("一二三%s\n" % more for more in "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申")
        )
    corpus = search.Corpus(path, encoder)
    found = [
        [hit.text for hit in corpus.search(["一二三"], top_k=k, ranking="lexical")[0]]
        for k in (19, 5, 1)
    ]
    assert found[1] == found[0][:5] and found[2] == found[0][:1]


def test_a_line_finds_itself_and_all_its_similarities_are_1(faq, encoder):
    path, lines = faq
    corpus = search.Corpus(path, encoder)
    assert len(corpus.texts) == 59  # the blank line is not counted
    for ranking in ("mixed", "lexical", "cosine"):
        (hits,) = corpus.search([lines[20]], None, top_k=3, ranking=ranking)
        assert (hits[0].line, hits[0].text) == (21, lines[20]) and hits[0].probability is None
        np.testing.assert_allclose([hits[0].cosine, hits[0].lexical, hits[0].score], 1, atol=1e-5)
        assert 1 > hits[1].score >= hits[2].score
    assert hits[0].cosine > hits[1].cosine >= hits[2].cosine
    vectors = encoder.encode([lines[20], hits[1].text])
    cosine = np.dot(*vectors) / np.prod(np.linalg.norm(vectors, axis=1))
    assert abs(hits[1].cosine - cosine) < 1e-5


def test_a_corpus_that_is_replaced_after_reading_gets_its_own_vectors(faq, encoder, monkeypatch):
    path, lines = faq
    read = files.stream_lines

    def replaced(*args, **settings):
        yield from read(*args, **settings)
        with open(path, "w", encoding="utf-8") as handle:
            handle.write("\n".join(reversed(lines)) + "\n")

    with monkeypatch.context() as patch:
        patch.setattr(files, "stream_lines", replaced)
        assert search.Corpus(path, encoder).texts[0] == lines[0]
    corpus = search.Corpus(path, encoder)
    assert corpus.texts[0] == lines[-1]
    (hits,) = corpus.search([lines[-1]], None, top_k=1)
    assert (hits[0].line, hits[0].text) == (1, lines[-1])


def test_the_pair_classifier_puts_the_candidates_in_order(faq, encoder, model):
    path, lines = faq
    corpus = search.Corpus(path, encoder)
    queries = [lines[5], "今天天气"]
    settings = {"top_k": 4, "ranking": "classifier"}
    for query, hits in zip(queries, corpus.search(queries, model, candidates=59, **settings)):
        texts = [line for line in lines if line]
        probabilities = model.similarities([(query, text) for text in texts])
        best = sorted(zip(-probabilities, texts))[:4]
        np.testing.assert_allclose(
            [hit.probability for hit in hits], [-p for p, _ in best], atol=1e-5
        )
        assert hits[0].text == best[0][1]
        assert [hit.score for hit in hits] == [hit.probability for hit in hits]
    few = corpus.search(queries, model, candidates=4, **settings)
    first = corpus.search(queries, top_k=4)  # ranked without the classifier
    assert {hit.line for hit in few[0]} == {hit.line for hit in first[0]}


def test_cosines_of_lines_with_themselves_are_no_measure_of_likeness():
    angles = np.radians([0, 60, 90])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    expected = (np.cos(np.radians(60)) + 0 + np.cos(np.radians(30))) / 3
    assert search._cosine_of_any(vectors) == pytest.approx(expected)
    assert search._cosine_of_any(vectors[:1]) == 0


def test_reciprocal_ranks_are_fused(faq, encoder, model):
    path, lines = faq
    corpus = search.Corpus(path, encoder)
    settings = {"top_k": 59, "candidates": 59, "ranking": "reciprocal_rank"}
    for predictor_or_none in (None, model):
        (hits,) = corpus.search(["今天开门"], predictor_or_none, **settings)
        columns = [[hit.lexical for hit in hits], [hit.cosine for hit in hits]]
        if predictor_or_none:
            columns.append([hit.probability for hit in hits])
        expected = np.zeros(59)
        for column in np.array(columns):
            expected += 61 / (60.0 + 1 + (column[None] > column[:, None]).sum(axis=1))
        np.testing.assert_allclose([hit.score for hit in hits], expected / len(columns), atol=1e-6)
        assert (np.diff(expected) <= 1e-6).all()


def test_the_mixed_score_is_the_weighted_mean_of_what_a_hit_shows(faq, encoder, model):
    path, lines = faq
    corpus = search.Corpus(path, encoder)
    texts = [line for line in lines if line]
    vectors = encoder.encode(texts, normalize=True)
    usual = (vectors @ vectors.T)[~np.eye(len(texts), dtype=bool)].mean()  # of all pairs of lines
    for weights in ((5, 3, 2), (1, 0, 0), (0, 1, 0), (1, 1, 0)):
        (hits,) = corpus.search(["今天开门"], model, top_k=59, candidates=59, weights=weights)
        assert len(hits) == 59
        for hit in hits:
            gain = min(1, max(0, (hit.cosine - usual) / (1 - usual))) ** 2
            values = (hit.lexical, gain, hit.probability or 0)
            mean = sum(w * value for w, value in zip(weights, values)) / sum(weights)
            assert abs(hit.score - mean) < 1e-5
            assert (hit.probability is None) == (not weights[2])
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
    (hits,) = corpus.search(["今天开门"], None, top_k=59)
    (of_two,) = corpus.search(["今天开门"], model, top_k=59, weights=(0.8, 0.1, 0))
    assert [hit.score for hit in hits] == [hit.score for hit in of_two]


@pytest.fixture(scope="module")
def starter():
    with text_encoder.TextEncoder(os.path.join(ROOT, "albert_starter_zh")) as loaded:
        yield loaded


@pytest.mark.parametrize(
    "folder", with_slow(["pairs_hard_sample", "pairs_sample"], ["pairs_hard_sample"])
)
def test_the_mixed_ranking_finds_no_less_than_tf_idf(folder, starter, tmp_path):
    questions = benchmark.bundled_questions(folder)
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(questions.lines) + "\n", encoding="utf-8")
    hits = search.Corpus(str(path), starter).search(questions.queries, top_k=50)
    mixed = benchmark.recalls(benchmark.lines_of(hits), questions.answers)
    by_tf_idf = benchmark.recalls(benchmark.found_by_tf_idf(questions), questions.answers)
    assert len(questions.queries) > 500 and by_tf_idf[0] > 0.5
    assert all(ours >= theirs for ours, theirs in zip(mixed, by_tf_idf)), (mixed, by_tf_idf)


def test_a_character_in_common_is_no_answer(starter, tmp_path):
    path = tmp_path / "faq.txt"
    lines = ["退市股票怎么处理", "火车票怎么退"] + benchmark.bundled_questions("pairs_sample").lines
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (hits,) = search.Corpus(str(path), starter).search(["如何退票"], top_k=50)
    scores = {hit.text: hit.score for hit in hits}
    assert hits[0].text == "火车票怎么退" and scores["退市股票怎么处理"] < 0.5


def test_an_index_of_other_settings_is_made_again(faq, encoder, monkeypatch):
    path, lines = faq
    search.Corpus(path, encoder)
    with monkeypatch.context() as patch:
        patch.setattr(lexical_index, "PAIR_WEIGHT", 1.0)
        patch.setattr(lexical_index, "SETTINGS", "of another release")
        other = search.Corpus(path, encoder).search([lines[5]], top_k=9, ranking="lexical")
    again = search.Corpus(path, encoder).search([lines[5]], top_k=9, ranking="lexical")
    assert [hit.score for hit in other[0]] != [hit.score for hit in again[0]]
    assert len(cached(path, "lexical")) == 1


def cached(path, kind):
    """Returns the files of a kind in the cache of a corpus."""
    return glob.glob(os.path.join(glob.escape(path + ".vectors"), kind + "_*"))


@pytest.mark.parametrize(
    "weights",
    [(1, 2), (1, 2, 3, 4), (-1, 1, 1), (float("nan"), 1, 1), (0, 0, 1), ("a", 1, 1), (1e308,) * 3],
)
def test_weights_that_are_none_are_told(weights):
    with pytest.raises(UserError, match="search weights: "):
        search.checked_weights(weights)


def test_rankings_that_cannot_be(faq, encoder, folder):
    corpus = search.Corpus(faq[0], encoder)
    with pytest.raises(UserError, match="ranking: unknown 'best', expected one of"):
        corpus.search(["今天"], ranking="best")
    with pytest.raises(UserError, match="'classifier' needs a predictor"):
        corpus.search(["今天"], ranking="classifier")
    arguments = ["--model_dir=" + folder, "--corpus=" + faq[0], "--query=今天"]
    with pytest.raises(UserError, match="--search_weights=1,x,2: expected 3 numbers"):
        small_models.run_command(similarity, arguments + ["--search_weights=1,x,2"], [])


def test_wordings_are_found_that_no_vector_shows(tmp_path, encoder, model):
    """Vectors and probabilities of random weights mean nothing, so shared characters decide."""
    lines = ["如何退票", "退市股票怎么处理", "银行卡怎么开户", "今天天气好吗", "手机号码怎么注销"]
    path = tmp_path / "faq.txt"
    path.write_text("\n".join(lines * 3) + "\n", encoding="utf-8")
    corpus = search.Corpus(str(path), encoder)
    queries = ["我要退票", "银行开户", "ＡＢ今天气温", "注销手机"]
    found = [hits[0].text for hits in corpus.search(queries, model, candidates=5)]
    assert found == [lines[0], lines[2], lines[3], lines[4]]


def test_a_model_without_a_classifier_ranks_by_what_it_has(faq, tmp_path, capsys):
    folder = small_models.write_model(tmp_path / "pretrained")
    prefix = checkpoint_files.find_checkpoint(folder)
    weights = checkpoint_values.read_weights(prefix)
    kept = {name: w for name, w in weights.items() if not name.startswith("output_")}
    model_writer.write_model_checkpoint(folder, kept)
    arguments = ["--model_dir=" + folder, "--corpus=" + faq[0], "--query=" + faq[1][7]]
    small_models.run_command(similarity, arguments + ["--top_k=1"], [])
    shown = capsys.readouterr()
    assert shown.out == "%s\t1\t1.0000\t1.0000\t8\t%s\n" % (faq[1][7], faq[1][7])
    assert "pretrained has no classifier: lines are ranked without it" in shown.err
    with pytest.raises(UserError, match="contains no classifier"):
        small_models.run_command(similarity, arguments + ["--ranking=classifier"], [])


def _random_bytes(content, random):
    return bytes(random.randint(0, 256, len(content), dtype=np.uint8))


def _some_other_bytes(content, random):
    changed = bytearray(content)
    changed[random.randint(len(changed))] ^= 1 << random.randint(8)
    return bytes(changed)


DAMAGES = {
    "empty": lambda content, random: b"",
    "cut off": lambda content, random: content[: random.randint(len(content))],
    "longer": lambda content, random: content + b"x",
    "random": _random_bytes,
    "another bit": _some_other_bytes,
    "JSON of another form": lambda content, random: b"[1, {}]",
    "nested JSON": lambda content, random: b"[" * 100000,
    "no files": lambda content, random: b'{"fingerprint": 3, "files": {"vectors.npy": "x"}}',
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
@pytest.mark.parametrize(
    "name", ["vectors_*", "ids_*", "lexical_*", "words_ids_*", "fingerprint.json"]
)
def test_a_damaged_cache_is_made_again(name, damage, faq, encoder, capsys):
    path, lines = faq
    random = np.random.RandomState(4)
    expected = search.Corpus(path, encoder).search(lines[:3], None, top_k=4)
    (damaged,) = glob.glob(os.path.join(glob.escape(path + ".vectors"), name))
    with open(damaged, "rb") as handle:
        content = handle.read()
    for _ in range(3):
        with open(damaged, "wb") as handle:
            handle.write(DAMAGES[damage](content, random))
        found = search.Corpus(path, encoder).search(lines[:3], None, top_k=4)
        assert found == expected
        notes = capsys.readouterr().err.splitlines()
        assert notes and all(re.match("note: .*: rebuilding it$", note) for note in notes)
        assert len(set(notes)) == len(notes)
    search.Corpus(path, encoder)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "vectors",
    [
        np.full([59, 16], np.nan, np.float32),
        np.zeros([58, 16], np.float32),
        np.zeros([59, 16], np.float64),
        np.zeros([59], np.float32),
        np.array([None] * 59),
    ],
)
def test_vectors_of_someone_else_are_made_again(vectors, faq, encoder, capsys):
    path, lines = faq
    expected = search.Corpus(path, encoder).search(lines[:3], None, top_k=4)
    np.save(cached(path, "vectors")[0], vectors)
    assert search.Corpus(path, encoder).search(lines[:3], None, top_k=4) == expected
    assert ".npy is damaged: rebuilding it" in capsys.readouterr().err


def test_a_folder_in_the_place_of_a_file_is_told(faq, encoder):
    search.Corpus(faq[0], encoder)
    (vectors,) = cached(faq[0], "vectors")
    os.remove(vectors)
    os.mkdir(vectors)
    with pytest.raises(UserError, match=".npy: expected a file to write, found a folder"):
        search.Corpus(faq[0], encoder)


def test_a_model_of_nans_is_told(faq, encoder):
    class Broken(Counting):
        def encode(self, texts, **settings):
            return np.full_like(super().encode(texts, **settings), np.nan)

    with pytest.raises(UserError, match="the model's vectors are NaN"):
        search.Corpus(faq[0], Broken(encoder))


def test_a_damaged_index_is_made_again(faq, encoder, monkeypatch, capsys):
    pytest.importorskip("faiss")

    def search_once():
        corpus = search.Corpus(faq[0], encoder, storage="int8")
        assert corpus.search([faq[1][3]], top_k=1)[0][0].line == 4

    build = mock.Mock(wraps=vector_index.VectorIndex.build)
    monkeypatch.setattr(vector_index.VectorIndex, "build", build)
    search_once()
    search_once()
    assert build.call_count == 1 and capsys.readouterr().err == ""
    (path,) = glob.glob(os.path.join(glob.escape(faq[0] + ".vectors"), "index_*_int8.faiss"))
    with open(path, "wb") as handle:
        handle.write(b"another")
    search_once()
    assert build.call_count == 2 and "faiss is damaged: rebuilding it" in capsys.readouterr().err


def test_vectors_are_computed_once(faq, encoder, folder, capsys):
    path, lines = faq
    counting = Counting(encoder)
    search.Corpus(path, counting)
    assert counting.count == 59
    again = search.Corpus(path, counting)
    assert counting.count == 59 and capsys.readouterr().err == ""
    assert again.search([lines[3]], None, top_k=1)[0][0].line == 4

    # Without a fingerprint, as after an early stop, all vectors are computed again.
    os.remove(os.path.join(path + ".vectors", "fingerprint.json"))
    search.Corpus(path, counting)
    assert counting.count == 2 * 59 + 1
    with text_encoder.TextEncoder(folder, pooling="max") as other:
        search.Corpus(path, other)
    assert (
        "belongs to another model, or to the same model with other settings: rebuilding it"
        in capsys.readouterr().err
    )


def test_a_file_in_a_folder_that_can_only_be_read_is_searched(
    faq, encoder, tmp_path_factory, monkeypatch, capsys
):
    path, lines = faq
    scratch = str(tmp_path_factory.mktemp("scratch"))
    parent = os.path.dirname(os.path.abspath(path))
    writable = os.access
    monkeypatch.setattr(os, "access", lambda place, mode: place != parent and writable(place, mode))
    monkeypatch.setenv("ALBERT_ZH_SCRATCH", scratch)
    before = sorted(os.listdir(parent))
    counting = Counting(encoder)
    for _ in range(2):
        corpus = search.Corpus(path, counting)
        assert corpus.search([lines[3]], top_k=1)[0][0].line == 4
        expected = "note: %s is read-only: vectors are saved in %s\n" % (parent, corpus.folder)
        assert capsys.readouterr().err == expected
    assert counting.count == 59 + 2 and sorted(os.listdir(parent)) == before
    assert corpus.folder.startswith(scratch)


def test_vectors_in_a_folder_that_can_only_be_read_are_used_and_added_to_elsewhere(
    faq, encoder, tmp_path_factory, monkeypatch
):
    path, lines = faq
    counting = Counting(encoder)
    kept = search.Corpus(path, counting).folder
    before = sorted(os.listdir(kept))
    with open(path, "a", encoding="utf-8") as handle:
        handle.write("新的一行\n")
    writable = os.access
    monkeypatch.setattr(os, "access", lambda place, mode: place != kept and writable(place, mode))
    monkeypatch.setenv("ALBERT_ZH_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
    for _ in range(2):
        corpus = search.Corpus(path, counting)
        assert corpus.folder != kept and corpus.texts[-1] == "新的一行"
        assert counting.count == 59 + 1 and sorted(os.listdir(kept)) == before


def test_vectors_in_a_folder_that_can_only_be_read_are_made_elsewhere_for_another_model(
    faq, folder, encoder, tmp_path_factory, monkeypatch
):
    path, lines = faq
    kept = pathlib.Path(search.Corpus(path, encoder).folder)
    before = {file.name: file.read_bytes() for file in kept.iterdir()}
    writable = os.access
    monkeypatch.setattr(
        os, "access", lambda place, mode: place != str(kept) and writable(place, mode)
    )
    monkeypatch.setenv("ALBERT_ZH_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
    with text_encoder.TextEncoder(folder, pooling="max") as other:
        corpus = search.Corpus(path, other)
        np.testing.assert_allclose(
            corpus._contents.cache.vectors, other.encode(corpus.entries, normalize=True), atol=1e-5
        )
    made = pathlib.Path(corpus.folder)
    assert made != kept and sorted(file.name for file in made.iterdir()) == sorted(before)
    assert not any(file.is_symlink() for file in made.iterdir())
    assert {file.name: file.read_bytes() for file in kept.iterdir()} == before


def test_two_first_starts_at_once_link_one_after_another(tmp_path, monkeypatch):
    kept, made = tmp_path / "kept", tmp_path / "made"
    kept.mkdir()
    for name in ("fingerprint.json", "ids_1.npy", "vectors_1.npy"):
        (kept / name).write_text("{}")
    link, ends = os.symlink, []

    def slow_link(source, target):
        time.sleep(0.05)
        link(source, target)

    def start():
        file_cache.link_files(str(kept), str(made))
        ends.append(sorted(os.listdir(made)))

    monkeypatch.setattr(os, "symlink", slow_link)
    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [["fingerprint.json", "ids_1.npy", "vectors_1.npy"]] * 2


class Stopped(Counting):
    """Encodes 40 texts and is then interrupted."""

    def encode(self, texts, **settings):
        if self.count == 40:
            raise KeyboardInterrupt
        return super().encode(texts, **settings)


def test_a_stopped_encoding_goes_on_behind_its_finished_blocks(faq, encoder, monkeypatch):
    path, lines = faq
    monkeypatch.setattr(corpus_cache, "LINES_AT_ONCE", 20)
    with pytest.raises(KeyboardInterrupt):
        search.Corpus(path, Stopped(encoder))
    counting = Counting(encoder)
    corpus = search.Corpus(path, counting)
    assert counting.count == 59 - 40
    assert not [name for name in os.listdir(corpus.folder) if "block" in name or "partial" in name]
    expected = encoder.encode(corpus.entries, normalize=True)
    np.testing.assert_allclose(corpus._contents.cache.vectors, expected, atol=1e-5)


def _saved(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


@pytest.mark.parametrize(
    "damaged",
    [
        lambda content: b"",
        lambda content: content[:50],
        lambda content: content[:-1],
        lambda content: b"PK" + content,
        lambda content: _saved(np.zeros([20, 15], np.float32)),
        lambda content: _saved(np.full([20, 16], np.nan, np.float32)),
        lambda content: _saved(np.array([None] * 20)),
    ],
)
def test_a_damaged_block_is_made_again(damaged, faq, encoder, monkeypatch, capsys):
    path, _ = faq
    monkeypatch.setattr(corpus_cache, "LINES_AT_ONCE", 20)
    with pytest.raises(KeyboardInterrupt):
        search.Corpus(path, Stopped(encoder))
    block = sorted(glob.glob(os.path.join(glob.escape(path + ".vectors"), "block_*")))[0]
    with open(block, "rb+") as file:
        content = file.read()
        file.seek(0)
        file.truncate()
        file.write(damaged(content))
    counting = Counting(encoder)
    corpus = search.Corpus(path, counting)
    assert counting.count == 59 - 20
    assert "note: %s is damaged: rebuilding it\n" % block in capsys.readouterr().err
    expected = encoder.encode(corpus.entries, normalize=True)
    np.testing.assert_allclose(corpus._contents.cache.vectors, expected, atol=1e-5)


def test_a_full_disk_is_named_before_anything_is_written_through_memory(faq, encoder, monkeypatch):
    """Without reserving space, writing to mapped memory would end the process by a signal."""

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(UserError, match="vectors_.*cannot be written .No space left on device"):
        search.Corpus(faq[0], encoder)
    assert not glob.glob(faq[0] + ".vectors/vectors_*")


def test_an_index_that_cannot_be_written_is_one_line(faq, encoder, tmp_path):
    pytest.importorskip("faiss", reason="needs requirements-extra.txt")
    index = vector_index.VectorIndex.build(
        np.eye(8, dtype=np.float32), np.arange(8, dtype=np.int64), "float32"
    )
    with pytest.raises(OSError, match="^No such file or directory$"):
        index.save(str(tmp_path / "nowhere" / "index"))
    (tmp_path / "damaged").write_bytes(b"x")
    with pytest.raises(UserError, match="damaged: cannot be read: "):
        vector_index.VectorIndex.load(str(tmp_path / "damaged"), "float32")


def test_queries_are_compared_without_blanks_around_them(faq, encoder):
    corpus = search.Corpus(faq[0], encoder)
    plain, padded = corpus.search([faq[1][3], " %s\t" % faq[1][3]], top_k=3)
    assert [hit.line for hit in padded] == [hit.line for hit in plain]
    scores = [[hit.score for hit in hits] for hits in (padded, plain)]
    np.testing.assert_allclose(*scores, atol=1e-6)
    with pytest.raises(UserError, match="text 1 is empty, expected a query"):
        corpus.search(["今天", " "])


def test_letters_of_full_width_are_those_of_half_width(tmp_path, encoder, model, capsys):
    path = tmp_path / "lines.txt"
    path.write_text("办理a卡\n办理b卡\n办理１卡\nａ\n", encoding="utf-8")
    corpus = search.Corpus(str(path), encoder)
    pairs = [("办理ａ卡", "办理a卡"), ("办理1卡", "办理１卡"), ("Ａ", "ａ")]
    for ranking in ("cosine", "lexical", "mixed"):
        for query, line in pairs:
            (hit,) = corpus.search([query], model, top_k=1, ranking=ranking)[0]
            similarities = (round(hit.cosine, 4), round(hit.lexical, 4))
            assert (hit.text, similarities) == (line, (1, 1))
            if ranking == "mixed":
                half = "办理1卡" if line == "办理１卡" else line.replace("ａ", "a")
                expected = model.similarities([(half, half)])[0]
                assert hit.probability == pytest.approx(expected, abs=1e-4)
    assert "note:" not in capsys.readouterr().err


def test_vectors_of_versions_that_read_full_width_letters_are_made_again(
    tmp_path, encoder, monkeypatch
):
    path = tmp_path / "lines.txt"
    path.write_text("办理a卡\n办理ａ卡\n", encoding="utf-8")
    with monkeypatch.context() as former:
        former.setattr(corpus_cache, "as_read", str)
        search.Corpus(str(path), encoder)
    counting = Counting(encoder)
    corpus = search.Corpus(str(path), counting)
    assert counting.count == 1
    first, second = corpus._contents.cache.vectors
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_queries_of_unknown_characters_are_like_no_vector(tmp_path, encoder, capsys):
    path = tmp_path / "faq.txt"
    path.write_text("😀\n今天天气\n", encoding="utf-8")
    corpus = search.Corpus(str(path), encoder)
    hits = corpus.search(["ไทย"], ranking="cosine")[0]
    assert [hit.cosine for hit in hits] == [0, 0]
    assert "the vocabulary has no piece of" in capsys.readouterr().err
    assert corpus.search(["今天"])[0][0].text == "今天天气" and not capsys.readouterr().err


def test_a_table_in_place_of_a_corpus_is_noted(tmp_path, encoder, capsys):
    path = tmp_path / "faq.txt"
    path.write_text("问\t答\n怎么开户\t去柜台\n别的\n", encoding="utf-8")
    search.Corpus(str(path), encoder)
    assert "faq.txt: 2 of 3 lines have tabs" in capsys.readouterr().err


def test_of_a_changed_file_only_new_lines_are_encoded(faq, encoder, monkeypatch, capsys):
    path, lines = faq
    counting = Counting(encoder)
    corpus = search.Corpus(path, counting)
    assert not corpus.refresh()
    changed = ["新的一行", lines[3]] + lines[:30] + ["又一行"]
    with open(path, "w", encoding="utf-8") as handle:
        handle.write("\n".join(changed) + "\n")
    assert corpus.search([lines[3]], top_k=1)[0][0].line == 4  # the change is not read yet
    assert corpus.refresh() and not corpus.refresh()
    assert counting.count == 59 + 1 + 2
    fresh = search.Corpus(path, encoder, cache_dir=path + ".other")
    for query in (lines[3], "新的一行", lines[40]):
        found, expected = corpus.search([query], top_k=9), fresh.search([query], top_k=9)
        assert [hit.line for hit in found[0]] == [hit.line for hit in expected[0]]
        np.testing.assert_allclose(found[0][0].cosine, expected[0][0].cosine, atol=1e-5)
    assert [hit.line for hit in corpus.search([lines[3]], top_k=2)[0]] == [2, 6]
    assert sorted(os.listdir(path + ".vectors")) == sorted(
        ["fingerprint.json"]
        + [
            os.path.basename(cached(path, kind)[0])
            for kind in ("ids", "lexical", "vectors", "words")
        ]
    )
    os.remove(path)
    with pytest.raises(UserError, match="cannot be read"):
        corpus.refresh()
    assert corpus.search([lines[3]], top_k=1)[0][0].line == 2
    assert capsys.readouterr().err == ""


def test_a_process_killed_while_a_change_is_encoded_loses_no_vectors(faq, encoder):
    path, lines = faq
    search.Corpus(path, encoder)
    with open(path, "a", encoding="utf-8") as handle:
        handle.write("新的一行\n")

    class Killed(Counting):
        def encode(self, texts, **settings):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.Corpus(path, Killed(encoder))
    counting = Counting(encoder)
    assert search.Corpus(path, counting).texts[-1] == "新的一行" and counting.count == 1


def test_what_a_killed_process_wrote_of_another_state_is_removed(faq, encoder):
    path, _ = faq
    folder = search.Corpus(path, encoder).folder
    partial = os.path.join(folder, "vectors_0123456789ab.npy.partial-%s-")
    host = socket.gethostname()
    kept = [partial % host + str(os.getpid())]  # of a running process, and of other machines
    kept += [partial % other + "9999999" for other in ("elsewhere", host + "-a")]
    for name in kept + [partial % host + "9999999"]:
        with open(name, "wb") as handle:
            handle.write(b"x")
    search.Corpus(path, encoder)
    assert sorted(glob.glob(glob.escape(folder) + "/*.partial-*")) == sorted(kept)


@pytest.mark.parametrize("num_written", [0, 1, 2, 3, 4, 5])
def test_a_process_killed_while_a_change_is_noted_loses_no_vectors(
    num_written, faq, encoder, monkeypatch
):
    """The result does not depend on how many times the manifest was written before."""
    path, _ = faq
    search.Corpus(path, encoder)
    with open(path, "a", encoding="utf-8") as handle:
        handle.write("新的一行\n")
    write, left = file_cache.FileCache._write_manifest, list(range(num_written))

    def killed(cache):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        write(cache)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(file_cache.FileCache, "_write_manifest", killed)
        search.Corpus(path, encoder)
    counting = Counting(encoder)
    build = mock.Mock(wraps=lexical_index.LexicalIndex.build)
    monkeypatch.setattr(lexical_index.LexicalIndex, "build", build)
    assert search.Corpus(path, counting).texts[-1] == "新的一行" and counting.count <= 1
    assert not build.called  # the index was updated


def test_two_at_once_make_the_vectors_one_after_another(faq, encoder, capsys):
    path, lines = faq

    class Slow(Counting):
        def encode(self, texts, **settings):
            time.sleep(0.5)
            return super().encode(texts, **settings)

    slow = Slow(encoder)
    first = threading.Thread(target=search.Corpus, args=(path, slow))
    first.start()
    while first.is_alive() and not os.path.exists(path + ".vectors"):
        time.sleep(0.01)
    search.Corpus(path, slow)
    first.join()
    assert slow.count == 59
    expected = "another process is using %s: waiting for it\n" % (path + ".vectors")
    assert expected in capsys.readouterr().err


def test_a_folder_for_the_vectors_keeps_what_else_lies_there(faq, encoder, tmp_path):
    folder = tmp_path / "cache"
    (folder / "own").mkdir(parents=True)
    (folder / "precious.txt").write_text("x")
    search.Corpus(faq[0], encoder, cache_dir=str(folder))
    for kept in folder.glob("vectors_*"):
        kept.unlink()
    again = search.Corpus(faq[0], encoder, cache_dir=str(folder))
    assert len(again.search(iter(faq[1][:2]), None, top_k=1)) == 2
    left = sorted(os.listdir(str(folder)))
    assert [name.split("_")[0] for name in left] == [
        "fingerprint.json",
        "ids",
        "lexical",
        "own",
        "precious.txt",
        "vectors",
        "words",
    ]


def test_lines_that_stand_there_many_times_hide_no_others(tmp_path, encoder, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(search, "APPROXIMATE_FROM", 10)
    characters = "今天气很好我们去吃饭吧明再说"
    texts = [a + b for a in characters for b in characters][:100]
    path = tmp_path / "repeated.txt"
    path.write_text("\n".join(texts[:20] * 60 + texts), encoding="utf-8")
    corpus = search.Corpus(str(path), encoder)
    vectors = encoder.encode(corpus.texts, normalize=True)
    for text in texts[::9]:
        hits = corpus.search([text], None, top_k=70, ranking="cosine")[0]
        exact = np.sort(vectors @ encoder.encode([text], normalize=True)[0])[::-1][:70]
        np.testing.assert_allclose([hit.cosine for hit in hits], exact, atol=1e-5)
        assert len({hit.line for hit in hits}) == 70


def test_a_query_for_which_the_index_finds_too_little_is_compared_with_all(
    faq, encoder, monkeypatch
):
    pytest.importorskip("faiss")
    exact = search.Corpus(faq[0], encoder).search(["今天"], top_k=9, ranking="cosine")
    nothing = mock.Mock(side_effect=lambda queries, k: np.full([len(queries), k], -1))
    monkeypatch.setattr(vector_index.VectorIndex, "nearest", nothing)
    corpus = search.Corpus(faq[0], encoder, storage="int8")
    assert corpus.search(["今天"], top_k=9, ranking="cosine") == exact


@pytest.mark.parametrize("storage", ["int8", "binary"])
def test_quantized_vectors_are_rescored(storage, faq, encoder):
    pytest.importorskip("faiss")
    path, lines = faq
    exact = search.Corpus(path, encoder).search(lines[:9], top_k=2, ranking="cosine")
    corpus = search.Corpus(path, encoder, storage=storage)
    found = corpus.search(lines[:9], top_k=2, ranking="cosine")
    assert [hits[0] for hits in found] == [hits[0] for hits in exact]
    with open(path, "a", encoding="utf-8") as handle:
        handle.write("又一行\n")
    with mock.patch.object(vector_index.VectorIndex, "build") as build:
        assert corpus.refresh() and corpus.search(["又一行"], top_k=1)[0][0].line == 61
    assert not build.called  # the index was updated


def test_an_index_of_a_corpus_that_grew_in_many_steps_is_built_again(tmp_path, encoder):
    """Otherwise, clusters and ranges would always be those of the first lines."""
    pytest.importorskip("faiss")
    path, num_built = str(tmp_path / "faq.txt"), []
    for count in (8, 10, 12, 14, 16, 18):
        with open(path, "w", encoding="utf-8") as handle:
            handle.write("".join("第%d行\n" % number for number in range(count)))
        build = mock.Mock(wraps=vector_index.VectorIndex.build)
        with mock.patch.object(vector_index.VectorIndex, "build", build):
            search.Corpus(path, encoder, storage="int8").search(["第3行"], top_k=1)
        num_built += [count] * build.call_count
    assert num_built == [8, 14]  # 12 lines are 1.5 times 8, 14 are more


def test_storages_that_cannot_be(faq, encoder, monkeypatch):
    with pytest.raises(UserError, match="storage: unknown 'int4', expected one of"):
        search.Corpus(faq[0], encoder, storage="int4")
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match="need faiss .*requirements-extra.txt"):
        search.Corpus(faq[0], encoder, storage="int8")


def test_many_queries_are_searched_by_groups(faq, encoder, monkeypatch):
    path, lines = faq
    monkeypatch.setattr(search, "QUERIES_AT_ONCE", 2)
    hits = search.Corpus(path, encoder).search(lines[:5], None, top_k=1)
    assert [hit.text for (hit,) in hits] == lines[:5]


def test_command(faq, folder, model, capsys, tmp_path):
    path, lines = faq
    arguments = ["--model_dir=" + folder, "--encoder_dir=" + folder, "--corpus=" + path]
    small_models.run_command(similarity, arguments + ["--query=今天", "--top_k=2"], [])
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows] == [["今天", "1"], ["今天", "2"]]
    assert rows[0][2] >= rows[1][2]
    with text_encoder.TextEncoder(folder) as encoder:
        expected = search.Corpus(path, encoder).search(["今天"], model, top_k=2)[0]
    for row, hit in zip(rows, expected):
        assert lines[int(row[4]) - 1] == row[5] == hit.text
        np.testing.assert_allclose(
            [float(row[2]), float(row[3])], [hit.score, hit.cosine], atol=6e-5
        )
    by_classifier = ["--query=今天", "--ranking=classifier", "--top_k=59"]
    small_models.run_command(similarity, arguments + by_classifier, [])
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    probabilities = model.similarities([("今天", row[5]) for row in rows])
    np.testing.assert_allclose([float(row[2]) for row in rows], probabilities, atol=6e-5)
    assert (np.diff(probabilities) <= 1e-6).all() and len(rows) == 59
    queries = tmp_path / "queries.txt"
    queries.write_text("今天\n \n明天吃饭\n\n", encoding="utf-8")
    small_models.run_command(similarity, arguments + ["--queries=%s" % queries, "--top_k=3"], [])
    shown = capsys.readouterr()
    asked = [line.split("\t")[0] for line in shown.out.splitlines()]
    assert asked == ["今天"] * 3 + ["明天吃饭"] * 3
    assert "note: skipped 2 empty lines of --queries" in shown.err


def test_bad_corpora(folder, encoder, tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        search.Corpus(str(tmp_path / "none.txt"), encoder)
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(UserError, match="empty.txt has no text"):
        search.Corpus(str(tmp_path / "empty.txt"), encoder)
