"""Baselines equal closed forms, and recorded ones can be measured again."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch.distributions import MultivariateNormal

from datamodules.core.base import Arrays, Split
from zoo.cli.baselines import read_baselines
from zoo.cli.headers import read_header
from zoo.cli.names import find_recipe, recipe_paths
from zoo.metrics.retrieval import map_at_r, recall_at_1

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "baselines.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("baselines", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_headers_name_methods_that_exist(script: ModuleType) -> None:
    named = {header["baseline"] for path in recipe_paths().values() if "baseline" in (header := read_header(path))}
    assert named <= script.METHODS.keys()


def test_the_density_of_a_gaussian(script: ModuleType) -> None:
    torch.manual_seed(0)
    rows = torch.randn(50, 4, dtype=torch.float64) @ torch.randn(4, 4, dtype=torch.float64)
    normal = MultivariateNormal(rows.mean(0), rows.T.cov())
    assert script.gaussian_nll(rows, rows.mean(0), rows.T.cov()) == pytest.approx(-normal.log_prob(rows).mean().item())


def test_a_dequantised_gaussian_needs_the_bits_of_its_entropy(script: ModuleType) -> None:
    """Levels with a deviation of 20 have log2(20 sqrt(2 pi e)) bits; rounding and noise add a little to the variance."""
    torch.manual_seed(0)
    parts = {split: (128 + 20 * torch.randn(20_000, 1, 1, 3)).round() / 255 for split in ("train", "test")}
    task = SimpleNamespace(samples=lambda split: SimpleNamespace(x=parts[split]))
    scores = script.dequantised_gaussian(task)
    bits = 0.5 * math.log2(2 * math.pi * math.e * (20**2 + 2 / 12))
    assert scores["test/bits_per_dim"] == pytest.approx(bits, abs=0.01)
    assert scores["test/negative_elbo"] == pytest.approx(3 * math.log(2) * scores["test/bits_per_dim"])


def test_samples_of_a_gaussian_have_its_mean_and_covariance(script: ModuleType) -> None:
    torch.manual_seed(0)
    rows = torch.randn(500, 3) @ torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]) + 5
    drawn = script.sampler(rows)(20_000)
    assert torch.allclose(drawn.mean(0), rows.mean(0), atol=0.1)
    assert torch.allclose(drawn.T.cov(), rows.T.cov(), atol=0.2)


def test_the_nearest_row(script: ModuleType) -> None:
    torch.manual_seed(0)
    train, x = torch.randn(40, 3), torch.randn(700, 3)
    assert script.nearest_rows(train, x).equal(torch.cdist(x, train).argmin(1))


def test_pixels_as_embeddings(script: ModuleType) -> None:
    """Of images that differ in brightness alone, a pixel finds those of similar brightness."""
    x, y = torch.tensor([0.0, 0.1, 0.9, 1.0, 0.2]).view(5, 1, 1, 1).expand(5, 1, 4, 4), torch.tensor([0, 0, 1, 1, 2])
    found = []
    task = SimpleNamespace(samples=lambda split: SimpleNamespace(x=x, y=y), score=lambda *embeddings: found.append(embeddings))
    script.pixels(task)
    ((z, classes),) = found
    assert z.shape == (5, 16)
    assert (recall_at_1(z, classes), map_at_r(z, classes)) == (1, 1)


def test_pixels_are_scored_by_cross_entropy(script: ModuleType) -> None:
    p, x = torch.tensor([[[[0.5, 0.25]]]]), torch.tensor([[[[1.0, 0.0]]]])
    assert script.bernoulli(p, x) == pytest.approx(-torch.tensor([0.5, 0.75]).log().sum().item())


@pytest.mark.parametrize(("token", "p"), [(0, 0.5), (1, 0.4), (3, 0.05)])
def test_ngrams_are_interpolated(token: int, p: float, script: ModuleType) -> None:
    """By hand: after 0, 0, 1 a token has (n + 2/4) / 5 without a history; after a 0 it has (n + 2 times that) / 4."""
    counts = script.count_ngrams([0, 0, 1], range(3), longest=2)
    assert script.probability(counts, [0, token], 1, longest=2, vocab_size=4) == pytest.approx(p)


@pytest.mark.parametrize(("kind", "accuracy"), [("char", 1.0), ("word", 0.5)])
def test_a_model_of_characters_is_compared_with_n_grams_of_characters(kind: str, accuracy: float, script: ModuleType) -> None:
    """Every text is a word of its own, and its first letter tells the class."""
    y = torch.arange(60) % 2
    parts = {split: Split(Arrays(y, y), torch.arange(60)[place::3]) for place, split in enumerate(("train", "val", "test"))}
    texts = [f"{'ab'[label]}x{row:02}" for row, label in enumerate(y.tolist())]
    data = SimpleNamespace(splits=parts, texts=texts, tokenizer_settings={"kind": kind})
    task = SimpleNamespace(data=data, score_classes=lambda classes, target: float((classes == target).float().mean()))
    assert script.tfidf_logistic_regression(task) == accuracy


@pytest.mark.parametrize("recipe", ["mlp_diabetes", "mlp_wine"])
def test_a_baseline_that_is_kept_can_be_measured_again(recipe: str, script: ModuleType) -> None:
    (kept,) = [line for line in read_baselines() if line["recipe"] == recipe]
    measured = script.measure(find_recipe(recipe))
    assert {name: kept[name] for name in ("method", "how", "config")} == {
        name: measured[name] for name in ("method", "how", "config")
    }
    assert measured["metrics"] == pytest.approx(kept["metrics"], rel=1e-3)
