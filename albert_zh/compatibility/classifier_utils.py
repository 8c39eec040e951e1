"""albert_zh's `classifier_utils`: examples, and a class per data set of `tasks.datasets`.

    examples = LCQMCPairClassificationProcessor().get_train_examples("chineseGLUEdatasets/lcqmc")

To add your own data set, subclass `DataProcessor`, which has methods that read files.
"""

import csv
import json
from typing import List

from albert_zh.common import files
from albert_zh.compatibility.classifier_examples import InputExample, PaddingInputExample
from albert_zh.tasks import datasets, reader
from albert_zh.text.tokenization import convert_to_unicode

__all__ = [
    "AFQMCProcessor",
    "CMNLIProcessor",
    "COPAProcessor",
    "ColaProcessor",
    "CslProcessor",
    "DataProcessor",
    "InputExample",
    "LCQMCPairClassificationProcessor",
    "MnliProcessor",
    "MrpcProcessor",
    "PaddingInputExample",
    "SentencePairClassificationProcessor",
    "TnewsProcessor",
    "WSCProcessor",
    "XnliProcessor",
    "convert_to_unicode",
    "iFLYTEKDataProcessor",
]


class DataProcessor:
    """Reads the examples and labels of a data set."""

    def get_train_examples(self, data_dir: str) -> List[InputExample]:
        """Examples for training."""
        raise NotImplementedError()

    def get_dev_examples(self, data_dir: str) -> List[InputExample]:
        """Examples for evaluation."""
        raise NotImplementedError()

    def get_test_examples(self, data_dir: str) -> List[InputExample]:
        """Examples for prediction."""
        raise NotImplementedError()

    def get_labels(self) -> List[str]:
        """All labels, starting with class 0."""
        raise NotImplementedError()

    @classmethod
    def _read_tsv(cls, input_file, delimiter="\t", quotechar=None):
        """The rows of a delimited file as lists of str; without `quotechar`, quotes are text."""
        quoting = csv.QUOTE_NONE if quotechar is None else csv.QUOTE_MINIMAL
        lines = files.read_lines(input_file)
        return list(csv.reader(lines, delimiter=delimiter, quotechar=quotechar, quoting=quoting))

    @classmethod
    def _read_txt(cls, input_file):
        """The rows of a file with cells separated by `_!_`, each a list of str."""
        return [line.strip().split("_!_") for line in files.read_lines(input_file)]

    @classmethod
    def _read_json(cls, input_file):
        """The values of a file of JSON lines."""
        return [json.loads(line) for line in files.read_lines(input_file) if line.strip()]


class _TaskProcessor(DataProcessor):
    """A data set of the table of tasks.

    Attributes:
        task_name: key of `datasets.TASKS`.
        first_number: number of the first example; 1 if the original also counts a header row.
        counts_all_lines: whether examples are numbered by lines, including skipped ones.
        label_of_test: label of examples in an unlabelled file; None: class 0.
    """

    task_name = None
    first_number = 0
    counts_all_lines = False
    label_of_test = None

    def get_train_examples(self, data_dir):
        """Examples of the training file; raises `UserError` for a malformed file."""
        return self._examples(data_dir, "train")

    def get_dev_examples(self, data_dir):
        """Examples of the dev file; raises `UserError` for a malformed file."""
        return self._examples(data_dir, "dev")

    def get_test_examples(self, data_dir):
        """Examples of the test file; without labels, all have the original's default label."""
        return self._examples(data_dir, "test")

    def get_labels(self):
        """All labels, starting with class 0."""
        return list(datasets.get_task(self.task_name).labels)

    def _examples(self, data_dir, name):
        split = reader.read_split(datasets.get_task(self.task_name), data_dir, name)
        label = self.label_of_test or self.get_labels()[0]
        examples = [
            InputExample("%s-%d" % (name, index), e.text_a, e.text_b, e.label or label)
            for index, e in enumerate(split.examples, start=self.first_number)
        ]
        if self.counts_all_lines:
            for example, read in zip(examples, split.examples):
                example.guid = read.guid
        return examples


class LCQMCPairClassificationProcessor(_TaskProcessor):
    """LCQMC: train.txt, dev.txt, test.txt."""

    task_name = "lcqmc"
    first_number = 1


class SentencePairClassificationProcessor(_TaskProcessor):
    """Pairs: train_0827.tsv, dev_0827.tsv, test_0827.tsv."""

    task_name = "sentence_pair"
    first_number = 1


class XnliProcessor(_TaskProcessor):
    """XNLI, in CLUE's format or its original one."""

    task_name = "xnli"


class TnewsProcessor(_TaskProcessor):
    """CLUE's TNEWS."""

    task_name = "tnews"


class iFLYTEKDataProcessor(_TaskProcessor):  # noqa: N801  (the original's name)
    """CLUE's IFLYTEK."""

    task_name = "iflytek"


class AFQMCProcessor(_TaskProcessor):
    """CLUE's AFQMC."""

    task_name = "afqmc"


class CMNLIProcessor(_TaskProcessor):
    """CLUE's CMNLI."""

    task_name = "cmnli"
    counts_all_lines = True
    label_of_test = "neutral"


class CslProcessor(_TaskProcessor):
    """CLUE's CSL."""

    task_name = "csl"


class WSCProcessor(_TaskProcessor):
    """CLUE's WSC."""

    task_name = "wsc"


class COPAProcessor(_TaskProcessor):
    """CLUE's COPA, two examples per line."""

    task_name = "copa"


class ColaProcessor(_TaskProcessor):
    """GLUE's CoLA."""

    task_name = "cola"


class MnliProcessor(_TaskProcessor):
    """GLUE's MultiNLI, matched."""

    task_name = "mnli"
    first_number = 1


class MrpcProcessor(_TaskProcessor):
    """GLUE's MRPC."""

    task_name = "mrpc"
    first_number = 1
