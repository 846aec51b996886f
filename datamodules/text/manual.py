"""The Python language reference that comes with CPython for `help()`: English prose that needs no download.

`pydoc_data.topics` maps 79 topics to plain text (Python Software Foundation, PSF licence). The wording changes a little
with every release of Python, so compare texts and scores only within one release.
"""

import re
from collections.abc import Iterator

from zoo.errors import MissingPackageError, ZooError

# The topics that belong to one class. "types" and the topics about expressions mention all five classes.
TOPICS: dict[str, tuple[str, ...]] = {
    "containers": (
        "dict", "lists", "sequence-types", "slicings", "subscriptions", "typesmapping", "typesseq", "typesseq-mutable",
    ),
    "debugger": ("debugger",),
    "objects": (
        "attribute-access", "bltin-code-objects", "bltin-type-objects", "callable-types", "class", "customization",
        "id-classes", "objects", "specialattrs", "specialnames", "typesfunctions", "typesmethods", "typesmodules",
    ),
    "statements": (
        "assert", "assignment", "async", "augassign", "break", "compound", "continue", "del", "else", "exceptions",
        "execmodel", "for", "function", "global", "if", "import", "nonlocal", "pass", "raise", "return", "try", "while",
        "with", "yield",
    ),
    "strings": ("formatstrings", "string-methods", "strings"),
}  # fmt: skip
CLASS_NAMES = tuple(TOPICS)

_LEAST = 60  # topics; with fewer, this is a different text
_BLANK = re.compile(r"\n\s*\n")
_UNDERLINE = re.compile(r"([^\w\s])\1{2,}")  # below a heading, or a horizontal rule
_BULLET = re.compile(r"\A(?:[*•]|\d+\.|\[\d+\]) +")
_VERSION = re.compile(r"\A(?:New|Added|Changed|Deprecated)[^:.]* version \d[\d.]*\d[^:.]*[:.] *")
_EMPHASIS = re.compile(r'(?<![\w"*])(\*{1,2})(\w(?:[^*"]*\w)?)\1(?![\w"*])')
_LITERAL = re.compile(r"``(.+?)``|`(.+?)`")
_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?]\)))(?<!e\.g\.)(?<!i\.e\.) (?=[\"“(]*[A-Z]|\")")


def corpus() -> str:
    """Return all topics in the order of their names, without repeated paragraphs: 370,000 characters.

    Some sections occur under several topics. Without this, the held-out end would contain paragraphs of the training part.

    Raises:
        MissingPackageError: if this Python comes without its manual.
        ZooError: if most of the topics are missing.
    """
    seen, kept = set(), []
    for _, text in sorted(_topics().items()):
        for paragraph in _BLANK.split(text):
            words = " ".join(paragraph.split())  # A section below another one is indented and wrapped differently.
            if words and words not in seen:
                seen.add(words)
                kept.append(paragraph.strip("\n").rstrip())
    return "\n\n".join(kept) + "\n"


def sentences() -> tuple[list[str], list[str]]:
    """Return sentences of the prose, and the name of each sentence's class, one of `CLASS_NAMES`.

    Code, grammar, tables, headings, emphasis marks, version notes and incomplete sentences are left out. Each sentence occurs
    once; sentences that occur in two classes are left out.

    Raises:
        MissingPackageError: if this Python comes without its manual.
        ZooError: if most of the topics are missing.
    """
    topics = _topics()
    classes: dict[str, set[str]] = {}
    for class_name, names in TOPICS.items():
        for name in names:
            for sentence in _prose(topics.get(name, "")):
                classes.setdefault(sentence, set()).add(class_name)
    found = [(sentence, *names) for sentence, names in classes.items() if len(names) == 1]
    return [sentence for sentence, _ in found], [name for _, name in found]


def _topics() -> dict[str, str]:
    try:
        from pydoc_data.topics import topics
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "this Python comes without its manual (module pydoc_data.topics): use another build of it, or a text of your own"
        ) from error
    if len(topics) < _LEAST:
        raise ZooError(
            f"pydoc_data.topics: expected at least {_LEAST} topics of Python's manual, got {len(topics)}: "
            "use another build of Python, or a text of your own"
        )
    return topics


def _prose(text: str) -> Iterator[str]:
    """Yield the complete sentences of a topic, each on one line."""
    for paragraph in _BLANK.split(text):
        lines = [" ".join(line.split()) for line in paragraph.splitlines() if line.strip()]
        if len(lines) > 1 and _UNDERLINE.fullmatch(lines[1]):
            lines = lines[2:]
        if not any("::=" in line or line.startswith((">>>", "|", "+-")) for line in lines):
            joined = re.sub(r"(?<=\w-) (?=\w)", "", " ".join(lines))  # Lines may break after the hyphen of "built-in".
            plain = _VERSION.sub("", _BULLET.sub("", joined))
            plain = _LITERAL.sub(lambda found: found[1] or found[2], _EMPHASIS.sub(r"\2", plain))
            yield from filter(_is_sentence, _END.split(plain))


def _is_sentence(text: str) -> bool:
    """Accept five to sixty words that begin and end like a sentence and are mostly letters, unlike code."""
    letters = sum(character.isalpha() or character == " " for character in text)
    begins = text[:1].isupper() or text[:1] in ('"', "“", "(")
    return begins and text.endswith((".", "!", "?", ".)")) and 5 <= len(text.split()) <= 60 and letters > 0.8 * len(text)
