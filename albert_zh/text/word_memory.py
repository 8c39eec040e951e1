"""A bounded cache for what a tokenizer computes per word."""

from typing import Any, Dict

MOST_WORDS = 100000
LONGEST_WORD = 64


def remember(memory: Dict[str, Any], word: str, found: Any) -> None:
    """Caches a result for a word; a full cache is emptied, and long words are not cached.

    Args:
        memory: {word: result}, the cache.
        word: str.
        found: the result, of any type.
    """
    if len(word) <= LONGEST_WORD:
        if len(memory) >= MOST_WORDS:
            memory.clear()
        memory[word] = found
