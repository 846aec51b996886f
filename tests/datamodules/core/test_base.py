"""The shared datamodule: what it refuses, and what a real trainer gets from it."""

import json
import os
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from datamodules import Digits, PythonManual
from datamodules.core.base import Arrays, DataModule
from datamodules.core.batch import Batch

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Numbers(DataModule):
    """Sample i is the number i, with label i % 3."""

    input_shape = (1,)
    num_classes = 3

    def __init__(self, x: Tensor | None = None, y: Tensor | None = None, **arguments: Any) -> None:
        super().__init__(**{"batch_size": 4, "test_fraction": 0.25, **arguments})
        self.x = torch.arange(40.0)[:, None] if x is None else x
        self.y = torch.arange(40) % 3 if y is None else y

    def load(self, part: Literal["train", "test"]) -> Arrays:
        return Arrays(self.x, self.y)

    def transform(self, batch: Batch, epoch: int, train: bool) -> Batch:
        return batch._replace(x=batch.x + 1000 * (epoch + 1) if train else -batch.x)


class Recorder(LightningModule):
    """Learns nothing and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[str, list[tuple[int, list[int], list[float]]]] = {"train": [], "val": [], "test": [], "predict": []}

    def remember(self, split: str, batch: Batch) -> Tensor:
        self.seen[split].append((self.current_epoch, batch.position.tolist(), batch.x[:, 0].tolist()))
        return self.weight.sum() * 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.remember("train", batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.remember("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.remember("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.remember("predict", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveAt(Callback):
    """Saves once, where `ModelCheckpoint(every_n_train_steps=...)` would."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def fitted(data: DataModule, ckpt_path: Path | None = None, **arguments: Any) -> tuple[Recorder, Trainer]:
    model, trainer = Recorder(), Trainer(**{**QUIET, "max_epochs": 3, **arguments})
    trainer.fit(model, data, ckpt_path=ckpt_path)
    return model, trainer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": torch.arange(40) % 4}, r"Numbers \(train\): labels must lie in 0\.\.2, found 0\.\.3"),
        ({"y": torch.arange(40) % 3 - 1}, r"Numbers \(train\): labels must lie in 0\.\.2, found -1\.\.1"),
        ({"x": torch.zeros(40, 2)}, r"Numbers \(train\): expected samples of shape \(1,\), got \(2,\)"),
        ({"x": torch.zeros(40)}, r"Numbers \(train\): expected samples of shape \(1,\), got \(\)"),
        ({"x": torch.zeros(39, 1)}, r"Numbers \(train\) has 39 samples but 40 labels"),
        ({"x": torch.zeros(0, 1), "y": torch.zeros(0).long()}, r"Numbers \(train\) is empty: it has no samples"),
    ],
)
def test_refuses_data_that_contradict_it(arguments: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Numbers(**arguments).setup()


def test_refuses_a_test_part_that_contradicts_it() -> None:
    class TwoParts(Numbers):
        def load(self, part: Literal["train", "test"]) -> Arrays:
            return Arrays(self.x, self.y + (part == "test"))

    with pytest.raises(ValueError, match=r"TwoParts \(test\): labels must lie in 0\.\.2, found 1\.\.3"):
        TwoParts(test_fraction=None).setup()


def test_holds_out_test_then_validation() -> None:
    data = Numbers(val_fraction=0.2)
    data.setup()
    rows = {name: split.rows.tolist() for name, split in data.splits.items()}
    assert {name: len(part) for name, part in rows.items()} == {"train": 24, "val": 6, "test": 10}
    assert sorted(rows["train"] + rows["val"] + rows["test"]) == list(range(40))


def test_a_test_part_of_its_own_is_kept_whole() -> None:
    class TwoParts(Numbers):
        def load(self, part: Literal["train", "test"]) -> Arrays:
            return Arrays(self.x, self.y) if part == "train" else Arrays(self.x[:7] + 100, self.y[:7])

    data = TwoParts(test_fraction=None, val_fraction=0.1)
    data.setup()
    assert sorted(torch.cat([data.splits["train"].rows, data.splits["val"].rows]).tolist()) == list(range(40))
    (batch, rest) = data.test_dataloader()
    assert torch.cat([batch.x, rest.x])[:, 0].tolist() == [100.0 + i for i in range(7)]


def test_loads_once() -> None:
    class Counting(Numbers):
        loads = 0

        def load(self, part: Literal["train", "test"]) -> Arrays:
            self.loads += 1
            return super().load(part)

    data = Counting()
    for stage in ("fit", "validate", "test", None):
        data.setup(stage)
    assert data.loads == 1


def test_training_shuffles_whole_batches_and_evaluation_serves_all_in_order() -> None:
    data = Numbers(batch_size=5)
    data.setup()
    train = [batch.position.tolist() for batch in data.train_dataloader()]
    assert data.num_train_batches == len(train) == len(data.splits["train"].rows) // 5
    assert {len(batch) for batch in train} == {5}
    served = [place for batch in train for place in batch]
    assert served != sorted(served)
    evaluation = {"val": data.val_dataloader(), "test": data.test_dataloader()}
    for split, loader in evaluation.items():
        assert torch.equal(torch.cat([batch.position for batch in loader]), data.splits[split].rows)


def test_a_trainer_gets_another_order_each_epoch_and_the_transform_of_the_stage() -> None:
    data = Numbers()
    model, trainer = fitted(data)
    orders = []
    for epoch in range(3):
        batches = [batch for batch in model.seen["train"] if batch[0] == epoch]
        assert all(x == [place + 1000.0 * (epoch + 1) for place in where] for _, where, x in batches)
        orders.append([place for _, where, _ in batches for place in where])
    assert len(set(map(tuple, orders))) == 3
    trainer.test(model, data)
    trainer.predict(model, data)
    for split, rows in [("val", "val"), ("test", "test"), ("predict", "test")]:
        assert all(x == [-place for place in where] for _, where, x in model.seen[split])
        served = [place for _, where, _ in model.seen[split] for place in where]
        assert set(served) == set(data.splits[rows].rows.tolist())


def test_the_order_is_the_seeds_whatever_the_global_generator_and_validation_do() -> None:
    torch.manual_seed(1)
    first, _ = fitted(Numbers(seed=5))
    torch.manual_seed(2)
    again, _ = fitted(Numbers(seed=5), check_val_every_n_epoch=2, num_sanity_val_steps=0)
    other, _ = fitted(Numbers(seed=6))
    assert first.seen["train"] == again.seen["train"]
    assert first.seen["train"] != other.seen["train"]


@pytest.mark.parametrize("steps", [3, 6, 7, 13])  # 6 batches an epoch: within the first, at its end, after it, in the third
def test_a_trainer_resumes_with_the_very_next_batch(tmp_path: Path, steps: int) -> None:
    whole, _ = fitted(Numbers(val_fraction=0.2), callbacks=[SaveAt(steps, tmp_path / "part.ckpt")])
    assert len(whole.seen["train"]) == 18
    resumed, _ = fitted(Numbers(val_fraction=0.2), ckpt_path=tmp_path / "part.ckpt")
    assert resumed.seen["train"] == whole.seen["train"][steps:]


@pytest.mark.filterwarnings("ignore:You requested to overfit but enabled")  # zoo/training/quiet.py says why
def test_overfitting_a_few_batches_takes_the_same_ones_unshuffled() -> None:
    data = Numbers()
    model, _ = fitted(data, overfit_batches=2)
    assert [where for _, where, _ in model.seen["train"]] == [data.splits["train"].rows[i : i + 4].tolist() for i in (0, 4)] * 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="forks, which CUDA does not survive")
def test_processes_share_out_each_batch(tmp_path: Path) -> None:
    """Two real processes under DDP, against one."""

    class Writer(Recorder):
        def on_fit_end(self) -> None:
            torch.save(self.seen, tmp_path / f"{self.global_rank}.pt")

    data = Numbers(batch_size=8)
    trainer = Trainer(**{**QUIET, "max_epochs": 2, "strategy": "ddp_fork", "devices": 2, "num_sanity_val_steps": 0})
    trainer.fit(Writer(), data)
    os.environ.pop("MASTER_PORT", None)  # Lightning leaves it behind, and later processes would all meet there
    ranks = [torch.load(tmp_path / f"{rank}.pt")["train"] for rank in range(2)]
    one, _ = fitted(Numbers(batch_size=8), max_epochs=2)
    together = [(epoch, a + b) for (epoch, a, _), (_, b, _) in zip(*ranks, strict=True)]
    assert together == [(epoch, where) for epoch, where, _ in one.seen["train"]]
    assert {len(where) for rank in ranks for _, where, _ in rank} == {4}


def test_every_fact_that_reports_read_is_declared() -> None:
    """So that nobody has to ask whether a datamodule has it: None or empty means that it does not apply."""
    data = Numbers()
    absent = (
        "num_targets",
        "target_mean",
        "target_std",
        "naive_mae",
        "horizon",
        "mean",
        "std",
        "crop",
        "binarize",
        "vocab_size",
    )
    absent += ("max_length", "tokenizer", "tokenizer_json", "files", "centres", "spread")
    assert all(getattr(data, name) is None for name in absent)
    assert (data.class_names, data.target_names, data.texts, data.stacked, data.num_classes) == ((), (), (), False, 3)
    assert data.tokens_of(0) is None
    assert data.decode(torch.tensor([3, 1])) == "3 1"
    data.adopt({"tokenizer_json": "{}", "class_names": ["a", "b"]})


def test_it_describes_itself_in_plain_values() -> None:
    assert Numbers().describe() == {"class_names": []}
    images = Digits(normalize=False)
    expected = {"class_names": list("0123456789"), "mean": [0.0], "std": [1.0]}
    assert images.describe() == expected == json.loads(json.dumps(images.describe()))
    texts = PythonManual(max_length=9)
    assert texts.describe() == {"class_names": list(texts.class_names), "max_length": 9}
    texts.setup()
    assert texts.describe() == {"class_names": list(texts.class_names), "max_length": 9, "tokenizer_json": texts.tokenizer_json}


def test_the_report_states_sizes_classes_and_notes() -> None:
    data = Numbers()
    data.class_names = ("a", "b", "c")
    data.notes.append("left out: 2 files")
    data.setup()
    assert data.report() == [
        "Numbers: 27 train, 3 val, 10 test samples",
        "3 classes: a (14), b (13), c (13)",
        "left out: 2 files",
    ]


def test_the_report_of_many_classes_is_short_and_names_the_smallest() -> None:
    y = torch.cat([torch.arange(1200).repeat_interleave(4), torch.tensor([7, 7])])
    data = Numbers(torch.zeros(len(y), 1), y)
    data.num_classes, data.class_names = 1200, tuple(map(str, range(1200)))
    data.setup()
    line = data.report()[1]
    assert line.startswith("1200 classes: 0 (4), 1 (4)")
    assert line.endswith("; the largest has 6")
    assert len(line) < 200


def test_targets_that_are_numbers_are_not_counted_as_classes() -> None:
    data = Numbers(y=torch.rand(40, 1))
    data.num_classes = None
    data.setup()
    assert data.report() == ["Numbers: 27 train, 3 val, 10 test samples"]


def imbalanced(balance: bool) -> Numbers:
    """Samples of three classes, which training serves equally often if `balance` is true."""
    y = torch.cat([torch.full((size,), k) for k, size in enumerate((30, 200, 310))])
    data = Numbers(torch.arange(float(len(y)))[:, None], y, batch_size=10, seed=1)
    data.class_names, data.balance = ("a", "b", "c"), balance
    data.setup()
    return data


def test_balanced_classes_are_served_equally_often_in_training_only() -> None:
    data = imbalanced(True)
    train, plain = (torch.cat([batch.y for batch in loader.train_dataloader()]) for loader in (data, imbalanced(False)))
    assert len(train) == len(plain)
    counts = torch.bincount(train)
    assert counts.max() - counts.min() <= 10  # the last, short batch is left out
    (_, y, _), rows = data.splits["train"]
    assert data.class_counts("train").tolist() == pytest.approx([len(rows) / 3] * 3)
    assert imbalanced(False).class_counts("train").tolist() == torch.bincount(y[rows]).tolist()
    for split in ("val", "test"):
        assert torch.equal(torch.cat([batch.position for batch in data.loader(split)]), data.splits[split].rows)


def test_training_cannot_go_on_with_other_sampling(tmp_path: Path) -> None:
    fitted(imbalanced(False), max_epochs=1, callbacks=[SaveAt(3, tmp_path / "a.ckpt")])
    with pytest.raises(ValueError, match="cannot go on with other data settings: balance is True, was False"):
        fitted(imbalanced(True), max_epochs=1, ckpt_path=tmp_path / "a.ckpt")
    state = imbalanced(False).state_dict()
    del state["order"]["balance"]  # as in checkpoints of earlier versions
    imbalanced(False).load_state_dict(state)
