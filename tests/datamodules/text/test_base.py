"""Texts: split per class, tokenised by the training part alone, the same after a restart, augmented only in training."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from datamodules.core.batch import SequenceBatch
from datamodules.text import tokenization
from datamodules.text.base import TextData, Texts, make_augment
from zoo.rnn.rnn import RNNClassifier
from zoo.training.quiet import keep_quiet

NUM, CLASSES = 120, ("bad", "fair", "good")
# `w7` stands in text 7 alone, so that it shows which texts a tokenizer was made from
TEXTS = [f"the film {i % 5} is w{i}" + " very" * (i % 4) + f" {CLASSES[i % 3]}" for i in range(NUM)]
EDA = {"name": "eda", "alpha": 0.5, "p": 1.0, "operations": ["swap", "deletion"]}  # those that need no synonyms
QUIET = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False, "num_sanity_val_steps": 0}


class Reviews(TextData):
    """The texts above, or others, with classes in turn."""

    num_classes = 3
    class_names = CLASSES

    def __init__(self, texts: list[str] = TEXTS, parts: dict[str, range] | None = None, **arguments: Any) -> None:
        tokenizer = {"min_frequency": 1, **arguments.pop("tokenizer", {})}
        super().__init__(**{"batch_size": 8, "tokenizer": tokenizer, **arguments})
        self.found, self.given = texts, parts or {"train": range(len(texts))}

    def read(self) -> Texts:
        parts = {part: torch.tensor(rows) for part, rows in self.given.items()}
        return Texts(self.found, torch.arange(len(self.found)) % 3, parts, "reviews.csv")


def ready(**arguments: Any) -> Reviews:
    data = Reviews(**arguments)
    data.setup()
    return data


def rows_of(data: TextData, part: str) -> list[int]:
    rows: list[int] = data.splits[part].rows.tolist()
    return rows


def by_position(batches: Any) -> dict[int, tuple[int, list[int], int]]:
    """Length, tokens that count and class of each sample."""
    return {
        position: (length, x[:length], y)
        for batch in batches
        for position, length, x, y in zip(
            batch.position.tolist(), batch.lengths.tolist(), batch.x.tolist(), batch.y.tolist(), strict=True
        )
    }


def augmented(data: TextData, epoch: int, train: bool = True) -> dict[int, tuple[int, list[int], int]]:
    loader = data.loader("train")
    loader.sampler.set_epoch(epoch)
    return by_position(data.transform(batch, epoch, train) for batch in loader)


@pytest.fixture(scope="module")
def plain() -> Reviews:
    return ready()


def test_parts_are_disjoint_complete_and_true_to_the_classes(plain: Reviews) -> None:
    rows = {part: rows_of(plain, part) for part in plain.splits}
    assert {part: len(held) for part, held in rows.items()} == {"test": 24, "val": 9, "train": 87}  # 8 and 3 of each class
    assert sorted(row for part in rows.values() for row in part) == list(range(NUM))
    for part in rows.values():
        assert torch.bincount(plain.y[part]).unique().numel() == 1
    assert {part: rows_of(ready(seed=1), part) for part in rows} == rows
    other = ready(split_seed=1)
    assert all(rows_of(other, part) != held for part, held in rows.items())


@pytest.mark.parametrize(
    ("parts", "sizes"),
    [
        ({"train": range(90), "test": range(90, 120)}, {"train": 81, "val": 9, "test": 30}),
        ({"train": range(90), "val": range(90, 120)}, {"train": 72, "val": 30, "test": 18}),
        ({"train": range(60), "val": range(60, 80), "test": range(80, 120)}, {"train": 60, "val": 20, "test": 40}),
    ],
)
def test_parts_that_the_set_has_stay_as_they_are(parts: dict[str, range], sizes: dict[str, int]) -> None:
    data = ready(parts=parts)
    assert {part: len(split.rows) for part, split in data.splits.items()} == sizes
    for part in parts.keys() - {"train"}:
        assert rows_of(data, part) == list(parts[part])
    assert sorted(row for part in data.splits for row in rows_of(data, part)) == list(range(120))


def test_the_tokenizer_knows_training_texts_only(plain: Reviews) -> None:
    assert plain.tokenizer is not None
    known = plain.tokenizer.get_vocab().keys()
    assert {word for word in known if re.fullmatch(r"w\d+", word)} == {f"w{row}" for row in rows_of(plain, "train")}
    for part in ("val", "test"):
        for row in rows_of(plain, part):
            assert plain.tokens_of(row)[4] == "[UNK]"


def test_tokens_lengths_and_padding(plain: Reviews) -> None:
    (x, y, lengths), _ = plain.splits["train"]
    assert (tuple(x.shape), x.dtype) == ((NUM, 64), torch.int32)
    assert plain.input_shape == (64,)
    assert lengths is not None
    assert lengths.tolist() == [len(text.split()) for text in TEXTS]
    assert torch.equal(x == 0, torch.arange(64) >= lengths[:, None])  # 0 past the end, and nowhere else
    assert y.tolist() == [i % 3 for i in range(NUM)]
    row = rows_of(plain, "train")[3]
    assert plain.tokens_of(row) == TEXTS[row].split()


def test_batches_are_cut_to_their_longest_and_lead_back_to_the_texts(plain: Reviews) -> None:
    for part in ("train", "val", "test"):
        positions: list[int] = []
        for batch in plain.loader(part):
            assert batch.x.dtype == torch.int64
            assert batch.x.shape[1] == batch.lengths.max()
            for position, length, y, x in zip(batch.position.tolist(), batch.lengths, batch.y, batch.x, strict=True):
                words = [word if word in plain.tokenizer.get_vocab() else "[UNK]" for word in plain.texts[position].split()]
                assert [plain.tokenizer.id_to_token(token) for token in x[:length].tolist()] == words
                assert not x[length:].any()
                assert y == position % 3
            positions += batch.position.tolist()
        assert set(positions) <= set(rows_of(plain, part))
        assert len(positions) == len(set(positions)) == (80 if part == "train" else len(rows_of(plain, part)))


def test_what_is_longer_than_max_length_is_cut_and_counted() -> None:
    data = ready(max_length=7)
    num_cut = sum(len(text.split()) > 7 for text in TEXTS)
    assert num_cut == 60
    (x, _, lengths), _ = data.splits["train"]
    assert lengths is not None
    assert x.shape == (NUM, 7)
    assert lengths.tolist() == [min(7, len(text.split())) for text in TEXTS]
    row = next(row for row in rows_of(data, "train") if row % 4 == 3)
    assert data.tokens_of(row) == TEXTS[row].split()[:7]
    # 87 words of the training texts' own, the film is very, 5 numbers, 3 classes, padding and unknown
    line = data.report()[-1]
    held_out = [row for part in ("val", "test") for row in rows_of(data, part)]
    share = len(held_out) / sum(min(7, len(TEXTS[row].split())) for row in held_out)  # one unknown word in each
    assert line == (
        "reviews.csv: 120 texts of 7 tokens on average, 60 were longer than max_length 7 and cut; "
        f"101 tokens known, {share:.1%} of the held-out tokens are unknown"
    )


def test_where_nothing_is_cut_the_report_says_so() -> None:
    assert " tokens on average, none was cut; 101 tokens known" in ready(max_length=9).report()[-1]
    assert ", 30 were longer than max_length 8 and cut; " in ready(max_length=8).report()[-1]


def test_the_report_counts_splits_classes_and_tokens(plain: Reviews) -> None:
    first, second, third = plain.report()
    assert first == "Reviews: 87 train, 9 val, 24 test samples"
    assert second == "3 classes: bad (40), fair (40), good (40)"
    assert third.startswith("reviews.csv: 120 texts of 8 tokens on average, none was cut; 101 tokens known, ")


REPEATED = [f"the film {i // 6}" for i in range(300)]  # each text twice in each class


def test_duplicates_stay_together() -> None:
    data = ready(texts=REPEATED)
    keys = {part: {(data.texts[row], int(data.y[row])) for row in rows_of(data, part)} for part in data.splits}
    assert sum(map(len, keys.values())) == len(set.union(*keys.values())) == 150
    assert {part: len(rows_of(data, part)) for part in keys} == {"test": 60, "val": 24, "train": 216}
    assert len(data.report()) == 3  # no note


def test_duplicates_across_given_parts_are_counted() -> None:
    data = ready(texts=REPEATED, parts={"train": range(3, 300), "test": range(60)})
    assert "57 of 60 texts in test are also in train, with the same class" not in data.report()  # some of them validate
    (note,) = data.notes
    assert re.fullmatch(r"\d+ of 60 texts in test are also in train, with the same class", note)


def test_a_set_may_follow_a_protocol_of_random_splits() -> None:
    class Published(Reviews):
        keep_duplicates_together = False

    data = Published(texts=REPEATED)
    data.setup()
    assert len(data.notes) == 2
    assert {part: len(rows_of(data, part)) for part in data.splits} == {"test": 60, "val": 24, "train": 216}


def test_one_class_is_refused_for_training_and_can_be_tested() -> None:
    def one_class() -> Reviews:
        data = Reviews()
        data.read = lambda: Texts(TEXTS, torch.full((NUM,), 1), {"train": torch.arange(NUM)}, "reviews.csv")  # type: ignore[method-assign]
        return data

    with pytest.raises(ValueError, match=r"reviews\.csv has only one class for training, 'fair': add samples of another class"):
        one_class().setup("fit")
    one_class().setup("test")


def test_a_second_setup_changes_nothing(plain: Reviews) -> None:
    splits, tokenizer, report = plain.splits, plain.tokenizer, plain.report()
    plain.setup("test")
    assert plain.splits is splits
    assert plain.tokenizer is tokenizer
    assert plain.report() == report


@pytest.mark.parametrize("num_train", [3, 4, 20, 50, 86, 87])
def test_training_on_few_texts_holds_out_the_same_ones(plain: Reviews, num_train: int) -> None:
    data = ready(num_train=num_train)
    rows = rows_of(data, "train")
    assert len(rows) == num_train
    assert set(rows) <= set(rows_of(plain, "train"))
    counts = torch.bincount(data.y[rows], minlength=3)
    assert counts.max() - counts.min() <= 1
    for part in ("val", "test"):
        assert rows_of(data, part) == rows_of(plain, part)
    assert rows_of(ready(num_train=num_train, seed=1), "train") == rows  # runs of several seeds compare
    assert data.tokenizer is not None
    known = data.tokenizer.get_vocab().keys()
    assert {word for word in known if re.fullmatch(r"w\d+", word)} == {f"w{row}" for row in rows}


@pytest.mark.parametrize("num_train", [0, -1, 2, 88])
def test_too_few_or_too_many_training_texts(num_train: int) -> None:
    with pytest.raises(ValueError, match=rf"num_train must lie in 3\.\.87, .*, got {num_train}"):
        ready(num_train=num_train)


@pytest.mark.parametrize(("text", "shown"), [("", "''"), ("  \t\n ", r"'  \\t\\n '"), ("\u00a0", r"'\\xa0'")])
def test_a_text_without_a_token_is_named(text: str, shown: str) -> None:
    texts = [*TEXTS[:40], text, *TEXTS[41:]]
    with pytest.raises(ValueError, match=rf"^text 40 of reviews\.csv has no token: {shown}; leave it out$"):
        ready(texts=texts)
    texts[70] = ""
    with pytest.raises(ValueError, match=rf"^text 40 of reviews\.csv has no token: {shown} \(and 1 more\); leave it out$"):
        ready(texts=texts)


@pytest.mark.parametrize("kind", ["word", "bpe", "char"])
@pytest.mark.parametrize("lowercase", [True, False])
def test_a_text_that_writes_padding_has_none(kind: tokenization.Kind, lowercase: bool) -> None:
    """A token 0 in its midst would end it for some, and not for others."""
    data = ready(texts=[*TEXTS, "a [PAD] b [UNK]"], tokenizer={"kind": kind, "lowercase": lowercase, "vocab_size": 400})
    (x, _, lengths), _ = data.splits["train"]
    assert lengths is not None
    assert lengths[NUM] > 6
    assert (x[NUM, : lengths[NUM]] > 0).all()
    if kind == "word":
        assert data.tokens_of(NUM).count("[UNK]") >= 2 + 2 + 1 + 1  # [, PAD, ] [ and so on, of which no other text has any


@pytest.mark.parametrize(
    ("kind", "tokens"), [("word", ["a", "film"]), ("char", ["a", " ", "f", "i", "l", "m"]), ("bpe", ["Ġa", "Ġfilm"])]
)
def test_the_kind_of_token_is_chosen(kind: tokenization.Kind, tokens: list[str]) -> None:
    data = ready(texts=["a film" + " " * i for i in range(30)], tokenizer={"kind": kind, "vocab_size": 300})
    assert data.tokens_of(0) == tokens


def test_a_tokenizer_file_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenization.train(["the film is w119 very"], {"vocab_size": 50, "min_frequency": 1}).save(str(path))
    data = ready(tokenizer={"file": str(path), "kind": "char", "vocab_size": 7})
    assert data.tokens_of(119) == ["the", "film", "[UNK]", "is", "w119", "very", "very", "very", "[UNK]"]
    assert data.tokens_of(118)[4] == "[UNK]"
    assert "7 tokens known" in data.report()[-1]


def test_the_unknown_of_another_tokenizer_is_counted_as_well(tmp_path: Path) -> None:
    """BERT's is token 100, not 1."""
    path = tmp_path / "tokenizer.json"
    found = json.loads(tokenization.train(["is the film very"], {"vocab_size": 50, "min_frequency": 1}).to_str())
    found["added_tokens"] = [dict(token, id=0 if token["content"] == "[PAD]" else 5) for token in found["added_tokens"]]
    found["model"]["vocab"] = {"[PAD]": 0, "is": 1, "the": 2, "film": 3, "very": 4, "[UNK]": 5}
    path.write_text(json.dumps(found))
    data = ready(tokenizer={"file": str(path)})
    held_out = [row for part in ("val", "test") for row in rows_of(data, part)]
    words = [word for row in held_out for word in TEXTS[row].split()]
    share = sum(word not in ("is", "the", "film", "very") for word in words) / len(words)
    assert f"6 tokens known, {share:.1%} of the held-out tokens are unknown" in data.report()[-1]


def test_more_tokens_than_the_embedding_has_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenization.train(TEXTS, {"vocab_size": 50}).save(str(path))
    data = Reviews(tokenizer={"file": str(path), "vocab_size": 13})
    with pytest.raises(
        ValueError, match=r"the tokenizer has 14 tokens, more than vocab_size 13: set data\.tokenizer\.vocab_size 14"
    ):
        data.setup()


def test_a_length_of_no_token_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length must be at least 1 token, got 0"):
        Reviews(max_length=0)


def test_other_texts_are_seen_by_the_checkpoints_tokenizer() -> None:
    trained = ready()
    other = ready(texts=[f"the {CLASSES[i % 3]} is unheard of w{i}" for i in range(60)])
    before = {part: rows_of(other, part) for part in other.splits}
    other.load_state_dict(json.loads(json.dumps(trained.state_dict())))  # plain values: any checkpoint can carry them
    assert other.tokenizer_json == trained.tokenizer_json
    assert {part: rows_of(other, part) for part in other.splits} == before
    known = trained.tokenizer.get_vocab() if trained.tokenizer else {}
    for batch in other.test_dataloader():
        for position, length, x in zip(batch.position.tolist(), batch.lengths, batch.x, strict=True):
            assert x[:length].tolist() == [known.get(word, 1) for word in other.texts[position].split()]
    assert other.tokens_of(0)[-3:-1] == ["[UNK]", "[UNK]"]


def test_the_same_tokenizer_is_no_reason_to_encode_again() -> None:
    trained, again = ready(), ready()
    splits = again.splits
    again.load_state_dict(trained.state_dict())
    assert again.splits is splits


def test_a_checkpoint_of_other_classes_or_of_a_larger_vocabulary_is_refused() -> None:
    state = ready().state_dict()
    with pytest.raises(ValueError, match=r"the checkpoint has the classes good, fair, bad, but Reviews has bad, fair, good"):
        ready().load_state_dict({**state, "class_names": list(CLASSES[::-1])})
    with pytest.raises(
        ValueError, match=r"the tokenizer has 101 tokens, more than vocab_size 90: set data\.tokenizer\.vocab_size 101"
    ):
        ready(texts=["the film" + " " * i for i in range(60)], tokenizer={"vocab_size": 90}).load_state_dict(state)


def test_a_file_that_is_asked_for_is_not_replaced_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenization.train(TEXTS[:5], {"vocab_size": 50}).save(str(path))
    data = ready(tokenizer={"file": str(path)})
    with pytest.raises(ValueError, match=rf"the checkpoint's tokenizer is not {path}: its tokens would mean other words"):
        data.load_state_dict(ready().state_dict())
    data.load_state_dict(ready(tokenizer={"file": str(path)}).state_dict())  # the same


def fitted(data: TextData, ckpt_path: Path | None = None, max_epochs: int = 1) -> Trainer:
    keep_quiet()
    torch.manual_seed(0)
    model = RNNClassifier((64,), 3, vocab_size=10_000, embed_dim=4, hidden_dim=4)
    trainer = Trainer(**QUIET, max_epochs=max_epochs, enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(model, data, ckpt_path=ckpt_path, weights_only=True)
    return trainer


def test_training_does_not_go_on_with_another_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    fitted(Reviews()).save_checkpoint(path)
    assert fitted(Reviews(), path, max_epochs=2).current_epoch == 2
    with pytest.raises(ValueError, match=r"the checkpoint's tokenizer is not the one that reviews\.csv builds now: .* anew"):
        fitted(Reviews(tokenizer={"min_frequency": 2}), path, max_epochs=2)


def test_a_test_of_other_texts_uses_the_checkpoints_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    trainer = fitted(trained := Reviews())
    trainer.save_checkpoint(path)
    other = Reviews(texts=[f"{text} again" for text in TEXTS[::-1]])
    trainer.test(trainer.lightning_module, other, ckpt_path=path, weights_only=True, verbose=False)
    assert other.tokenizer_json == trained.tokenizer_json


def test_training_texts_are_augmented_and_no_others() -> None:
    data = ready(augment=EDA)
    before, after = by_position(data.loader("train")), augmented(data, epoch=0)
    assert before.keys() == after.keys()
    changed = [position for position in before if after[position][1] != before[position][1]]
    assert len(changed) > 60  # of 80: a swap may draw equal words, a deletion none
    for position in changed:
        assert set(after[position][1]) <= set(before[position][1])  # neither operation brings in a word
        assert after[position][2] == before[position][2]
    assert augmented(data, epoch=0, train=False) == before
    for part in ("val", "test"):
        evaluated = by_position(data.transform(batch, 3, False) for batch in data.loader(part))
        assert evaluated == by_position(data.loader(part))


def test_a_change_is_a_function_of_seed_epoch_and_position() -> None:
    first = augmented(ready(augment=EDA, seed=4), epoch=2)
    torch.manual_seed(99)
    assert augmented(ready(augment=EDA, seed=4), epoch=2) == first

    def differ(other: dict[int, Any]) -> int:
        return sum(other[position] != first[position] for position in first.keys() & other.keys())

    large = augmented(ready(augment=EDA, seed=4, batch_size=87), epoch=2)  # another order, other neighbours, all in one batch
    assert first.keys() <= large.keys()
    assert differ(large) == 0
    assert differ(augmented(ready(augment=EDA, seed=4), epoch=3)) > 50
    assert differ(augmented(ready(augment=EDA, seed=5), epoch=2)) > 50


def test_an_augmented_batch_has_the_shape_of_any_other() -> None:
    data = ready(augment={**EDA, "operations": ["deletion"], "alpha": 0.9}, max_length=5)
    for batch in data.loader("train"):
        out = data.transform(batch, 0, True)
        assert isinstance(out, SequenceBatch)
        assert (out.x.dtype, out.lengths.dtype, out.lengths.device.type) == (torch.int64, torch.int64, "cpu")
        assert out.x.shape == (8, out.lengths.max())
        assert out.x.shape[1] <= 5
        assert torch.equal(out.x == 0, torch.arange(out.x.shape[1]) >= out.lengths[:, None])
        assert out.lengths.min() >= 1  # nine of ten words go, but not all
        assert torch.equal(out.y, batch.y)
        assert torch.equal(out.position, batch.position)


def test_words_that_augmentation_brings_are_learnt_and_those_of_held_out_texts_are_not(tmp_path: Path) -> None:
    path = tmp_path / "synonyms.json"
    path.write_text(json.dumps({"film": {"noun": ["picture"]}, **{f"w{i}": {"noun": [f"syn{i}"]} for i in range(NUM)}}))
    data = ready(augment={"name": "eda", "alpha": 1.0, "p": 1.0, "operations": ["synonym"], "synonyms": str(path)})
    assert data.tokenizer is not None
    known = data.tokenizer.get_vocab().keys()
    for rows, expected in ((rows_of(data, "train"), True), (rows_of(data, "val") + rows_of(data, "test"), False)):
        assert {f"{kind}{row}" in known for row in rows for kind in ("w", "syn")} == {expected}
    for batch in data.loader("train"):
        out = data.transform(batch, 0, True)
        for position, length, x in zip(out.position.tolist(), out.lengths, out.x, strict=True):
            expected_words = TEXTS[position].replace("film", "picture").replace(f"w{position}", f"syn{position}").split()
            assert [data.tokenizer.id_to_token(token) for token in x[:length].tolist()] == expected_words


@pytest.mark.parametrize(
    "settings", [{"operations": ["swap"], "p": 0.0}, {"operations": ["swap"]}, {"operations": ["deletion"]}]
)
@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_copies_of_a_text_do_not_count_as_data(settings: dict[str, Any], kind: tokenization.Kind) -> None:
    """Otherwise each word of a training text would be frequent enough."""
    tokenizer = {"kind": kind, "min_frequency": 2, "vocab_size": 400}
    data = ready(augment={"name": "eda", "p": 1.0, **settings}, tokenizer=tokenizer)
    assert data.tokenizer is not None
    assert data.tokenizer.get_vocab() == ready(tokenizer=tokenizer).tokenizer.get_vocab()


def test_what_the_tokenizer_learns_from_augmentation_is_the_same_in_every_run() -> None:
    first, other = ready(augment=EDA, seed=1), ready(augment=EDA, seed=2)
    assert first.tokenizer_json == other.tokenizer_json


def test_without_a_chance_nothing_changes(plain: Reviews) -> None:
    assert augmented(ready(augment={**EDA, "p": 0.0}), epoch=1) == augmented(plain, epoch=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "noise"}, r"unknown augmentation 'noise': choose one of eda, back_translation"),
        ({"p": 0.5}, r"unknown augmentation '': choose one of eda, back_translation"),
        ({"name": "eda", "forward": "x"}, r"eda has no setting 'forward': it takes alpha, operations, p, synonyms"),
        ({"name": "back_translation", "alpha": 0.1}, r"back_translation has no setting 'alpha': it takes backward, forward, p"),
        ({"name": "eda", "p": 1.5}, r"p, the probability that a text is augmented, must be from 0 to 1, got 1\.5"),
        ({"name": "eda", "operations": ["shuffle"]}, r"unknown operation 'shuffle'"),
        ({"name": "back_translation", "forward": "x"}, r"back_translation needs 'backward': a Marian model, such as"),
        ({"name": "back_translation"}, r"back_translation needs 'backward'"),
    ],
)
@pytest.mark.parametrize("refuse", [make_augment, lambda settings: Reviews(augment=settings)])
def test_augmentation_that_there_is_not_is_refused(
    refuse: Callable[[Any], object], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        refuse(settings)
