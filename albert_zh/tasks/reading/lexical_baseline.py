"""A baseline without a model: the sentence that shares the most character bigrams with a question.

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
    """Returns the sentence of a context that shares the most character bigrams with a question.

    Args:
        question: str.
        context: str.
        unit: `SENTENCE`, or `CLAUSE` for the parts of sentences between commas.

    Returns:
        str without surrounding blanks; the first one of several best sentences; "" if the context
        has no sentence.
    """
    wanted = bigrams(question)
    sentences = [match.group().strip() for match in _ENDS[unit].finditer(context)]
    overlaps = [len(wanted & bigrams(sentence)) for sentence in sentences]
    return sentences[overlaps.index(max(overlaps))] if sentences else ""


def bigrams(text: str) -> Set[str]:
    """Returns the character bigrams of a text, in lower case and without white space."""
    characters = "".join(text.lower().split())
    return {characters[at : at + 2] for at in range(len(characters) - 1)}


def baseline_predictions(questions: Sequence[Question], unit: str = SENTENCE) -> Dict[str, str]:
    """Returns {id: best sentence} of questions."""
    return {
        question.id: best_sentence(question.text, question.context, unit) for question in questions
    }
