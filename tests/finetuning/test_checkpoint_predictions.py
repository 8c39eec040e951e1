"""Predictions of a checkpoint for the rows of a file."""

from albert_zh.finetuning import checkpoint_predictions


def test_lines_of_a_folder_are_those_of_its_longest_file(tmp_path):
    """Regression: predicting a folder of sentences and tags, without training, was a traceback."""
    folder = tmp_path / "test"
    (folder / "further").mkdir(parents=True)
    (folder / "sentences.txt").write_text("甲 ，\n京 津 沪\n\n", encoding="utf-8")
    (folder / "tags.txt").write_text("O O\nB-loc I-loc I-loc", encoding="utf-8")
    assert checkpoint_predictions._num_lines(str(folder)) == 3
    assert checkpoint_predictions._num_lines(str(folder / "tags.txt")) == 2
