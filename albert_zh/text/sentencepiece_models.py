"""SentencePiece tokenization as in Google's ALBERT."""

from typing import Any, Iterator, List, Optional, Tuple, Union
import unicodedata

from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.text.unicode_text import convert_to_unicode

SPIECE_UNDERLINE = "\u2581"  # stands for a space in SentencePiece
# Field numbers in sentencepiece_model.proto: the trainer's settings in a model, and the algorithm
# in these settings; and the algorithms by enum value.
_TRAINER_SPEC, _MODEL_TYPE = 2, 3
_ALGORITHMS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_VARINT, _DELIMITED = 0, 2
_SIZES = {1: 8, 5: 4}  # bytes of protocol buffers' fixed-size wire types
# For subword regularization, as in Google's scripts: the number of segmentations to sample from
# and the smoothing of their probabilities.
_SAMPLED_WAYS, _SAMPLING_SMOOTHNESS = 64, 0.1


class SentencePieceTokenizer:
    """Splits text with a SentencePiece model.

    Attributes:
        model: `sentencepiece.SentencePieceProcessor`.
        pieces: list of the model's pieces, by id.
        unknown_id: id of the unknown token.
    """

    def __init__(self, model_file: str, do_lower_case: bool = True, digest: Any = None) -> None:
        """Loads the model; `digest` as in `files.read_bytes`.

        Raises:
            UserError: if the package sentencepiece is not installed or the model is not usable.
        """
        try:
            import sentencepiece
        except ImportError as error:
            raise UserError(
                "--spm_model_file=%s needs the package sentencepiece: pip install sentencepiece"
                % model_file
            ) from error
        fault = UserError(
            "%s: not a SentencePiece model: expected a .model file created by spm_train"
            % model_file
        )
        content = files.read_bytes(model_file, digest)
        if not content:  # the library accepts an empty model and crashes later
            raise fault
        try:
            self.model = sentencepiece.SentencePieceProcessor(model_proto=content)
        except RuntimeError as error:
            raise fault from error
        self.do_lower_case = do_lower_case
        self.pieces = [self.model.IdToPiece(i) for i in range(self.model.GetPieceSize())]
        self.unknown_id = self.model.unk_id()

    def tokenize(self, text: Union[str, bytes]) -> List[str]:
        """Splits a text (str, or bytes in UTF-8) into a list of pieces."""
        return encode_pieces(self.model, preprocess_text(text, lower=self.do_lower_case))


def algorithm_of(model_file: str) -> Optional[str]:
    """The segmentation algorithm of a model, one of `_ALGORITHMS`; None if it is not stated.

    Args:
        model_file: path; it is read without the package sentencepiece.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        fields = dict(_fields(files.read_bytes(model_file)))
        trainer = dict(_fields(fields[_TRAINER_SPEC])) if _TRAINER_SPEC in fields else None
    except (IndexError, TypeError, ValueError):  # not a model: loading it will report the error
        return None
    return None if trainer is None else _ALGORITHMS.get(trainer.get(_MODEL_TYPE, 1))


def _fields(message: bytes) -> Iterator[Tuple[int, Any]]:
    """Yields (number, value) of each protobuf field; raises `ValueError` or `IndexError`."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == _DELIMITED:
            size, place = _varint(message, place)
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ValueError("type %d" % kind)
        if place + size > len(message):
            raise ValueError("cut off")
        yield number, message[place : place + size]
        place += size


def _varint(message, place):
    """Reads a varint; returns (number, position after it)."""
    number = shift = 0
    while True:
        byte = message[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place


def encode_pieces(
    sp_model: Any, text: Union[str, bytes], return_unicode: bool = True, sample: bool = False
) -> List[str]:
    """Splits a text into pieces, with a comma after a digit split off, as in Google's scripts.

    Args:
        sp_model: `sentencepiece.SentencePieceProcessor`.
        text: str, or bytes in UTF-8.
        return_unicode: ignored; pieces are always str.
        sample: whether to sample a segmentation (subword regularization, Kudo 2018).

    Returns:
        list of str.
    """
    del return_unicode
    text = convert_to_unicode(text)
    if sample:
        cut = sp_model.SampleEncodeAsPieces(text, _SAMPLED_WAYS, _SAMPLING_SMOOTHNESS)
    else:
        cut = sp_model.EncodeAsPieces(text)
    pieces = []
    for piece in cut:
        pieces += with_separate_comma(sp_model, piece)
    return pieces


def encode_ids(sp_model: Any, text: Union[str, bytes], sample: bool = False) -> List[int]:
    """Splits a text into pieces and returns their ids, see `encode_pieces`."""
    return [sp_model.PieceToId(piece) for piece in encode_pieces(sp_model, text, sample=sample)]


def with_separate_comma(sp_model: Any, piece: str) -> List[str]:
    """Splits the comma off a piece such as "2019,", so that its pieces are those of "2019" and ",".

    Args:
        sp_model: `sentencepiece.SentencePieceProcessor`.
        piece: str; a piece that does not end in a digit and a comma is returned unchanged.

    Returns:
        list of str.
    """
    if len(piece) < 2 or piece[-1] != "," or not piece[-2].isdigit():
        return [piece]
    pieces = sp_model.EncodeAsPieces(piece[:-1].replace(SPIECE_UNDERLINE, ""))
    if not piece.startswith(SPIECE_UNDERLINE) and pieces[0][0] == SPIECE_UNDERLINE:
        # The model starts every text with a space; here the number continues a word.
        pieces[0] = pieces[0][1:]
    return [segment for segment in pieces if segment] + [","]


def preprocess_text(
    text: Union[str, bytes],
    remove_space: bool = True,
    lower: bool = False,
    keep_accents: bool = False,
) -> str:
    """Normalizes a text before SentencePiece tokenization, as in Google's scripts.

    Args:
        text: str, or bytes in UTF-8.
        remove_space: whether to replace consecutive whitespace with one space.
        lower: whether to lower-case.
        keep_accents: whether to skip NFKD normalization and accent stripping.

    Returns:
        str, in which LaTeX quotes are replaced with '"'.
    """
    text = convert_to_unicode(text)
    if remove_space:
        text = " ".join(text.split())
    text = text.replace("``", '"').replace("''", '"')
    if not keep_accents:
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in decomposed if not unicodedata.combining(char))
    return text.lower() if lower else text
