"""Synonyms from WordNet (Miller, 1995, https://doi.org/10.1145/219717.219748), from a JSON file or from its database."""

import functools
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from datamodules.core.files import reading
from datamodules.core.sources import mirror
from zoo.errors import MissingFileError, ZooError

DEBIAN = Path("/usr/share/wordnet")  # folder of the Debian package wordnet-base
_PARTS = ("noun", "verb", "adj", "adv")
_MOST = 8  # synonyms per part of speech, most frequent senses first; the JSON file has the same number
_Line = TypeVar("_Line")
_Table = dict[str, tuple[str, ...]]


class Synonyms:
    """Look up the synonyms of a word: lower case, all parts of speech, most frequent senses first; () for an unknown word.

    `path` is a JSON file `{lemma: {part of speech: [synonyms]}}`, plain or gzipped, or a folder with the database's index.*
    and data.*. None means wordnet/wordnet_synonyms.json.gz under `ZOO_DATA`, else Debian's wordnet-base. The file is read at
    the first word, once per process. Only base forms are known: "films" has no synonyms, because they would not be plural.

    Raises:
        MissingFileError: at the first word, if there is no such file.
        ZooError: at the first word, naming the file and the line that is wrong.
    """

    def __init__(self, path: str | None = None) -> None:
        self.path = path

    def __call__(self, word: str) -> tuple[str, ...]:
        return _read(self.found).get(word.lower(), ())

    @functools.cached_property  # Only the path is kept here, so that pickling this object stays cheap.
    def found(self) -> Path:
        """The file or folder to read."""
        if self.path is not None:
            if Path(self.path).exists():
                return Path(self.path)
            raise MissingFileError(f"no WordNet at {self.path}: give a JSON file or a folder with WordNet's index.* and data.*")
        file = mirror("wordnet/wordnet_synonyms.json.gz")
        if file and file.is_file():
            return file
        if (DEBIAN / "index.noun").is_file():
            return DEBIAN
        raise MissingFileError(
            f"no WordNet on this machine: neither {file or 'a mirror (ZOO_DATA is not set)'} nor {DEBIAN}/index.noun is there. "
            f"`apt install wordnet-base`, or give `synonyms` the path of a WordNet file or folder"
        )


@functools.cache
def _read(path: Path) -> _Table:
    return _read_database(path) if path.is_dir() else _read_json(path)


def _merge(lemma: str, parts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(synonym for part in parts for synonym in part if synonym.lower() != lemma))


def _read_json(path: Path) -> _Table:
    with reading(path, "JSON, plain or gzipped", "fetch the file again"):
        content = path.read_bytes()
        table = json.loads(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    if not isinstance(table, dict):
        raise ZooError(f"{path} holds a {type(table).__name__}, expected {{lemma: {{part of speech: [synonyms]}}}}")
    for lemma, parts in table.items():
        if not _is_entry(parts):
            raise ZooError(f"{path}: expected {{part of speech: [synonyms]}} for {lemma!r}, got {parts!r:.80}")
    return {lemma.lower(): _merge(lemma.lower(), parts.values()) for lemma, parts in table.items()}


def _is_entry(parts: Any) -> bool:
    return isinstance(parts, dict) and all(
        isinstance(synonyms, list) and all(isinstance(synonym, str) for synonym in synonyms) for synonyms in parts.values()
    )


def _read_database(folder: Path) -> _Table:
    """Read the single words of the database (https://wordnet.princeton.edu/documentation/wndb5wn)."""
    missing = [name for part in _PARTS for name in (f"data.{part}", f"index.{part}") if not (folder / name).is_file()]
    if missing:
        raise MissingFileError(
            f"{folder} is not a WordNet database, it has no {', '.join(missing)}: `apt install wordnet-base` has them all"
        )
    entries: dict[str, list[list[str]]] = {}
    for part in _PARTS:
        synsets = dict(_lines(folder / f"data.{part}", _synset))
        for lemma, words in _lines(folder / f"index.{part}", functools.partial(_entry, synsets)):
            if words:
                entries.setdefault(lemma, []).append(words)
    return {lemma: _merge(lemma, parts) for lemma, parts in entries.items()}


def _entry(synsets: dict[str, list[str]], line: str) -> tuple[str, list[str]]:
    lemma, _, num_synsets, num_pointers, *rest = line.split()
    offsets = rest[int(num_pointers) + 2 :]
    if len(offsets) != int(num_synsets):
        raise ZooError(f"expected {num_synsets} synsets, got {len(offsets)}")
    if unknown := [offset for offset in offsets if offset not in synsets]:
        raise ZooError(f"no synset {unknown[0]} in data.*")
    if not lemma.isalpha():
        return lemma, []  # Texts are looked up word by word.
    words = dict.fromkeys([word for offset in offsets for word in synsets[offset]])
    words.pop(lemma, None)
    return lemma, list(words)[:_MOST]


def _synset(line: str) -> tuple[str, list[str]]:
    before, bar, _ = line.partition(" | ")
    if not bar:
        raise ZooError("no gloss")
    offset, _, _, num_words, rest = before.split(" ", 4)
    num = int(num_words, 16)
    words = rest.split(" ", 2 * num)[: 2 * num : 2]  # Pointers follow the words.
    if len(words) != num:
        raise ZooError(f"expected 0x{num_words} words, got {len(words)}")
    # Some adjectives have a marker such as (p), which is cut off.
    return offset, [word.partition("(")[0].replace("_", " ").lower() for word in words]


def _lines(path: Path, parse: Callable[[str], _Line]) -> Iterator[_Line]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.startswith(b"  "):  # Lines of the licence start with two spaces.
                try:
                    yield parse(line.decode())
                except ValueError as error:
                    raise ZooError(f"{path}, line {number}, is not in WordNet's format ({error}): install it again") from error
