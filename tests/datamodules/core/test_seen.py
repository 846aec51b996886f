"""Samples are recognised by their content, in all kinds of data."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.trainer.states import TrainerFn

from datamodules import CharText, Digits, Series, Tabular
from datamodules.core.base import DataModule
from datamodules.core.seen import count_common, identities, identities_of_rows, thin


def test_equal_samples_have_equal_numbers_and_others_differ() -> None:
    x, y = torch.rand(50, 3, 4), torch.arange(50)
    numbers = identities_of_rows(x, y)
    assert len(set(numbers)) == 50
    assert identities_of_rows(x.flip(0), y.flip(0)) == numbers[::-1]  # wherever they are
    assert not set(identities_of_rows(x, y + 1)) & set(numbers)  # the target counts
    assert identities([b"a", b"b", b"a"])[0] == identities([b"a"])[0] != identities([b"b"])[0]


def test_thinned_rows_are_evenly_spaced_and_no_more_than_asked() -> None:
    rows = torch.arange(100)
    assert thin(rows, 30).tolist() == list(range(0, 100, 4))
    assert thin(rows, 100).tolist() == thin(rows, None).tolist() == rows.tolist()
    assert thin(rows[:0], 5).tolist() == []


def test_common_samples_are_counted_once() -> None:
    assert count_common([1, 2, 2, 3], [2, 3, 3, 4]) == 2


def words(path: Path, num: int, seed: int) -> str:
    draw = random.Random(seed)
    path.write_text("".join("".join(draw.choices("abcdefgh ", k=50)) + "\n" for _ in range(num)))
    return str(path)


def numbers(path: Path, seed: int, num: int = 200) -> str:
    draw = random.Random(seed)
    path.write_text("year,a\n" + "".join(f"{1700 + year},{draw.random():.6f}\n" for year in range(num)))
    return str(path)


def text(folder: Path, seed: int = 0, **arguments: Any) -> DataModule:
    return CharText(words(folder / "a.txt", 200, seed), chunk=10, batch_size=4, **arguments)


def series(folder: Path, seed: int = 0, **arguments: Any) -> DataModule:
    return Series(numbers(folder / "a.csv", seed), context=4, **arguments)


def images(folder: Path, split_seed: int = 0) -> DataModule:
    return Digits(split_seed=split_seed)


def evaluated(data: DataModule, fn: TrainerFn, state: dict[str, Any]) -> DataModule:
    """Load the state of a checkpoint as a trainer does that runs `fn`."""
    data.recognise(state)
    data.setup()
    data.trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    data.trainer.state.fn = fn
    data.load_state_dict(state)
    return data


@pytest.mark.parametrize(
    ("make", "fn", "other"),
    [
        (text, TrainerFn.TESTING, {"test_fraction": 0.4}),
        (text, TrainerFn.VALIDATING, {"val_fraction": 0.4}),
        (series, TrainerFn.PREDICTING, {"test_fraction": 0.6}),
        (images, TrainerFn.VALIDATING, {"split_seed": 5}),
    ],
)
def test_a_split_with_training_samples_is_refused(
    make: Callable[..., DataModule], fn: TrainerFn, other: dict[str, Any], tmp_path: Path
) -> None:
    trained = make(tmp_path)
    trained.setup()
    state = trained.state_dict()
    evaluated(make(tmp_path), fn, state)
    with pytest.raises(ValueError, match="of the samples that the checkpoint was trained on, because"):
        evaluated(make(tmp_path, **other), fn, state)


def test_a_new_series_is_tested_whole(tmp_path: Path) -> None:
    trained = series(tmp_path)
    trained.setup()
    data = evaluated(series(tmp_path, seed=1), TrainerFn.TESTING, trained.state_dict())
    assert data.splits.keys() == {"test"}
    assert len(data.splits["test"].rows) == 200 - 4


def test_a_longer_series_is_split_as_before(tmp_path: Path) -> None:
    """The test part moves on in time, so that it holds nothing of the training."""
    trained = series(tmp_path)
    trained.setup()
    longer = Series(numbers(tmp_path / "a.csv", 0, num=230), context=4)
    data = evaluated(longer, TrainerFn.TESTING, trained.state_dict())
    assert data.splits.keys() == {"train", "val", "test"}


def test_new_data_may_repeat_a_few_training_samples(tmp_path: Path) -> None:
    trained = series(tmp_path)
    trained.setup()
    lines = Path(numbers(tmp_path / "b.csv", seed=1)).read_text().splitlines()
    old = (tmp_path / "a.csv").read_text().splitlines()
    lines[100:140] = old[100:140]  # 36 windows of the training
    (tmp_path / "b.csv").write_text("\n".join(lines) + "\n")
    data = evaluated(Series(str(tmp_path / "b.csv"), context=4), TrainerFn.TESTING, trained.state_dict())
    assert data.splits.keys() == {"test"}
    assert data.num_seen(data.splits["test"]) > 0


def test_a_table_whose_rows_repeat_is_not_new(tmp_path: Path) -> None:
    """It has eight different rows, far fewer than training rows."""
    draw = random.Random(0)
    path = tmp_path / "a.csv"
    path.write_text("a,b,y\n" + "".join(f"{draw.randint(0, 1)},{draw.randint(0, 1)},{draw.choice('nm')}\n" for _ in range(200)))
    trained = Tabular(str(path), target="y")
    trained.setup()
    data = evaluated(Tabular(str(path), target="y"), TrainerFn.TESTING, trained.state_dict())
    assert {part: len(split.rows) for part, split in data.splits.items()} == {
        part: len(split.rows) for part, split in trained.splits.items()
    }
