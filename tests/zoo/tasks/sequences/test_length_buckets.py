"""Scores by length cover exactly the sequences of each length."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger
from PIL import Image

from datamodules.core.base import Arrays
from zoo.rnn.rnn import RNNClassifier
from zoo.tasks.sequences.length_buckets import LengthBuckets, buckets, curves_figure
from zoo.training.quiet import keep_quiet

Fit = Callable[..., Trainer]
Data = Callable[..., Any]


def small(data: Any) -> RNNClassifier:
    return RNNClassifier(data.input_shape, 2, vocab_size=data.vocab_size, embed_dim=8, hidden_dim=8, lr=0.02)


def by_length(names: Any) -> set[str]:
    return {name for name in names if "_len_" in name}


def expected(model: RNNClassifier, data: Any, bounds: Sequence[tuple[int, int]]) -> dict[str, float]:
    """Compute the scores of each bucket with one sequence at a time."""
    x, lengths, y, _ = data.split("val")
    model.eval()
    scores = {}
    for low, high in bounds:
        right, losses = [], []
        for row, length, truth in zip(x, lengths.tolist(), y, strict=True):
            if low <= length <= high:
                with torch.no_grad():
                    logits = model(row[None, :length])
                right.append(float(logits.argmax() == truth))
                losses.append(float(F.cross_entropy(logits, truth[None])))
        scores |= {f"val/acc_len_{low}-{high}": np.mean(right), f"val/loss_len_{low}-{high}": np.mean(losses)}
    return scores


@pytest.mark.parametrize(
    ("lengths", "edges", "divided"),
    [
        (range(1, 9), None, [(1, 2), (3, 4), (5, 6), (7, 8)]),
        ([9, 2, 7, 30, 5], None, [(2, 5), (6, 7), (8, 9), (10, 30)]),
        ([5] * 9 + [6], None, [(5, 5), (6, 6)]),
        ([1, 5, 5, 5, 5, 5, 5, 8], None, [(1, 5), (6, 8)]),
        ([7] * 4, None, [(7, 7)]),
        ([3, 40], [10, 20], [(3, 10), (11, 20), (21, 40)]),
        ([3, 15], [2, 10, 15], [(3, 10), (11, 15)]),
        ([3, 4], [3], [(3, 3), (4, 4)]),
    ],
)
def test_lengths_are_divided_into_buckets(
    lengths: Sequence[int], edges: list[int] | None, divided: list[tuple[int, int]]
) -> None:
    assert buckets(np.array(lengths), edges) == divided


@pytest.mark.parametrize("edges", [[], [5, 5], [9, 3], [0, 4], [1, 2, 3, 4]])
def test_invalid_edges_are_refused(edges: list[int]) -> None:
    with pytest.raises(ValueError, match=r"edges must be one to three lengths, each above the one before it, got \["):
        LengthBuckets(Path(), edges)


@pytest.mark.parametrize("edges", [None, [4, 17], [29]])
def test_the_scores_of_each_length_are_logged(fit: Fit, texts: Data, tmp_path: Path, edges: list[int] | None) -> None:
    data = texts()
    logger = CSVLogger(tmp_path, name="", version="")
    callback = LengthBuckets(tmp_path / "pictures", edges)
    trainer = fit(model := small(data), data, callbacks=[callback], logger=logger, max_epochs=2, num_sanity_val_steps=1)
    lengths = data.split("val")[1].sort().values
    if edges is None:
        cuts = [int(lengths[-(-len(lengths) * quarter // 4) - 1]) for quarter in (1, 2, 3)]
    else:
        cuts = [edge for edge in edges if edge < lengths[-1]]
    bounds = list(zip([int(lengths[0]), *(cut + 1 for cut in cuts)], [*cuts, int(lengths[-1])], strict=True))
    assert len(bounds) == {None: 4, 2: 3, 1: 2}[edges and len(edges)]
    by_hand = expected(model, data, bounds)
    assert by_length(trainer.callback_metrics) == set(by_hand)
    for name, value in by_hand.items():
        assert float(trainer.callback_metrics[name]) == pytest.approx(value, abs=1e-5)
    rows = [row for row in csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()) if row["val/loss"]]
    assert len(rows) == 2
    assert {name: float(rows[-1][name]) for name in by_hand} == pytest.approx(by_hand, abs=1e-5)
    shares = [((lengths >= low) & (lengths <= high)).float().mean().item() for low, high in bounds]
    for score in ("acc", "loss"):  # the weighted mean over buckets is the score of all sequences
        whole = sum(share * by_hand[f"val/{score}_len_{a}-{b}"] for share, (a, b) in zip(shares, bounds, strict=True))
        assert whole == pytest.approx(float(trainer.callback_metrics[f"val/{score}"]), abs=1e-5)
    with Image.open(tmp_path / "pictures" / "length_buckets.png") as picture:
        assert picture.size == (1080, 432)


def test_an_empty_bucket_has_no_score(fit: Fit, texts: Data, tmp_path: Path) -> None:
    class Gap(texts):
        def load(self, part: Any) -> Arrays:
            x, y, lengths = super().load(part)
            lengths = torch.where(lengths > 12, 20, lengths.clamp(max=8))
            return Arrays(x * (torch.arange(30) < lengths[:, None]), y, lengths)

    data = Gap()
    trainer = fit(model := small(data), data, callbacks=[callback := LengthBuckets(tmp_path, [8, 12])])
    low = int(data.split("val")[1].min())
    scores = expected(model, data, [(low, 8), (13, 20)])
    assert np.allclose(np.array(callback.state_dict()["scores"])[0, :, [0, 2]].flatten(), list(scores.values()), atol=1e-5)
    assert np.isnan(np.array(callback.state_dict()["scores"])[0, :, 1]).all()
    assert by_length(trainer.callback_metrics) == set(scores)


def test_a_resumed_run_keeps_its_buckets_and_curves(fit: Fit, texts: Data, tmp_path: Path) -> None:
    data = texts()
    first = fit(model := small(data), data, callbacks=[LengthBuckets(tmp_path)], max_epochs=2, val_check_interval=0.5)
    first.save_checkpoint(tmp_path / "last.ckpt")
    callback = LengthBuckets(tmp_path)
    keep_quiet()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", devices=1, max_epochs=3, callbacks=[callback], **quiet)
    trainer.fit(model, datamodule=data, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert callback.state_dict()["epochs"] == [0.5, 1, 1.5, 2, 3]
    assert np.shape(callback.state_dict()["scores"]) == (5, 2, 4)
    assert by_length(trainer.callback_metrics) == by_length(first.callback_metrics)
    # The buckets do not change with the data.
    data.splits["val"] = data.splits["val"]._replace(rows=data.splits["val"].rows[:5])
    trainer.validate(model, datamodule=data, verbose=False)
    assert by_length(trainer.callback_metrics) <= by_length(first.callback_metrics)
    assert len(callback.state_dict()["epochs"]) == 5  # validation outside of training adds no point to the curves


def test_sequences_of_one_length_are_not_reported(fit: Fit, texts: Data, tmp_path: Path) -> None:
    class Even(texts):
        def load(self, part: Any) -> Arrays:
            x, y, _ = super().load(part)
            return Arrays(x.clamp(min=1), y, torch.full((len(y),), 30))

    data = Even()
    trainer = fit(small(data), data, callbacks=[LengthBuckets(tmp_path)])
    assert not by_length(trainer.callback_metrics)
    assert not list(tmp_path.iterdir())


def test_a_fast_dev_run_draws_nothing(fit: Fit, texts: Data, tmp_path: Path) -> None:
    data = texts()
    fit(small(data), data, callbacks=[LengthBuckets(tmp_path)], fast_dev_run=True)
    assert not list(tmp_path.iterdir())


def test_there_is_a_curve_for_each_bucket_and_score() -> None:
    scores = np.array([[[0.5, 0.25], [1.0, 2.0]], [[0.75, 0.5], [0.5, 1.5]]])
    figure = curves_figure([0.5, 1.0], scores, [(1, 4), (5, 9)])
    for panel, axes in enumerate(figure.axes):
        for bucket, line in enumerate(axes.lines):
            assert np.array_equal(line.get_xdata(), [0.5, 1.0])
            assert np.array_equal(line.get_ydata(), scores[:, panel, bucket])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1 to 4", "5 to 9"]
    assert [axes.get_title() for axes in figure.axes] == ["validation accuracy", "validation mean loss"]
