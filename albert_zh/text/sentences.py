"""Splits text into sentences."""

import re
from typing import List

# A sentence ends with these marks and the closing quotes after them. ! and ? may occur in URLs.
SENTENCE_END = re.compile(
    "(?:[。！？；…]|[!?](?![0-9A-Za-z=&/%#_.-]))+[。！？；…!?”’」』）】》〉]*"
)


def split_sentences(text: str) -> List[str]:
    """Splits text after 。！？；… and the closing quotes that follow them.

    Args:
        text: str.

    Returns:
        list of str, the sentences, stripped of surrounding whitespace; none is empty.
    """
    ends, num_quotes = [0], 0
    for match in SENTENCE_END.finditer(text):
        end = match.end()
        num_quotes += text.count('"', ends[-1], end)
        is_closing = num_quotes % 2 == 1 and text.startswith('"', end)
        num_quotes += is_closing
        ends.append(end + is_closing)
    sentences = (text[begin:end].strip() for begin, end in zip(ends, ends[1:] + [len(text)]))
    return [sentence for sentence in sentences if sentence]
