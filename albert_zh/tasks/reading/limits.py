"""Default values and limits for the lengths of windows, questions and answers."""

from albert_zh.common.errors import UserError

MAX_SEQ_LENGTH, DOC_STRIDE, MAX_QUERY_LENGTH = 384, 128, 64
N_BEST_SIZE = 20
MAX_ANSWER_LENGTH = 30  # pieces, as in BERT's and NEZHA's run_squad.py
LENGTH_PENALTIES = tuple(tenths / 10 for tenths in range(16))  # values that are tried on dev
NULL_THRESHOLD = 0.0  # null_score_diff_threshold of BERT's run_squad.py


def shortest_length(max_query_length: int) -> int:
    """Pieces of the shortest window: the question, 3 special tokens and a piece of the context."""
    return max_query_length + 4


def check_lengths(max_seq_length: int, doc_stride: int, max_query_length: int) -> None:
    """Raises `UserError` for lengths that leave no space for the context, or a stride below 1."""
    if max_seq_length < shortest_length(max_query_length):
        raise UserError(
            "--max_seq_length=%d: expected more than --max_query_length=%d and 3 special pieces: "
            "increase it, or lower the limit of the question" % (max_seq_length, max_query_length)
        )
    if doc_stride < 1:
        raise UserError("--doc_stride=%d: expected 1 or more" % doc_stride)
