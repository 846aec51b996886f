"""Synonyms: real lines in the database's format, the same from every source, damage named."""

import gzip
import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules.text import wordnet
from datamodules.text.wordnet import Synonyms

DATABASE = {  # lines of WordNet 3.0; glosses shortened
    "data.noun": """\
  1 This software and database is being provided to you, the LICENSEE, by
01415139 05 n 02 dulse 0 Rhodymenia_palmata 0 002 @ 01413942 n 0000 #m 01414986 n 0000 | coarse edible red seaweed
13744521 23 n 0c five 0 5 0 V 2 cinque 0 quint 0 quintet 0 fivesome 0 quintuplet 0 pentad 0 fin 0 Phoebe 0 Little_Phoebe 0 \
001 @ 13741022 n 0000 | the cardinal number that is the sum of four and one
02747177 06 n 0a ashcan 0 trash_can 0 garbage_can 0 wastebin 0 ash_bin 0 ash-bin 0 ashbin 0 dustbin 0 trash_barrel 0 \
trash_bin 0 001 @ 02839910 n 0000 | a bin that holds rubbish until it is collected
08156679 14 n 01 good_people 0 000 | made up: one word, no pointers
""",
    "index.noun": """\
  1 This software and database is being provided to you, the LICENSEE, by
ash-bin n 1 1 @ 1 0 02747177
dulse n 1 2 @ #m 1 0 01415139
fin n 1 1 @ 1 0 13744521
five n 1 3 @ #m %m 1 1 13744521
good_people n 1 0 1 0 08156679
trash_can n 1 1 @ 1 0 02747177
""",
    "data.verb": """\
00075998 29 v 03 overtire 0 overweary 0 overfatigue 0 001 @ 00075021 v 0000 02 + 09 00 + 10 00 | tire excessively
00202445 30 v 03 tame 0 chasten 1 subdue 0 001 @ 00126264 v 0000 02 + 09 00 + 10 00 | correct by punishment or discipline
""",
    "index.verb": "overtire v 1 1 @ 1 0 00075998\ntame v 1 5 @ ~ $ + ; 1 1 00202445\n",
    "data.adj": """\
00014358 00 s 02 abounding 0 galore(ip) 0 001 & 00013887 a 0000 | existing in abundance; "abounding confidence"
00020103 00 s 02 outback(a) 0 remote 0 003 & 00019874 a 0000 + 05085165 n 0202 + 08505110 n 0101 | sparsely populated;
02186751 00 s 03 five 0 5 0 v 0 001 & 02183612 a 0000 | being one more than four
""",
    "index.adj": "abounding a 1 1 & 1 1 00014358\nfive a 1 1 & 1 1 02186751\nremote a 1 2 & + 1 0 00020103\n",
    "data.adv": """\
00011093 02 r 02 well 0 good 0 002 ;u 06307152 n 0000 ! 00011516 r 0101 | in a good or proper or satisfactory manner
00057388 02 r 03 thoroughly 1 soundly 0 good 1 003 ;u 07075172 n 0000 \\ 00523786 a 0201 \\ 00522463 a 0102 | completely
""",
    "index.adv": "good r 2 1 ; 2 2 00011093 00057388\nsoundly r 1 1 \\ 1 0 00057388\n",
}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    folder = tmp_path / "dict"
    folder.mkdir()
    for name, lines in DATABASE.items():
        (folder / name).write_text(lines)
    return folder


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dulse", ("rhodymenia palmata",)),  # lower case, spaces for underscores
        ("five", ("5", "v", "cinque", "quint", "quintet", "fivesome", "quintuplet", "pentad")),  # 8 per part, none twice
        ("fin", ("five", "5", "v", "cinque", "quint", "quintet", "fivesome", "quintuplet")),
        ("tame", ("chasten", "subdue")),
        ("abounding", ("galore",)),  # without its marker (ip)
        ("remote", ("outback",)),
        ("good", ("well", "thoroughly", "soundly")),  # the more frequent sense first, itself never
        ("Soundly", ("thoroughly", "good")),
        ("trash_can", ()),  # words only, as texts are split
        ("ash-bin", ()),
        ("chasten", ()),  # the lines above have no entry for it
        ("", ()),
    ],
)
def test_reads_the_database(database: Path, word: str, expected: tuple[str, ...]) -> None:
    assert Synonyms(str(database))(word) == expected


@pytest.mark.parametrize(
    ("name", "damage", "line", "message"),
    [
        ("data.adv", lambda text: text[:150], 2, "no gloss"),  # cut short within a line
        ("data.adv", lambda text: text.replace("03 thoroughly", "zz thoroughly"), 2, "invalid literal"),
        ("data.adj", lambda text: text.replace("02 outback", "0f outback"), 2, "expected 0x0f words"),
        ("index.adv", lambda text: text[:25], 1, "expected 2 synsets, got 1"),
        ("index.noun", lambda text: text.replace("01415139", "01415138"), 3, "no synset 01415138 in data"),
        ("index.verb", lambda text: text + "\n", 3, "not enough values"),
    ],
)
def test_names_the_damaged_line(database: Path, name: str, damage: Callable[[str], str], line: int, message: str) -> None:
    (database / name).write_text(damage(DATABASE[name]))
    with pytest.raises(ValueError, match=rf"{name}, line {line}, is not in WordNet's format .*{message}.*install it again"):
        Synonyms(str(database))("good")


def test_names_what_a_folder_lacks(database: Path) -> None:
    (database / "index.verb").unlink()
    with pytest.raises(FileNotFoundError, match=r"it has no index.verb: `apt install wordnet-base`"):
        Synonyms(str(database))("good")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_json(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "synonyms"
    path.write_bytes(pack(json.dumps({"Good": {"noun": ["goodness"], "adv": ["well", "good", "goodness"]}, "tv": {}}).encode()))
    assert [Synonyms(str(path))(word) for word in ("good", "GOOD", "tv", "bad")] == [("goodness", "well")] * 2 + [()] * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"good": {"noun": ["goodness"]},\n"bad": {', r"cannot read \S*synonyms as JSON, plain or gzipped"),
        (gzip.compress(b"{}" * 100, mtime=0)[:-4], r"cannot read \S+synonyms as JSON, plain or gzipped"),
        (b'{"good": "\xff"}', r"cannot read \S+synonyms"),
        (b"[]", r"synonyms holds a list, expected \{lemma: "),
        (b'{"good": ["well"]}', r"synonyms: expected \{part of speech: \[synonyms\]\} for 'good', got \['well'\]"),
        (b'{"good": {"adv": "well"}}', r"synonyms: expected .* for 'good'"),
    ],
)
def test_names_the_damaged_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "synonyms").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        Synonyms(str(tmp_path / "synonyms"))("good")
    assert "\n" not in str(caught.value)


def test_is_read_at_the_first_word_and_once(tmp_path: Path) -> None:
    path = tmp_path / "synonyms.json"
    first, second = Synonyms(str(path)), Synonyms(str(path))  # no such file yet
    path.write_text('{"good": {"adv": ["well"]}}')
    assert first("good") == ("well",)
    path.unlink()
    assert first("good") == ("well",)
    path.write_text("")
    assert second("good") == ("well",)
    assert len(pickle.dumps(first)) < 1000  # workers get the path, not the table


def test_the_mirror_comes_first_then_debian(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirrored = tmp_path / "wordnet" / "wordnet_synonyms.json.gz"
    mirrored.parent.mkdir()
    mirrored.write_bytes(gzip.compress(b'{"good": {"adv": ["well"]}}'))
    monkeypatch.setattr(wordnet, "DEBIAN", database)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert Synonyms()("good") == ("well",)
    monkeypatch.delenv("ZOO_DATA")
    assert Synonyms()("good") == ("well", "thoroughly", "soundly")
    monkeypatch.setattr(wordnet, "DEBIAN", tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"ZOO_DATA is not set.*`apt install wordnet-base`, or give `synonyms` the path"
    ):
        Synonyms()("good")
    monkeypatch.setenv("ZOO_DATA", str(database))
    with pytest.raises(
        FileNotFoundError, match=rf"neither {database}/wordnet/wordnet_synonyms.json.gz nor {tmp_path}/index.noun"
    ):
        Synonyms()("good")
    with pytest.raises(FileNotFoundError, match="no WordNet at nowhere: give a JSON file or a folder"):
        Synonyms("nowhere")("good")


def test_the_mirrors_file(mirror: Path) -> None:
    synonyms = Synonyms(str(mirror / "wordnet" / "wordnet_synonyms.json.gz"))
    assert synonyms("film")[:3] == ("movie", "picture", "moving picture")
    assert {"goodness", "estimable", "well"} < set(synonyms("good"))
    assert "film" in synonyms("movie")


def test_debian_says_the_same_of_every_word(mirror: Path) -> None:
    if not (wordnet.DEBIAN / "index.noun").is_file():
        pytest.skip("needs Debian's wordnet-base")
    start = time.process_time()
    debian = wordnet._read_database(wordnet.DEBIAN)
    assert time.process_time() - start < 10  # about 1.4 s; once 480 s, when each line looked at every synset
    mirrored = wordnet._read(mirror / "wordnet" / "wordnet_synonyms.json.gz")
    for word in ("film", "good", "run", "quickly", "great"):
        assert debian[word] == mirrored[word]
    assert debian == mirrored
    assert len(debian) == 56_977
