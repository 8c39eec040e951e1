"""What a tokenizer remembers of words it has seen, within bounds."""

from typing import Any, Dict

MOST_WORDS = 100000
LONGEST_WORD = 64


def remember(memory: Dict[str, Any], word: str, found: Any) -> None:
    """Keeps what was found of a word; a full memory is emptied, long words are not kept.

    Args:
        memory: {word: what was found}.
        word: str.
        found: anything.
    """
    if len(word) <= LONGEST_WORD:
        if len(memory) >= MOST_WORDS:
            memory.clear()
        memory[word] = found
