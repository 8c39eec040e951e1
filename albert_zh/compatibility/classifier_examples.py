"""The examples that albert_zh's `run_classifier` converts to features."""

from typing import Optional


class InputExample:
    """A text or a pair of texts, and its label."""

    def __init__(
        self, guid: str, text_a: str, text_b: Optional[str] = None, label: Optional[str] = None
    ) -> None:
        """Initializes the input example.

        Args:
            guid: identifier of the example.
            text_a, text_b: the texts, not tokenized; `text_b` None for a single text.
            label: label of the example, None if unknown.
        """
        self.guid = guid
        self.text_a = text_a
        self.text_b = text_b
        self.label = label


class PaddingInputExample:
    """A placeholder that only fills a batch; its features are zeros, `is_real_example` is 0."""
