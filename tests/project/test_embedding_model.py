"""The bundled embedding model: its size, and its recall on the FAQ sample compared with TF-IDF."""

import os

import pytest

from albert_zh.commands import similarity
from albert_zh.common import package_files
from albert_zh.common.errors import UserError
from albert_zh.inference import model_choice, sentence_similarity
from albert_zh.inference.text_encoder import TextEncoder
from albert_zh.tasks.embedding import text_files
from albert_zh.tasks.embedding.scores import CharacterTfIdf, Measured, VectorSimilarity
import small_models
from workspace import ROOT

FOLDER = os.path.join(ROOT, "albert_starter_zh", "embedding")
FAQ = os.path.join(ROOT, "data", "faq_sample")


def test_it_is_small():
    sizes = [os.path.getsize(os.path.join(FOLDER, name)) for name in os.listdir(FOLDER)]
    assert sum(sizes) <= 3e6
    assert os.path.samefile(FOLDER, package_files.EMBEDDING_MODEL)


@pytest.mark.slow
@pytest.mark.reference
def test_it_finds_more_entries_of_the_faq_than_tf_idf_does():
    rows = text_files.read_split(os.path.join(FAQ, "test.tsv"), "test", "positives").examples
    entries = text_files.read_entries(os.path.join(FAQ, "faq.txt"))[0]
    rows += [text_files.EmbeddingExample("", text, "", None, is_entry=True) for text in entries]
    measured = Measured(rows, True)
    texts = measured.texts()
    with TextEncoder(FOLDER) as encoder:
        vectors = encoder.encode(texts)
    scores = measured.scores(VectorSimilarity(dict(zip(texts, vectors))))
    assert scores["recall_at_1"] > measured.scores(CharacterTfIdf(texts))["recall_at_1"] + 0.01


def test_a_search_without_any_model_takes_it(monkeypatch, tmp_path, capsys):
    def no_model(*_, **__):
        raise model_choice.NoModelError("found no fine-tuned model")

    monkeypatch.setattr(sentence_similarity, "model_of_args", no_model)
    monkeypatch.setattr(model_choice, "newest_best_folder", no_model)
    corpus = tmp_path / "faq.txt"
    corpus.write_text("怎么注销银行卡\n微信怎么换手机号\n火车票怎么改签\n", encoding="utf-8")
    arguments = ["--corpus=%s" % corpus, "--query=车票改签去哪里办", "--top_k=1"]
    small_models.run_command(similarity, arguments, [])
    assert capsys.readouterr().out.split("\t")[-1] == "火车票怎么改签\n"
    with pytest.raises(UserError, match="found no fine-tuned model"):
        small_models.run_command(similarity, arguments + ["--ranking=classifier"], [])
