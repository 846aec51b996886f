"""The listed texts have the highest loss, compared with brute force over the whole test split."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from zoo.rnn.rnn import RNNClassifier
from zoo.tasks.classification.hardest_texts import HardestTexts

Fit = Callable[..., Trainer]


def small(data: Any) -> RNNClassifier:
    return RNNClassifier(data.input_shape, 2, vocab_size=data.vocab_size, embed_dim=8, hidden_dim=8, lr=0.02)


@pytest.mark.parametrize("num", [1, 7, 1000], ids=["one", "some", "more than there are"])
def test_texts_with_the_highest_loss_are_listed_hardest_first(
    fit: Fit, texts: Callable[..., Any], tmp_path: Path, num: int
) -> None:
    data = texts()
    trainer = fit(model := small(data), data, callbacks=[HardestTexts(tmp_path, num)], max_epochs=4)
    assert not list(tmp_path.iterdir())
    trainer.test(model, datamodule=data, verbose=False)
    x, lengths, y, positions = data.split("test")
    with torch.no_grad():
        p = model.eval()(x, lengths).double().softmax(1)
    expected = []
    for place in (-p[torch.arange(len(y)), y].log()).argsort(descending=True)[:num].tolist():
        chosen, truth, position = int(p[place].argmax()), int(y[place]), int(positions[place])
        loss, confidence = -float(p[place, truth].log()), float(p[place, chosen])
        expected.append((loss, position, data.class_names[truth], data.class_names[chosen], confidence, data.texts[position]))
    assert len({row[2] == row[3] for row in expected}) == (2 if num == 1000 else 1)  # correct predictions are listed too
    for _ in range(2):  # a second test starts from scratch
        with (tmp_path / "hardest.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(int(r["position"]), r["target"], r["prediction"], r["text"]) for r in rows] == [
            (row[1], row[2], row[3], row[5]) for row in expected
        ]
        assert [float(r["loss"]) for r in rows] == pytest.approx([row[0] for row in expected], abs=1e-4)
        assert [float(r["confidence"]) for r in rows] == pytest.approx([row[4] for row in expected], abs=1e-4)
        trainer.test(model, datamodule=data, verbose=False)


def test_no_more_texts_than_needed_are_kept(fit: Fit, texts: Callable[..., Any], tmp_path: Path) -> None:
    held: list[int] = []

    class Watched(HardestTexts):
        def on_test_batch_end(self, *arguments: Any, **named: Any) -> None:
            super().on_test_batch_end(*arguments, **named)
            held.append(len(self._hardest))

    data = texts(batch_size=4)
    fit(model := small(data), data, callbacks=[Watched(tmp_path, 6)]).test(model, datamodule=data, verbose=False)
    assert held == [4, *[6] * 7]


def test_a_fast_dev_run_writes_nothing(fit: Fit, texts: Callable[..., Any], tmp_path: Path) -> None:
    data = texts()
    trainer = fit(model := small(data), data, callbacks=[HardestTexts(tmp_path)], fast_dev_run=True)
    trainer.test(model, datamodule=data, verbose=False)
    assert not list(tmp_path.iterdir())
