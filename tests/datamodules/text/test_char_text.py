"""Streams of a text: they go on where they ended, each rank has its own, and a restart changes nothing."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from datamodules import CharText
from datamodules.text.char_text import StreamBatch
from datamodules.text.manual import corpus

TEXT = "".join(chr(97 + number * number % 23) + "\n" * (number % 7 == 0) for number in range(1200))


def of_text(path: Path, text: str = TEXT, rank: int = 0, world_size: int = 1, **arguments: Any) -> CharText:
    (path / "text.txt").write_text(text, encoding="utf-8")
    data = CharText(**{"source": str(path / "text.txt"), "chunk": 10, "batch_size": 4, "val_fraction": 0.1, **arguments})
    place = {"rank": rank, "num_replicas": world_size}
    strategy = SimpleNamespace(distributed_sampler_kwargs=place)
    if world_size > 1:
        data.trainer = SimpleNamespace(strategy=strategy, overfit_batches=0)  # type: ignore[assignment]  # all it reads
    data.setup()
    return data


def streams(batches: list[StreamBatch]) -> Tensor:
    """The chunks of each stream, put together: (B, L)."""
    return torch.cat([batch.x for batch in batches], dim=1)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_streams_put_together_are_the_text(tmp_path: Path, split: str) -> None:
    data = of_text(tmp_path)
    batches = list(data.loader(split))
    rows = data.splits[split].rows
    text = "".join(data.decode(stream) for stream in streams(batches))
    start = int(rows[0])
    assert text == TEXT[start : start + len(text)]
    left_out = len(rows) - len(text)
    assert 0 <= left_out < 40 if split == "train" else left_out == 0
    assert len(batches) == len(data.loader(split)) > 1


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_y_is_x_one_character_later(tmp_path: Path, split: str) -> None:
    data = of_text(tmp_path)
    for batch in data.loader(split):
        assert torch.equal(batch.y[:, :-1], batch.x[:, 1:])
        for x, y, position in zip(batch.x, batch.y, batch.position.tolist(), strict=True):
            assert data.decode(x) == TEXT[position : position + len(x)]
            assert data.decode(y) == TEXT[position + 1 : position + 1 + len(y)]


def test_streams_begin_where_a_pass_does_and_nowhere_else(tmp_path: Path) -> None:
    loader = of_text(tmp_path).loader("train")
    for _ in range(2):
        assert [batch.start.tolist() for batch in loader] == [[True] * 4, *[[False] * 4] * (len(loader) - 1)]


def test_parts_are_stretches_that_share_nothing(tmp_path: Path) -> None:
    data = of_text(tmp_path)
    train, val, test = (data.splits[part].rows.tolist() for part in ("train", "val", "test"))
    assert train == list(range(train[-1] + 1))
    assert (val[0], test[0]) == (train[-1] + 2, val[-1] + 2)  # the character between is the last one's answer
    assert test[-1] == len(TEXT) - 2
    assert len(val) == pytest.approx(0.1 * len(TEXT), abs=2)
    assert len(test) == pytest.approx(0.05 * len(TEXT), abs=2)


def test_the_report_says_how_many_characters_are_not_known(tmp_path: Path) -> None:
    """The last 30 of 1,000 characters are new. They are 30 of the 150 that are held out."""
    data = of_text(tmp_path, "ab" * 485 + "z" * 30)
    assert data.report()[-1] == "2 characters are known; 20.00% of the held-out characters are not"


def test_each_rank_reads_streams_of_its_own(tmp_path: Path) -> None:
    ranks = [of_text(tmp_path, rank=rank, world_size=2) for rank in range(2)]
    together = streams(list(of_text(tmp_path).loader("train")))
    assert torch.equal(torch.cat([streams(list(data.loader("train"))) for data in ranks]), together)
    for split in ("val", "test"):
        first, second = (list(data.loader(split)) for data in ranks)
        assert len(first) == len(second)  # a rank with a batch less would hang the others
        joined = torch.cat([streams(first)[0], streams(second)[0]])
        assert torch.equal(joined, streams(list(of_text(tmp_path).loader(split)))[0])


def test_streams_that_ranks_cannot_share_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a positive multiple of 3, got 4"):
        of_text(tmp_path, world_size=3).loader("train")


def test_a_restored_loader_goes_on_at_its_place(tmp_path: Path) -> None:
    data = of_text(tmp_path)
    whole, loader = list(data.loader("train")), data.loader("train")
    loader.sampler.set_epoch(3)
    served = iter(loader)
    for _ in range(5):
        next(served)
    place = loader.state_dict()
    restored = data.loader("train")
    restored.load_state_dict(place)
    assert restored.state_dict() == {"epoch": 3, "batch": 5}
    rest = list(restored)
    assert [batch.position.tolist() for batch in rest] == [batch.position.tolist() for batch in whole[5:]]
    assert not rest[0].start.any()
    assert [batch.position.tolist() for batch in restored] == [batch.position.tolist() for batch in whole]


def test_training_knows_its_length(tmp_path: Path) -> None:
    data = of_text(tmp_path)
    assert data.num_train_batches == len(data.train_dataloader()) == len(data.splits["train"].rows) // 40


def test_only_training_characters_are_known_and_rare_ones_are_not(tmp_path: Path) -> None:
    text = TEXT.replace("a", "é", 1) + "ZZZZ"
    data = of_text(tmp_path, text)
    assert not {"é", "Z"} & set(data.characters)  # once, and in the test part only
    assert data.encode("éZ").tolist() == [1, 1]
    assert data.decode(torch.tensor([0, 1, 2])) == "[PAD][UNK]\n"
    assert "é" in of_text(tmp_path, text, min_frequency=1).characters
    assert data.encode("").tolist() == []


def test_text_and_tokens_are_one_to_one() -> None:
    data = CharText()
    data.setup()
    text = corpus()
    assert data.decode(data.encode(text)) == "".join(c if c in data.characters else "[UNK]" for c in text)
    assert sum(c not in data.characters for c in text) < 10
    assert data.input_shape == (100,)
    assert len(data.characters) + 2 <= data.vocab_size == 128


def test_the_tokenizer_of_a_checkpoint_is_the_same_rule(tmp_path: Path) -> None:
    data = of_text(tmp_path)
    assert data.tokenizer_json is not None
    tokenizer = Tokenizer.from_str(data.tokenizer_json)
    tokens = tokenizer.encode(TEXT[:300] + "?").ids
    assert tokens == data.encode(TEXT[:300] + "?").tolist()
    assert tokenizer.decode(tokens[:-1]) == TEXT[:300]
    assert CharText().tokenizer_json is None


def test_more_characters_than_the_vocabulary_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has 24 characters, .* vocab_size is 20: set data.vocab_size 26"):
        of_text(tmp_path, "".join(chr(97 + number % 24) for number in range(2000)), vocab_size=20)


def test_another_text_is_refused(tmp_path: Path) -> None:
    kept = of_text(tmp_path).state_dict()
    other = of_text(tmp_path, TEXT.replace("a", "A"))
    with pytest.raises(ValueError, match=r"not here: 'a'.*text.txt has \d+ \(not there: 'A'\)"):
        other.load_state_dict(kept)
    of_text(tmp_path).load_state_dict(kept)


def test_what_is_no_utf_8_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"na\xefve")
    with pytest.raises(ValueError, match=re.escape(f"{path} is not UTF-8: byte 0xef at offset 2; convert it (iconv -f")):
        CharText(str(path)).setup()


def test_line_ends_and_byte_order_marks_are_no_characters(tmp_path: Path) -> None:
    (tmp_path / "windows.txt").write_bytes(b"\xef\xbb\xbf" + b"ab\r\n" * 500)
    data = CharText(str(tmp_path / "windows.txt"), chunk=5, batch_size=2)
    data.setup()
    assert data.characters == ["\n", "a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: expected a text"),
        (" \n", "is empty: expected a text"),
        ("ab" * 20, r"too short: its 40 characters leave 34 for train, expected at least 41; lower batch_size or chunk"),
    ],
)
def test_a_text_that_is_empty_or_too_short_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"text\.txt.*{message}"):
        of_text(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no text file .*nowhere.txt: expected python_manual, or the path"):
        CharText(str(tmp_path / "nowhere.txt")).setup()


@pytest.mark.parametrize(
    "arguments", [{"chunk": 0}, {"vocab_size": 2}, {"min_frequency": 0}, {"val_fraction": 0.5, "test_fraction": 0.5}]
)
def test_sizes_that_make_no_sense_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        CharText(**arguments)
