"""A baseline without a model: the sentence with the most character bigrams of the question.

best_sentence("小米是谁创立的？", context)
predictions = baseline_predictions(questions)
"""

import re
from typing import Dict, Sequence, Set

from albert_zh.tasks.reading.questions import Question

SENTENCE, CLAUSE = "sentence", "clause"
_ENDS = {
    SENTENCE: re.compile(r"[^。！？!?；;\n]+[。！？!?；;\n]*"),
    CLAUSE: re.compile(r"[^。！？!?；;\n，,：:、（）()]+"),
}


def best_sentence(question: str, context: str, unit: str = SENTENCE) -> str:
    """The sentence of a context with the most of a question's character bigrams.

    Args:
        question: str.
        context: str.
        unit: `SENTENCE`, or `CLAUSE` for the parts of sentences between commas.

    Returns:
        str without blanks at its ends; of sentences with equally many the first; "" where the
        context has none.
    """
    wanted = bigrams(question)
    sentences = [match.group().strip() for match in _ENDS[unit].finditer(context)]
    overlaps = [len(wanted & bigrams(sentence)) for sentence in sentences]
    return sentences[overlaps.index(max(overlaps))] if sentences else ""


def bigrams(text: str) -> Set[str]:
    """The pairs of neighbouring characters of a text, in lower case, without white space."""
    characters = "".join(text.lower().split())
    return {characters[at : at + 2] for at in range(len(characters) - 1)}


def baseline_predictions(questions: Sequence[Question], unit: str = SENTENCE) -> Dict[str, str]:
    """{id: the best sentence} of questions."""
    return {
        question.id: best_sentence(question.text, question.context, unit) for question in questions
    }
