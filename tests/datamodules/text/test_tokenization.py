"""Tokens: which there are, in which order, and that the same texts make the same ones everywhere."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from datamodules.text import tokenization
from datamodules.text.tokenization import DEFAULTS, Kind, TokenizerSettings, load, with_defaults

KINDS: tuple[Kind, ...] = ("word", "bpe", "char")
TEXTS = ["the cat sat on the mat", "the dog didn't sit", "Crème brûlée, 42 times!", "tabs\tand\nlines", "😀 日本"] * 3


def train(kind: Kind, texts: Sequence[str], vocab_size: int, lowercase: bool = True, min_frequency: int = 2) -> Tokenizer:
    settings = TokenizerSettings(kind=kind, vocab_size=vocab_size, lowercase=lowercase, min_frequency=min_frequency)
    return tokenization.train(texts, settings)


def tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    return tokenizer.encode(text, add_special_tokens=False).tokens


def words(text: str, lowercase: bool = True) -> list[str]:
    """How a word tokenizer that knows all of this text splits it."""
    return tokens(train("word", [text], vocab_size=100, lowercase=lowercase, min_frequency=1), text)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_0_and_1_are_padding_and_unknown(kind: Kind) -> None:
    tokenizer = train(kind, TEXTS, vocab_size=400)
    assert [tokenizer.id_to_token(token) for token in (0, 1)] == ["[PAD]", "[UNK]"]
    known = tokenizer.encode(TEXTS[0], add_special_tokens=False).ids
    assert min(known) > 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("don't stop", ["don't", "stop"]),
        ("the film 's end", ["the", "film", "'s", "end"]),  # as SST-2 is written
        ("it does n't work", ["it", "does", "n't", "work"]),
        ("it\u2019s rock'n'roll", ["it\u2019s", "rock'n'roll"]),
        ("well, no...", ["well", ",", "no", "..."]),
        ('he said: "stop"!', ["he", "said", ":", '"', "stop", '"!']),
        ("42 is 3.5 + x_1", ["42", "is", "3", ".", "5", "+", "x_1"]),
        ("naïve  \t日本\nनमस्ते 😀", ["naïve", "日本", "नमस्ते", "😀"]),
        ("re-read (it)", ["re", "-", "read", "(", "it", ")"]),
    ],
)
def test_words_are_words_and_signs_in_a_row(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_lowercase_is_a_choice() -> None:
    assert words("The the ÉTÉ") == ["the", "the", "été"]
    assert words("The the ÉTÉ", lowercase=False) == ["The", "the", "ÉTÉ"]


@pytest.mark.parametrize("kind", KINDS)
def test_one_letter_in_two_writings_is_one(kind: Kind) -> None:
    """An é as one code point, and as e with a combining accent."""
    tokenizer = train(kind, ["caf\u00e9"] * 2, vocab_size=300)
    assert tokens(tokenizer, "cafe\u0301") == tokens(tokenizer, "caf\u00e9")
    assert "[UNK]" not in tokens(tokenizer, "cafe\u0301")


def test_a_small_vocabulary_keeps_the_most_frequent_words() -> None:
    counts = {"often": 9, "usual": 7, "seldom": 3, "rare": 2}
    texts = [word for word, count in counts.items() for _ in range(count)]
    tokenizer = train("word", texts, vocab_size=4)
    assert tokenizer.get_vocab() == {"[PAD]": 0, "[UNK]": 1, "often": 2, "usual": 3}
    assert tokenizer.encode("seldom often rare usual").ids == [1, 2, 1, 3]


@pytest.mark.parametrize(("min_frequency", "known"), [(1, {"a", "b", "c"}), (2, {"a", "b"}), (3, {"a"}), (4, set())])
def test_rarer_than_min_frequency_is_unknown(min_frequency: int, known: set[str]) -> None:
    tokenizer = train("word", ["a b a", "a b c"], vocab_size=10, min_frequency=min_frequency)
    assert tokenizer.get_vocab().keys() - {"[PAD]", "[UNK]"} == known
    for word in "abc":
        assert tokens(tokenizer, word) == [word if word in known else "[UNK]"]


@pytest.mark.parametrize("text", ["Ünknown wörds", "😀👍🏽 e\u0301", "日本語", "\u0000\x7f\ufffd", "  two  spaces\n\ttab "])
def test_to_byte_pairs_nothing_is_unknown_and_nothing_is_lost(text: str) -> None:
    tokenizer = train("bpe", ["hello world"] * 3, vocab_size=270, lowercase=False)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert min(ids) > 1
    composed = text.replace("e\u0301", "\u00e9")
    assert tokenizer.decode(ids).removeprefix(" ") == composed.removeprefix(" ")  # of one in front nothing is said


def test_byte_pairs_that_are_frequent_are_one_token() -> None:
    tokenizer = train("bpe", ["hello hello world"] * 3, vocab_size=300)
    assert tokens(tokenizer, "hello") == ["Ġhello"]  # Ġ is how the library writes the space before a word
    assert tokens(tokenizer, "say hello")[-1] == "Ġhello"  # also within a text
    assert len(tokens(tokenizer, "olleh")) > 1
    assert tokens(train("bpe", ["hello"] * 3, vocab_size=300, min_frequency=4), "hello") == ["Ġ", *"hello"]


def test_characters_are_all_there_is_spaces_and_line_ends_among_them() -> None:
    tokenizer = train("char", ["ab\na b"], vocab_size=10, min_frequency=1)
    assert tokenizer.get_vocab().keys() == {"[PAD]", "[UNK]", "a", "b", "\n", " "}
    assert tokens(tokenizer, "B a\n\tz") == ["b", " ", "a", "\n", "[UNK]", "[UNK]"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_is_kept(kind: Kind) -> None:
    size = {"word": 7, "bpe": 260, "char": 7}[kind]
    assert train(kind, TEXTS, vocab_size=size).get_vocab_size() == size
    assert train(kind, TEXTS, vocab_size=10_000).get_vocab_size() < 400  # no more than the texts have


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_texts_make_the_same_tokenizer_in_every_process(kind: Kind) -> None:
    """With many ties in frequency, and the library's own random order of hash maps."""
    texts = [f"{a}{b} {b}{a}" for a in "abcdefghij" for b in "klmnopqrst"] * 2
    first = train(kind, texts, vocab_size=290).to_str()
    assert train(kind, list(texts), vocab_size=290).to_str() == first
    assert train(kind, texts[::-1], vocab_size=290).to_str() == first  # who comes first is no reason
    program = (
        "import hashlib, json, sys; from datamodules.text.tokenization import train; kind, texts = json.load(sys.stdin); "
        "print(hashlib.sha256(train(texts, {'kind': kind, 'vocab_size': 290}).to_str().encode()).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([kind, texts]),
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false", "PYTHONHASHSEED": "5"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == hashlib.sha256(first.encode()).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_back_the_tokenizer(kind: Kind, tmp_path: Path) -> None:
    tokenizer = train(kind, TEXTS, vocab_size=400)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = load(tmp_path / "tokenizer.json")
    assert loaded.to_str() == tokenizer.to_str()
    assert loaded.encode(TEXTS[2]).ids == tokenizer.encode(TEXTS[2]).ids


def test_padding_and_cutting_that_a_file_asks_for_is_left_to_the_datamodule(tmp_path: Path) -> None:
    """Files of pretrained models do: every text would be as long as the longest, and none longer than theirs."""
    tokenizer = train("word", TEXTS, vocab_size=100)
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    lengths = [len(found.ids) for found in load(tmp_path / "tokenizer.json").encode_batch(["the cat", TEXTS[0]])]
    assert lengths == [2, 6]


@pytest.mark.parametrize(
    ("kind", "vocab_size", "message"),
    [
        ("sentence", 100, r"unknown tokenizer 'sentence': choose one of word, bpe, char"),
        ("word", 2, r"vocab_size must be at least 3 for the tokenizer word, got 2"),
        ("char", -1, r"vocab_size must be at least 3 for the tokenizer char, got -1"),
        ("bpe", 257, r"vocab_size must be at least 258 for the tokenizer bpe, got 257"),
    ],
)
def test_refuses_what_makes_no_tokenizer(kind: Kind, vocab_size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(kind, TEXTS, vocab_size)


@pytest.mark.parametrize(("kind", "vocab_size"), [("word", 3), ("char", 3), ("bpe", 258)])
def test_the_smallest_vocabulary_there_may_be(kind: Kind, vocab_size: int) -> None:
    assert train(kind, TEXTS, vocab_size).get_vocab_size() == vocab_size


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(FileNotFoundError, match=rf"no tokenizer file {path}: give a tokenizer\.json"):
            load(path)


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", "cut", '{"version": "1.0", "model": {"type": "Unheard"}}'])
def test_a_file_that_is_none_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    whole = train("word", TEXTS, 100).to_str()
    path.write_text(whole[: len(whole) // 2] if content == "cut" else content)
    with pytest.raises(ValueError, match=rf"cannot read {path} as a tokenizer of the tokenizers library: \w+"):
        load(path)


@pytest.mark.parametrize(
    ("first", "allowed"), [("[PAD]", True), ("<pad>", True), ("<s>", False), ("the", False), (None, False)]
)
def test_token_0_has_to_be_padding(first: str | None, allowed: bool, tmp_path: Path) -> None:
    vocabulary = {name: token for token, name in enumerate([first or "nought", "[UNK]", "film"], start=first is None)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken("[UNK]")])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    if allowed:
        assert load(path).encode("film").ids == [2]
    else:
        with pytest.raises(ValueError, match=rf"token 0 of {path} is ('{first}'|None): expected \[PAD\], which pads sequences"):
            load(path)


def test_missing_settings_have_their_defaults() -> None:
    assert with_defaults(None) == with_defaults({}) == DEFAULTS
    assert with_defaults({"kind": "char", "vocab_size": 9}) == {**DEFAULTS, "kind": "char", "vocab_size": 9}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"vocabsize": 9},
            "unknown setting of the tokenizer 'vocabsize': choose one of kind, vocab_size, lowercase, min_frequency",
        ),
        ({"kind": "sentence"}, "unknown tokenizer 'sentence': choose one of word, bpe, char"),
        ("char", "tokenizer must be settings such as {kind: word, vocab_size: 10000}, got 'char'"),
    ],
)
def test_settings_of_another_kind_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_defaults(settings)


def test_one_huge_word_does_not_stop_byte_pairs() -> None:
    """The trainer's time grows with the square of a word's length: 40,000 letters took 6 s, 2,000,000 would take hours."""
    letters = "".join(chr(97 + i * i % 26) for i in range(50_000))
    for word in ("a" * 300_000, letters):
        start = time.perf_counter()
        tokenizer = train("bpe", ["hello world"] * 9 + [word], vocab_size=400)
        assert time.perf_counter() - start < 30
        assert tokens(tokenizer, "hello") == ["\u0120hello"]
    assert "".join(tokens(tokenizer, letters)) == f"\u0120{letters}"  # nothing is lost
