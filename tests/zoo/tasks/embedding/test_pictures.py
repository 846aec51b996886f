"""Pictures of embeddings: which samples they show, and in which colours."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from datamodules import Digits
from zoo.metric.triplet import TripletEmbedder
from zoo.tasks.embedding.pictures import (
    RetrievalPictures,
    as_bytes,
    choose_queries,
    embedding_figure,
    neighbour_sheet,
    spread_evenly,
)


def captions(figure: Any) -> list[tuple[str, str]]:
    return [(text.get_text(), text.get_color()) for text in figure.axes[0].texts]


def test_rows_are_queries_with_their_nearest_neighbours() -> None:
    z = torch.tensor([[0.0], [0.1], [0.3], [0.6], [1.0], [1.5], [2.1], [2.8], [3.6]])
    y = torch.tensor([0, 0, 1, 0, 1, 1, 0, 1, 0])
    images = torch.arange(9, dtype=torch.uint8).view(9, 1, 1, 1).expand(9, 1, 4, 4)
    sheet = captions(neighbour_sheet(z, y, images, ["ant", "bee"]))
    assert sheet[:8] == [
        *[("query: ant", "black"), ("ant", "black"), ("bee", "firebrick"), ("ant", "black"), ("bee", "firebrick")],
        *[("bee", "firebrick"), ("ant", "black"), ("bee", "firebrick")],
    ]  # the query is point 0, and its neighbours are points 1 to 7


def test_classes_without_names_are_numbers() -> None:
    z, y = torch.randn(12, 2), torch.arange(12) % 2
    texts = {text for text, _ in captions(neighbour_sheet(z, y, torch.zeros(12, 1, 4, 4, dtype=torch.uint8), []))}
    assert texts == {"0", "1", "query: 0", "query: 1"}


def test_half_of_the_queries_are_spread_and_half_have_a_wrong_neighbour() -> None:
    right = torch.ones(100, dtype=torch.bool)
    right[[3, 40, 41, 70, 99]] = False
    assert choose_queries(right, 6).tolist() == [0, 50, 99, 3, 41, 70]
    assert choose_queries(torch.ones(100, dtype=torch.bool), 6).tolist() == [0, 50, 99]
    assert choose_queries(torch.zeros(2, dtype=torch.bool), 6).tolist() == [0, 1]


def test_places_are_different_and_include_both_ends() -> None:
    assert spread_evenly(5, 3).tolist() == [0, 2, 4]
    assert spread_evenly(3, 10).tolist() == [0, 1, 2]
    assert spread_evenly(0, 4).tolist() == []


def test_ten_classes_are_drawn_each_in_its_colour() -> None:
    y = torch.arange(120) % 40 + 100
    figure = embedding_figure(torch.randn(120, 5), y, [f"class {label}" for label in range(140)])
    (axes,) = figure.axes
    assert len({tuple(points.get_facecolor()[0]) for points in axes.collections}) == 10
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert (names[0], names[-1], len(names)) == ("class 100", "class 139", 10)
    assert axes.get_title().startswith("10 of 40 classes")


def test_images_of_any_range_are_stored_as_bytes() -> None:
    assert as_bytes(torch.tensor([[[-1.0, 0.0], [1.0, 3.0]]])).tolist() == [[[0, 64], [128, 255]]]
    assert as_bytes(torch.zeros(1, 2, 2)).tolist() == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize("most", [50_000_000, 1000])
def test_pictures_are_written(most: int, scores: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small limit, the sheet shows the first batch only."""
    monkeypatch.setattr("zoo.tasks.embedding.pictures._MOST_VALUES", most)
    shown: list[int] = []

    def sheet(z: Any, y: Any, images: Any, names: Any) -> Any:
        assert len(z) == len(y) == len(images)
        shown.append(len(z))
        return neighbour_sheet(z, y, images, names)

    monkeypatch.setattr("zoo.tasks.embedding.pictures.neighbour_sheet", sheet)
    data, model = Digits(batch_size=100), TripletEmbedder((1, 8, 8), embedding_dim=3, widths=(4, 8))
    scores(model, data, RetrievalPictures(tmp_path / "pictures"))
    assert shown == [359 if most > 1000 else 100]
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"embedding.png", "neighbours.png"}


def test_nothing_is_kept_between_tests(tmp_path: Path) -> None:
    data, model, report = Digits(), TripletEmbedder((1, 8, 8), 3, widths=(4, 8)), RetrievalPictures(tmp_path)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    trainer = Trainer(accelerator="cpu", callbacks=[report], default_root_dir=tmp_path, **quiet)
    for _ in range(2):
        trainer.test(model, datamodule=data, verbose=False)
        assert report._parts == report._images == []
