"""Easy data augmentation of text: synonyms, insertion, swap, deletion (Wei & Zou, 2019, https://arxiv.org/abs/1901.11196)."""

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from datamodules.text.wordnet import Synonyms
from zoo.errors import ZooError

OPERATIONS = ("synonym", "insertion", "swap", "deletion")
_FUNCTION_WORDS = """
a an the this that these those i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his
himself she her hers herself it its itself they them their theirs themselves one who whom whose which what where when why how
and or but nor so yet if because as until while though although unless whether than then of at by for with without about against
between among into through during before after above below to from up down in out on off over under upon since again here there
am is are was were be been being have has had having do does did doing done can could may might must shall should will would
ought not no never none nothing only just too very also even ever both each every either neither all any some many much more
most few other another such own same
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
_PUNCTUATION = ".,;:!?…'\"\u2018\u2019“”()[]*-\u2013—"  # around a word; not <>/: "br" in "<br" is the chemist's bromine
_Synonyms = Callable[[str], Sequence[str]]


class TextAugment(Protocol):
    """A random change of a training text that keeps its label."""

    def __call__(self, text: str, draw: random.Random) -> str:
        """Give the changed text, a function of the text and of what `draw` yields."""


class EDA:
    """With probability `p`, one of `operations`, each as likely, on about a share `alpha` of the words.

    `alpha` in (0, 1] makes n = max(1, round(alpha * words)) the number of replacements, insertions or swaps, and is the
    probability that deletion drops a word. Where the paper adds n_aug copies to each original, p = n_aug / (n_aug + 1);
    it recommends alpha 0.05 and n_aug 16 for 500 training texts, 0.05 and 8 for 2,000, 0.1 and 4 from 5,000 on. `synonyms` is
    as in `Synonyms`, read when first needed. Words are what whitespace separates; a changed text has single spaces.

    Raises:
        ZooError: if a value is out of its range, or an operation unknown.
    """

    def __init__(
        self,
        alpha: float = 0.1,
        p: float = 0.8,
        operations: Sequence[str] = OPERATIONS,
        synonyms: str | None = None,
    ) -> None:
        if not 0 < alpha <= 1:
            raise ZooError(f"alpha, the share of words changed, must be above 0 and at most 1, got {alpha}")
        if not 0 <= p <= 1:
            raise ZooError(f"p, the chance that a text is augmented, must be from 0 to 1, got {p}")
        if not operations:
            raise ZooError(f"operations must name at least one of {', '.join(OPERATIONS)}; for no augmentation set p to 0")
        for name in operations:
            if name not in OPERATIONS:
                raise ZooError(f"unknown operation {name!r} in {operations!r}: choose from {', '.join(OPERATIONS)}")
        self.alpha, self.p, self.operations = alpha, p, tuple(operations)
        self.synonyms = Synonyms(synonyms)

    def __call__(self, text: str, draw: random.Random) -> str:
        words = text.split()
        if not words or draw.random() >= self.p:
            return text
        num = max(1, round(self.alpha * len(words)))
        match draw.choice(self.operations):
            case "synonym":
                words = synonym_replacement(words, num, self.synonyms, draw)
            case "insertion":
                words = random_insertion(words, num, self.synonyms, draw)
            case "swap":
                words = random_swap(words, num, draw)
            case "deletion":
                words = random_deletion(words, self.alpha, draw)
            case name:
                raise AssertionError(name)
        return " ".join(words)


def synonym_replacement(words: Sequence[str], num: int, synonyms: _Synonyms, draw: random.Random) -> list[str]:
    """Replace `num` words, or all that can be, by a synonym each; punctuation around them stays."""
    changed, replaceable = list(words), _replaceable(words, synonyms)
    for place, word, others in draw.sample(replaceable, min(num, len(replaceable))):
        changed[place] = changed[place].replace(word, draw.choice(others), 1)
    return changed


def random_insertion(words: Sequence[str], num: int, synonyms: _Synonyms, draw: random.Random) -> list[str]:
    """Insert a synonym of a random word at a random place, `num` times; nothing where no word has one."""
    changed, replaceable = list(words), _replaceable(words, synonyms)
    for _ in range(num if replaceable else 0):
        _, _, others = draw.choice(replaceable)
        changed.insert(draw.randint(0, len(changed)), draw.choice(others))
    return changed


def random_swap(words: Sequence[str], num: int, draw: random.Random) -> list[str]:
    """Swap the words at two random places, `num` times."""
    changed = list(words)
    for _ in range(num if len(words) > 1 else 0):
        i, j = draw.sample(range(len(words)), 2)
        changed[i], changed[j] = changed[j], changed[i]
    return changed


def random_deletion(words: Sequence[str], p: float, draw: random.Random) -> list[str]:
    """Drop each word with probability `p`; if that would drop all, a random one stays."""
    return [word for word in words if draw.random() >= p] or [draw.choice(words)]


def _replaceable(words: Sequence[str], synonyms: _Synonyms) -> list[tuple[int, str, Sequence[str]]]:
    """The words with synonyms that are no stop words: place, the word without punctuation, synonyms."""
    bare = [word.strip(_PUNCTUATION) for word in words]
    found = [(place, word, synonyms(word)) for place, word in enumerate(bare) if word and word.lower() not in STOP_WORDS]
    return [entry for entry in found if entry[2]]
