"""The language reference that Python brings: one text without repetition, and sentences with their class."""

import re
import sys
import time
from collections import Counter
from pydoc_data.topics import topics

import pytest

from datamodules.text import manual

PARAGRAPHS = {" ".join(part.split()) for text in topics.values() for part in re.split(r"\n\s*\n", text)} - {""}
PROSE = """Heading
*******

The first sentence of
some built-in prose, e.g. "x" (with *emphasis*). "dict()" makes a **dictionary** of a `key`.

   name ::= "grammar" that is no sentence at all.

>>> print("Code is no sentence either. ")

* A bullet holds a sentence of its own.

Changed in version 3.7: Notes of versions lose what introduces them.

Too short.

the beginning of this one is missing, as a definition's may be.
"""


def test_the_corpus_has_every_paragraph_once() -> None:
    found = Counter(" ".join(part.split()) for part in manual.corpus().split("\n\n"))
    assert set(found) == PARAGRAPHS
    assert set(found.values()) == {1}
    assert 300_000 < len(manual.corpus()) < 500_000


def test_reading_is_fast_and_the_same_each_time() -> None:
    start = time.perf_counter()
    texts, names = manual.sentences()
    assert manual.sentences() == (texts, names)
    assert manual.corpus() == manual.corpus()
    assert time.perf_counter() - start < 1


def test_topics_are_of_one_class_each_and_exist() -> None:
    names = [name for of_class in manual.TOPICS.values() for name in of_class]
    assert len(names) == len(set(names))
    assert len(set(names) & topics.keys()) >= 0.9 * len(names)  # Python adds and drops a few


def test_a_sentence_stands_once_and_no_class_is_small() -> None:
    texts, names = manual.sentences()
    assert len(texts) == len(names) == len(set(texts)) > 1300
    counts = Counter(names)
    assert tuple(sorted(counts)) == manual.CLASS_NAMES
    assert min(counts.values()) > 0.08 * len(texts)
    assert max(counts.values()) < 0.45 * len(texts)


def test_a_sentence_of_two_classes_is_in_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = "Both of these classes have this sentence."
    made_up = {
        **dict.fromkeys(map(str, range(60)), ""),
        "dict": f"{shared} Only containers have this other one.",
        "debugger": f"{shared} Only the debugger has this one.",
    }
    monkeypatch.setattr("pydoc_data.topics.topics", made_up)
    expected = ["Only containers have this other one.", "Only the debugger has this one."]
    assert manual.sentences() == (expected, ["containers", "debugger"])


def test_what_counts_as_a_sentence_of_prose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pydoc_data.topics.topics", {**dict.fromkeys(map(str, range(60)), ""), "strings": PROSE})
    assert manual.sentences()[0] == [
        'The first sentence of some built-in prose, e.g. "x" (with emphasis).',
        '"dict()" makes a dictionary of a key.',
        "A bullet holds a sentence of its own.",
        "Notes of versions lose what introduces them.",
    ]


def test_no_code_is_left() -> None:
    texts, _ = manual.sentences()
    assert not [text for text in texts if "::=" in text or ">>>" in text or re.search(r"([*=\-~])\1{2}", text)]
    assert not [text for text in texts if "\n" in text or "  " in text]


def test_a_python_without_its_manual_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pydoc_data.topics.topics", {"assert": "One."})
    with pytest.raises(ValueError, match="expected at least 60 topics of Python's manual, got 1"):
        manual.corpus()
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)  # type: ignore[arg-type]  # how an import is made to fail
    with pytest.raises(ModuleNotFoundError, match=r"comes without its manual \(module pydoc_data.topics\)"):
        manual.sentences()
