"""Dictionaries: their files, and that both matchers find the matches of a brute-force search."""

import builtins
import itertools
import random

import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks.slots import dictionaries
from albert_zh.tasks.slots.cells import SlotSpan

ALPHABET = "北京上海站a1Ａ "


def annotator_of(**names):
    return dictionaries.Annotator(
        dictionaries.packed(
            {name: {dictionaries.normalized(e) for e in entries} for name, entries in names.items()}
        )
    )


def brute_force(text, entries):
    """Returns the leftmost longest matches; each character must remain one when normalized."""
    plain = [char.lower().replace("Ａ", "a").replace("ａ", "a") for char in text]
    spans, begin = [], 0
    while begin < len(plain):
        ends = [
            end
            for end in range(len(plain), begin, -1)
            if "".join(plain[begin:end]) in entries and not cuts_a_word(plain, begin, end)
        ]
        if ends:
            spans.append((begin, ends[0]))
        begin = ends[0] if ends else begin + 1
    return spans


def cuts_a_word(plain, begin, end):
    latin = "abcdefghijklmnopqrstuvwxyz0123456789"
    return any(
        0 < at < len(plain) and plain[at - 1] in latin and plain[at] in latin for at in (begin, end)
    )


@pytest.fixture(params=["library", "without it"])
def matcher(request, monkeypatch):
    if request.param == "library":
        pytest.importorskip("ahocorasick")
        return
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "ahocorasick":
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)


@pytest.mark.usefixtures("matcher")
def test_longest_matches_are_those_of_a_brute_force_search():
    draw = random.Random(1)
    short = ["".join(chars) for n in (2, 3) for chars in itertools.product("北京站a1", repeat=n)]
    for _ in range(30):
        entries = {name: set(draw.sample(short, 12)) for name in ("one", "two")}
        annotator = annotator_of(**entries)
        for _ in range(10):
            text = "".join(draw.choice(ALPHABET) for _ in range(15))
            expected = [
                SlotSpan(begin, end, name)
                for name in entries
                for begin, end in brute_force(text, entries[name])
            ]
            assert annotator.spans(text) == sorted(expected), (text, entries)


@pytest.mark.usefixtures("matcher")
@pytest.mark.parametrize(
    "text, expected",
    [
        ("到北京西站", [(1, 5, "station"), (1, 3, "city")]),  # slots of different names may overlap
        ("ＢＭＷ x5", [(0, 3, "car")]),  # full-width letters
        ("ébmw bmwß", []),  # no match in a word with accented letters
        ("x\u0323bmw", []),  # no precomposed letter has this dot below
        ("×bmw", [(1, 4, "car")]),
        ("bmws", []),  # no match in a Latin word
        ("买bmw", [(1, 4, "car")]),
        ("跑了㎞。", [(2, 3, "unit")]),  # one character normalized to two
        ("", []),
    ],
)
def test_positions_are_those_of_the_text_as_given(text, expected):
    annotator = annotator_of(city=["北京"], station=["北京西站", "北京"], car=["BMW"], unit=["km"])
    assert annotator.names == ["car", "city", "station", "unit"]
    assert annotator.spans(text) == sorted(SlotSpan(*span) for span in expected)


def test_a_folder_becomes_a_file_and_back(tmp_path):
    (tmp_path / "city.txt").write_bytes("\ufeff北京\t12\r上海\t3\r\n\n京\n".encode("utf-8"))
    (tmp_path / "car.txt").write_text("ＢＭＷ\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("no dictionary")
    (tmp_path / "LICENSE.txt").write_text("no dictionary")
    read = dictionaries.read_folder(str(tmp_path))
    assert read == {"city": {"北京", "上海"}, "car": {"bmw"}}
    content = dictionaries.packed(read)
    assert content.decode("utf-8").splitlines() == ["bmw\tcar", "上海\tcity", "北京\tcity"]
    assert dictionaries.unpacked(content) == read


def test_entries_of_one_character_are_named(tmp_path, capsys):
    (tmp_path / "singer.txt").write_text("那\n那英\n\n英\n", encoding="utf-8")
    assert dictionaries.read_folder(str(tmp_path)) == {"singer": {"那英"}}
    assert "singer.txt: entries of one character are ignored: 英 那" in capsys.readouterr().out


def test_a_folder_with_one_table_is_read(tmp_path):
    (tmp_path / "README.md").write_text("no dictionary")
    (tmp_path / "all.tsv").write_bytes("\ufeff北京\tcity\r\nＢＭＷ\tcar\r\n".encode("utf-8"))
    assert dictionaries.read_folder(str(tmp_path)) == {"city": {"北京"}, "car": {"bmw"}}


@pytest.mark.parametrize(
    "files, message",
    [
        (None, "no such folder"),
        ({"a.csv": "北京"}, "no file NAME.txt"),
        ({"a.tsv": "北京\tcity", "b.tsv": "上海\tcity"}, "no file NAME.txt, and 2 files .tsv"),
        ({"a.tsv": "北京"}, "a.tsv, line 1: expected an entry"),
        ({"a.tsv": "\n"}, "a.tsv has no entry"),
        ({"a b.txt": "北京"}, "rename the file"),
        ({"city.txt": "京\n\n"}, "no entry of at least 2 characters"),
        ({"city.txt": "北京\n", "a.tsv": "上海\tcity"}, "it has city.txt and a.tsv"),
    ],
)
def test_bad_folders(tmp_path, files, message):
    folder = tmp_path / "dictionaries"
    for name, text in (files or {}).items():
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as raised:
        dictionaries.read_folder(str(folder))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("line", ["北京", "北\tcity", "北京\tci ty", "北京\tcity\t3"])
def test_bad_lines_of_the_models_file(line):
    content = ("上海\tcity\n%s\n" % line).encode("utf-8")
    with pytest.raises(UserError, match="slot_dictionaries.tsv, line 2: expected an entry"):
        dictionaries.Annotator(content)


def test_other_bytes_in_the_models_file():
    with pytest.raises(UserError, match="expected UTF-8"):
        dictionaries.Annotator("北京\tcity\n".encode("gbk"))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("cafe\u0301 bar", (0, 5)),  # the accent is a separate character
        ("去CAFÉ。", (1, 5)),
        ("ｶﾞｽ", (0, 3)),  # half-width kana with a voicing mark
        ("cafe bar", None),
    ],
)
def test_marks_belong_to_the_character_before_them(text, expected):
    annotator = annotator_of(place=["café", "ガス"])
    assert annotator.spans(text) == ([SlotSpan(*expected, "place")] if expected else [])
