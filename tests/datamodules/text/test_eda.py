"""Text augmentation: what each operation may and may not do to a text, and how often it does."""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from datamodules.text.eda import (
    EDA,
    OPERATIONS,
    STOP_WORDS,
    TextAugment,
    random_deletion,
    random_insertion,
    random_swap,
    synonym_replacement,
)

WORDS = [f"{a}{b}" for a in "bcdfghjk" for b in ("ave", "ilo", "orm", "uss", "ent")]  # 40 words that differ
SYNONYMS = {word: [f"{word}-1", f"{word} the second"] for word in WORDS}
CLOSE = 3.29  # standard deviations from the mean: by chance 1 in 1,000


def synonyms(word: str) -> Sequence[str]:
    """Of the words above, and of "the", that no operation may ask for."""
    return {**SYNONYMS, "the": ["thy"], "film": ["movie"], "good": ["fine"]}.get(word.lower(), ())


def is_subsequence(part: Sequence[str], whole: Sequence[str]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "synonyms.json"
    file.write_text(json.dumps({word: {"noun": others} for word, others in SYNONYMS.items()}))
    return str(file)


def test_replaces_by_hand() -> None:
    words = ["The", "Good", "film,", "(film)", "“good”", "...", "again"]
    assert synonym_replacement(words, 9, synonyms, random.Random(0)) == [
        "The",
        "fine",
        "movie,",
        "(movie)",
        "“fine”",
        "...",
        "again",
    ]
    assert synonym_replacement(["the", "again"], 2, synonyms, random.Random(0)) == ["the", "again"]
    assert words[2] == "film,"  # what was given is not touched


@pytest.mark.parametrize("num", [1, 3, 10])
def test_replaces_as_many_words_as_told_and_no_stop_word(num: int) -> None:
    words = [word for pair in zip(WORDS, sorted(STOP_WORDS)[:40], strict=True) for word in pair]
    everything = {**SYNONYMS, **{word: ["wrong"] for word in STOP_WORDS}}
    for seed in range(50):
        changed = synonym_replacement(words, num, everything.__getitem__, random.Random(seed))
        differing = [(old, new) for old, new in zip(words, changed, strict=True) if old != new]
        assert len(differing) == num
        assert all(new in SYNONYMS[old] for old, new in differing)


def test_every_word_and_synonym_is_as_likely() -> None:
    draw = random.Random(0)
    words = ["the", *WORDS[:5]]
    counts = Counter(
        next(new for old, new in zip(words, synonym_replacement(words, 1, synonyms, draw), strict=True) if old != new)
        for _ in range(5000)
    )
    assert len(counts) == 10
    assert sum((count - 500) ** 2 / 500 for count in counts.values()) < 27.9  # chi-square, 9 degrees of freedom, 1 in 1,000


@pytest.mark.parametrize("num", [1, 2, 7])
def test_inserts_synonyms_among_the_words(num: int) -> None:
    words = ["the", *WORDS[:8]]
    allowed = {synonym for word in WORDS[:8] for synonym in SYNONYMS[word]}
    for seed in range(50):
        changed = random_insertion(words, num, synonyms, random.Random(seed))
        added = Counter(changed) - Counter(words)
        assert is_subsequence(words, changed)
        assert len(changed) == len(words) + num
        assert sum(added.values()) == num
        assert added.keys() <= allowed


def test_inserts_at_every_place_as_often() -> None:
    draw = random.Random(0)
    counts = Counter(random_insertion(["the", "film", "ends", "well"], 1, synonyms, draw).index("movie") for _ in range(5000))
    assert set(counts) == set(range(5))
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 18.5  # 4 degrees of freedom


def test_inserts_nothing_where_no_word_has_a_synonym() -> None:
    assert random_insertion(["the", "unknown"], 3, synonyms, random.Random(0)) == ["the", "unknown"]


def test_swaps_by_hand() -> None:
    assert random_swap(["a", "b"], 1, random.Random(0)) == ["b", "a"]  # two different places, so two swaps undo each other
    assert random_swap(["a", "b"], 2, random.Random(0)) == ["a", "b"]
    assert random_swap(["a"], 3, random.Random(0)) == ["a"]


@pytest.mark.parametrize("num", [1, 2, 5])
def test_swaps_keep_the_words(num: int) -> None:
    for seed in range(50):
        changed = random_swap(WORDS, num, random.Random(seed))
        assert Counter(changed) == Counter(WORDS)
        moved = sum(old != new for old, new in zip(WORDS, changed, strict=True))
        assert moved <= 2 * num
        assert num != 1 or moved == 2


def test_every_pair_is_swapped_as_often() -> None:
    draw = random.Random(0)
    counts = Counter("".join(random_swap("abcd", 1, draw)) for _ in range(6000))
    assert set(counts) == {"bacd", "cbad", "dbca", "acbd", "adcb", "abdc"}
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 20.6  # 5 degrees of freedom


@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
def test_deletes_each_word_with_its_probability(p: float) -> None:
    draw = random.Random(0)
    kept = [random_deletion(WORDS, p, draw) for _ in range(500)]
    assert all(is_subsequence(words, WORDS) for words in kept)
    assert all(kept)
    total = 500 * len(WORDS)
    assert abs(total - sum(map(len, kept)) - total * p) < CLOSE * (total * p * (1 - p)) ** 0.5 + 500 * p ** len(WORDS)


def test_deletion_leaves_one_word() -> None:
    draw = random.Random(0)
    assert {tuple(random_deletion(["a", "b", "c"], 1.0, draw)) for _ in range(50)} == {("a",), ("b",), ("c",)}
    assert random_deletion(["a"], 1.0, draw) == ["a"]


def told_apart(text: str, changed: str) -> str:
    """The operation, where the texts' words all differ and have synonyms of one word."""
    old, new = text.split(), changed.split()
    if len(new) != len(old):
        return "insertion" if len(new) > len(old) else "deletion"
    return "swap" if sorted(old) == sorted(new) else "synonym"


@pytest.mark.parametrize("operations", [OPERATIONS, ("swap",), ("deletion", "synonym")])
def test_one_operation_is_drawn_each_as_likely(tmp_path: Path, operations: Sequence[str]) -> None:
    (tmp_path / "synonyms.json").write_text(json.dumps({word: {"noun": [f"{word}-1"]} for word in WORDS}))
    text, draw, num = " ".join(WORDS), random.Random(0), 2000
    augment = EDA(alpha=0.3, p=0.75, operations=operations, synonyms=str(tmp_path / "synonyms.json"))
    results = [augment(text, draw) for _ in range(num)]
    counts = Counter(told_apart(text, changed) for changed in results if changed != text)
    assert set(counts) == set(operations)
    share = 0.75 / len(operations)
    for count in counts.values():
        assert abs(count - num * share) < CLOSE * (num * share * (1 - share)) ** 0.5


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.5])
def test_changes_a_share_alpha_of_the_words(path: str, alpha: float) -> None:
    """Lengths 20 to 40, each operation by itself: replaced, added and dropped words, and places swapped."""
    texts, draw = [WORDS[:length] for length in range(20, 41)] * 20, random.Random(0)
    total = sum(map(len, texts))
    changed = {}
    for name in OPERATIONS:
        augment = EDA(alpha, p=1.0, operations=[name], synonyms=path)
        results = [augment(" ".join(words), draw).replace(" the second", "-2").split() for words in texts]
        if name in ("synonym", "swap"):
            differing = sum(a != b for old, new in zip(texts, results, strict=True) for a, b in zip(old, new, strict=True))
            changed[name] = differing / total
        else:
            changed[name] = abs(total - sum(map(len, results))) / total
    assert changed["synonym"] == pytest.approx(alpha, rel=0.05)
    assert changed["insertion"] == pytest.approx(alpha, rel=0.05)
    assert changed["deletion"] == pytest.approx(alpha, rel=0.1)
    assert alpha < changed["swap"] <= 2 * alpha * 1.05  # two places each, of which some are swapped again


def test_at_least_one_word_changes(path: str) -> None:
    augment = EDA(alpha=0.01, p=1.0, operations=["synonym"], synonyms=path)
    assert augment("bave", random.Random(0)) in SYNONYMS["bave"]


def test_is_a_function_of_the_draw(path: str) -> None:
    augment: TextAugment = EDA(p=1.0, synonyms=path)
    text = " ".join(WORDS[:20])
    results = [augment(text, random.Random(seed)) for seed in range(50)]
    random.seed(1)  # the global generator has no say
    assert results == [EDA(p=1.0, synonyms=path)(text, random.Random(seed)) for seed in range(50)]
    assert len(set(results)) > 40


def test_probability_0_is_the_identity(path: str) -> None:
    augment = EDA(p=0.0, synonyms=path)
    text = "  bave\n\nbilo\tthe  borm "
    assert all(augment(text, random.Random(seed)) == text for seed in range(50))


@pytest.mark.parametrize("text", ["", " \n", "the", "bave", "?!", "bave bave"])
def test_no_text_becomes_empty(path: str, text: str) -> None:
    augment = EDA(alpha=1.0, p=1.0, synonyms=path)
    for seed in range(50):
        changed = augment(text, random.Random(seed))
        assert bool(changed.split()) == bool(text.split())
        assert text.split() or changed == text


def test_needs_no_synonyms_for_swap_and_deletion() -> None:
    augment = EDA(p=1.0, operations=["swap", "deletion"], synonyms="nowhere")
    assert augment("a b c d", random.Random(0))
    with pytest.raises(FileNotFoundError, match="no WordNet at nowhere"):
        EDA(p=1.0, operations=["synonym"], synonyms="nowhere")("a b c d", random.Random(0))


def test_with_the_real_wordnet(mirror: Path) -> None:
    text = "This film was a great surprise, and the plot is quite clever."
    augment = EDA(alpha=0.2, p=1.0, operations=["synonym"], synonyms=str(mirror / "wordnet" / "wordnet_synonyms.json.gz"))
    results = {augment(text, random.Random(seed)) for seed in range(200)}
    assert any("movie was" in result for result in results)
    assert any(result.endswith(" cagey.") or result.endswith(" canny.") for result in results)  # the full stop stays
    assert all(result.startswith("This ") and " was a " in result and " and the " in result for result in results)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: EDA(alpha=0.0), "alpha, the share of words changed, must be above 0 and at most 1, got 0.0"),
        (lambda: EDA(alpha=1.1), "alpha, .* got 1.1"),
        (lambda: EDA(alpha=float("nan")), "alpha, .* got nan"),
        (lambda: EDA(p=-0.1), "p, the probability that a text is augmented, must be from 0 to 1, got -0.1"),
        (lambda: EDA(p=1.5), "p, .* got 1.5"),
        (lambda: EDA(operations=[]), "operations must name at least one of synonym, insertion, swap, deletion"),
        (
            lambda: EDA(operations=["swap", "shuffle"]),
            r"unknown operation 'shuffle' in \['swap', 'shuffle'\]: choose from synonym, insertion, swap, deletion",
        ),
    ],
)
def test_refuses(build: Callable[[], EDA], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
