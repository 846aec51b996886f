"""Easy data augmentation (EDA) for text: synonyms, insertion, swap, deletion (Wei & Zou, 2019, arXiv:1901.11196)."""

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from datamodules.text.wordnet import Synonyms
from zoo.errors import ZooError, check_choice

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
# Stripped around a word. Not <>/: WordNet knows the "br" in "<br" as bromine.
_PUNCTUATION = ".,;:!?…'\"\u2018\u2019“”()[]*-\u2013—"
_Synonyms = Callable[[str], Sequence[str]]


class TextAugment(Protocol):
    """A random change of a training text that keeps its label."""

    def __call__(self, text: str, draw: random.Random) -> str:
        """Return the changed text, a function of the text and of the numbers that `draw` yields."""


class EDA:
    """Apply one random operation to a text with probability `p`.

    The number of replacements, insertions or swaps is n = max(1, round(alpha * words)). Deletion drops each word with
    probability `alpha`. The paper adds n_aug copies to each original, which corresponds to p = n_aug / (n_aug + 1). It
    recommends alpha 0.05 and n_aug 16 for 500 training texts, 0.05 and 8 for 2,000, and 0.1 and 4 for 5,000 or more. Words are
    separated by whitespace; a changed text has single spaces.

    Args:
        alpha: share of words that change, in (0, 1].
        p: probability that a text is changed.
        operations: names of the operations to choose from, all with the same probability.
        synonyms: as in `Synonyms`; read when first needed.

    Raises:
        ZooError: if a value is out of its range, or an operation is unknown.
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
            raise ZooError(f"p, the probability that a text is augmented, must be from 0 to 1, got {p}")
        if not operations:
            raise ZooError(f"operations must name at least one of {', '.join(OPERATIONS)}; for no augmentation set p to 0")
        for name in operations:
            check_choice("operation", name, OPERATIONS)
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
    """Replace `num` words by a synonym each, or fewer if fewer have synonyms. Punctuation around words stays."""
    changed, replaceable = list(words), _replaceable(words, synonyms)
    for place, word, others in draw.sample(replaceable, min(num, len(replaceable))):
        changed[place] = changed[place].replace(word, draw.choice(others), 1)
    return changed


def random_insertion(words: Sequence[str], num: int, synonyms: _Synonyms, draw: random.Random) -> list[str]:
    """Insert a synonym of a random word at a random position, `num` times; nothing if no word has synonyms."""
    changed, replaceable = list(words), _replaceable(words, synonyms)
    for _ in range(num if replaceable else 0):
        _, _, others = draw.choice(replaceable)
        changed.insert(draw.randint(0, len(changed)), draw.choice(others))
    return changed


def random_swap(words: Sequence[str], num: int, draw: random.Random) -> list[str]:
    """Swap the words at two random positions, `num` times."""
    changed = list(words)
    for _ in range(num if len(words) > 1 else 0):
        i, j = draw.sample(range(len(words)), 2)
        changed[i], changed[j] = changed[j], changed[i]
    return changed


def random_deletion(words: Sequence[str], p: float, draw: random.Random) -> list[str]:
    """Drop each word with probability `p`; keep a random one if all would be dropped."""
    return [word for word in words if draw.random() >= p] or [draw.choice(words)]


def _replaceable(words: Sequence[str], synonyms: _Synonyms) -> list[tuple[int, str, Sequence[str]]]:
    """Return the words that have synonyms and are not stop words: position, word without punctuation, synonyms."""
    bare = [word.strip(_PUNCTUATION) for word in words]
    found = [(place, word, synonyms(word)) for place, word in enumerate(bare) if word and word.lower() not in STOP_WORDS]
    return [entry for entry in found if entry[2]]
