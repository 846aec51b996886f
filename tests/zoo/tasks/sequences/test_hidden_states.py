"""The picture shows the network's states over one sequence, and drawing it does not affect the training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from PIL import Image

from datamodules.core.base import Arrays, DataModule
from datamodules.core.batch import SequenceBatch
from zoo.rnn.rnn import RNNClassifier, RNNRegressor
from zoo.tasks.sequences.hidden_states import HiddenStates, states_figure

Fit = Callable[..., Trainer]


def small(data: Any, **arguments: Any) -> RNNClassifier:
    return RNNClassifier(data.input_shape, 2, vocab_size=data.vocab_size, embed_dim=8, hidden_dim=8, lr=0.02, **arguments)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize(("longest", "drawn"), [(20, 20), (50, 30), (90, 30)])
def test_the_states_of_a_text_of_about_thirty_words_are_drawn(
    fit: Fit, texts: Callable[..., Any], tmp_path: Path, longest: int, drawn: int
) -> None:
    data = texts(longest)
    model = small(data, embed_dropout=0.5, bidirectional=True)
    fit(model, data, callbacks=[HiddenStates(tmp_path / "pictures")], max_epochs=2, num_sanity_val_steps=2)
    x, lengths, y, positions = data.split("val")
    order = lengths.argsort(stable=True)  # the order of evaluation
    place = int(order[(lengths[order] - 30).abs().argmin()])
    position, length = int(positions[place]), int(lengths[place])
    assert abs(length - drawn) <= 3
    model.eval()
    with torch.no_grad():
        states, _ = model.net.states(x[place : place + 1, :length], lengths[place : place + 1])
        p = model(x[place : place + 1, :length]).softmax(1)[0]
    prediction = f"{data.class_names[int(y[place])]}, predicted {data.class_names[int(p.argmax())]} ({float(p.max()):.0%})"
    figure = states_figure(states[0], data.tokens_of(position), f"{data.texts[position]}\n{prediction}")
    figure.savefig(tmp_path / "expected.png", dpi=120)
    shown = pixels(tmp_path / "pictures" / "hidden_states.png")
    assert np.abs(shown - pixels(tmp_path / "expected.png")).max() <= 2  # rounding of grey levels


class Trace(Callback):
    """Records, when training ends, everything that must not change."""

    def __init__(self, notes: list[Any]) -> None:
        self.notes = notes

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        modes = [module.training for module in pl_module.modules()]
        weights = [value.clone() for value in pl_module.state_dict().values()]
        self.notes.append((modes, torch.get_rng_state().clone(), weights, [p.grad is None for p in pl_module.parameters()]))


class Frozen(RNNClassifier):
    def on_train_start(self) -> None:
        self.net.embedding.eval()


def test_drawing_does_not_change_the_model_or_the_random_state(fit: Fit, texts: Callable[..., Any], tmp_path: Path) -> None:
    data, notes = texts(), []
    model = Frozen((30,), 2, vocab_size=data.vocab_size, embed_dim=8, hidden_dim=8, embed_dropout=0.5, word_dropout=0.2)
    fit(model, data, callbacks=[Trace(notes), HiddenStates(tmp_path), Trace(notes)])
    assert (tmp_path / "hidden_states.png").exists()
    before, after = notes
    assert before[0] == after[0]
    assert model.training
    assert not model.net.embedding.training
    assert torch.equal(before[1], after[1])
    assert all(torch.equal(a, b) for a, b in zip(before[2], after[2], strict=True))
    assert before[3] == after[3]


class Waves(DataModule):
    """Series of 70 steps in two channels, without words or classes."""

    input_shape = (70, 2)
    num_targets = 3

    def load(self, part: Literal["train", "test"]) -> Arrays:
        x = torch.randn(40, 70, 2, generator=torch.Generator().manual_seed(0))
        return Arrays(x, x.mean(1) @ torch.ones(2, 3), torch.full((40,), 70))

    def transform(self, batch: SequenceBatch, epoch: int, train: bool) -> SequenceBatch:
        return batch


def test_series_without_words_are_drawn(fit: Fit, tmp_path: Path) -> None:
    model, data = RNNRegressor((70, 2), 3, hidden_dim=8), Waves(batch_size=10, test_fraction=0.2)
    fit(model, data, callbacks=[HiddenStates(tmp_path / "pictures")])
    (x, _, lengths), rows = data.splits["val"]
    assert lengths is not None
    with torch.no_grad():
        states, _ = model.eval().net.states(x[rows[:1]], lengths[rows[:1]])  # all have the same length, so the first is drawn
    states_figure(states[0]).savefig(tmp_path / "expected.png", dpi=120)
    shown = pixels(tmp_path / "pictures" / "hidden_states.png")
    assert np.abs(shown - pixels(tmp_path / "expected.png")).max() <= 2


@pytest.mark.parametrize("setting", [{"fast_dev_run": True}, {"limit_val_batches": 0}], ids=["fast_dev_run", "no validation"])
def test_nothing_is_drawn_without_a_validation(
    fit: Fit, texts: Callable[..., Any], tmp_path: Path, setting: dict[str, Any]
) -> None:
    data = texts()
    fit(small(data), data, callbacks=[HiddenStates(tmp_path)], **setting)
    assert not list(tmp_path.iterdir())


def test_characters_missing_from_the_font_do_not_warn(fit: Fit, texts: Any, tmp_path: Path) -> None:
    class Signs(texts):
        def tokens_of(self, position: int) -> list[str]:
            return ["電影$x^$", *super().tokens_of(position)[1:]]

    data = Signs()
    fit(small(data), data, callbacks=[HiddenStates(tmp_path)])
    assert (tmp_path / "hidden_states.png").exists()


def test_the_heat_map_has_a_row_per_unit_and_a_column_per_step_centred_at_0() -> None:
    states = torch.tensor([[0.5, -0.25], [0.0, 0.75], [-0.5, 0.125]])
    axes = states_figure(states, ["a", "b" * 20, "c"], "a title").axes[0]
    (image,) = axes.images
    assert np.array_equal(image.get_array(), states.T)
    assert image.get_clim() == (-0.75, 0.75)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b" * 15 + "…", "c"]
    assert axes.get_title(loc="left") == "a title"


def test_the_units_that_vary_most_are_shown_in_their_order() -> None:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(5, 100, generator=generator) * 0.01 + 3 * torch.randn(100, generator=generator)
    varying = torch.randperm(100, generator=generator)[:64].sort().values
    states[:, varying] += torch.randn(5, 64, generator=generator)
    axes = states_figure(states).axes[0]
    assert np.array_equal(axes.images[0].get_array(), states[:, varying].T)
    assert [label.get_text() for label in axes.get_yticklabels()] == [str(unit) for unit in varying[::8].tolist()]
    assert axes.get_ylabel() == "the 64 of 100 units that vary most"


def test_the_first_sixty_steps_of_a_long_sequence_are_shown() -> None:
    states = torch.cat([torch.randn(60, 4), 100 * torch.randn(40, 4)])  # hidden steps do not affect the scale
    axes = states_figure(states, [str(step) for step in range(100)]).axes[0]
    assert np.array_equal(axes.images[0].get_array(), states[:60].T)
    assert axes.images[0].get_clim()[1] < 10
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(step) for step in range(60)]
    assert axes.get_xlabel() == "step, the first 60 of 100"


def test_states_of_zero_do_not_divide_by_zero() -> None:
    axes = states_figure(torch.zeros(1, 3)).axes[0]
    assert np.array_equal(axes.images[0].get_array(), np.zeros((3, 1)))
