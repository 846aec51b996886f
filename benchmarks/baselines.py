"""Measure baselines: scores of simple methods, which a trained network should beat.

python benchmarks/baselines.py              every recipe whose header names a baseline that is not measured yet
python benchmarks/baselines.py RECIPE ...   these recipes, again

An hour for all of them on one CPU core; needs ZOO_DATA. Each baseline reads the data and the split of its recipe's datamodule,
prepared as for evaluation, and is scored on the test split by the recipe's own metric or report. Choices are made on the
validation split. The values go to recipes/baselines.jsonl, from which `zoo generate` reads them.
"""

import argparse
import json
import math
import platform
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jsonargparse import Namespace
from lightning import Trainer, seed_everything
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from datamodules.core.batch import SequenceBatch
from datamodules.core.loader import BatchOrder
from zoo import MLPBinaryClassifier
from zoo.cli.baselines import BASELINES, Baseline, baseline_checksum, measured_baseline, read_baselines
from zoo.cli.configuration import Configuration
from zoo.cli.headers import read_header
from zoo.cli.names import find_recipe, nearest, recipe_paths
from zoo.cli.results import current_results
from zoo.cli.settings import read_settings
from zoo.errors import UsageError, ZooError
from zoo.nn.likelihoods import LEAST_LOGVAR
from zoo.training.files import write_text
from zoo.training.initial_weights import without_initial_weights
from zoo.training.provenance import commit_of

Scores = dict[str, float]
STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # inverse regularisation of logistic regression, chosen by validation
LONGEST = 8  # characters of the longest n-gram, chosen by validation


class Samples(NamedTuple):
    """A split in memory, prepared as for evaluation."""

    x: Tensor  # (N, ...), sequences padded to the longest of all splits
    y: Tensor  # (N, ...)
    position: Tensor  # (N,)


class Task:
    """The data and the untrained model of a recipe, and the reports that its settings name."""

    def __init__(self, recipe: Path) -> None:
        seed_everything(0)
        self.recipe = recipe
        self.configuration = Configuration([recipe])
        self.data: Any = self.configuration.build_data()
        with without_initial_weights():  # baselines need the model's metrics only
            self.model: Any = self.configuration.build_model().eval()
        self.data.prepare_data()
        self.data.setup()

    def samples(self, split: str) -> Samples:
        """Read a whole split, in order."""
        loader = self.data.loader(split)
        loader.sampler = BatchOrder(len(self.data.splits[split].rows), 500)
        batches = [self.data.transform(batch, 0, False) for batch in loader]
        x, y, position = ([getattr(batch, name) for batch in batches] for name in ("x", "y", "position"))
        if isinstance(batches[0], SequenceBatch):  # padded with zeros
            longest = self.data.input_shape[0]
            x = [F.pad(part, (0, 0) * (part.ndim - 2) + (0, longest - part.shape[1])) for part in x]
        return Samples(torch.cat(x), torch.cat(y), torch.cat(position))

    def score(self, preds: Tensor, target: Tensor) -> Scores:
        """Score predictions by the model's metrics."""
        metrics = self.model.metrics_of("test")
        metrics.update(preds, target)
        return {name: float(value) for name, value in metrics.compute().items()}

    def score_classes(self, classes: Tensor, target: Tensor) -> Scores:
        """Score predicted classes (N,) by the model's metrics."""
        if isinstance(self.model, MLPBinaryClassifier):
            return self.score(classes.float(), target)
        return self.score(F.one_hot(classes, self.data.num_classes).float(), target)

    def report(self) -> Scores:
        """Run the recipe's reports on the test split, after a baseline has replaced methods of the model."""
        configuration = self.configuration
        trainer = configuration.parser.instantiate(Namespace(trainer=configuration.config.trainer)).trainer
        reports = [callback for callback in trainer.callbacks if type(callback).__module__.startswith("zoo.tasks.")]
        self.model.test_step = lambda batch, batch_idx: {}
        with tempfile.TemporaryDirectory() as folder:
            quiet = {
                "logger": False,
                "enable_checkpointing": False,
                "enable_progress_bar": False,
                "enable_model_summary": False,
            }
            tester = Trainer(accelerator="cpu", callbacks=reports, default_root_dir=folder, **quiet)
            return {
                name: float(value) for name, value in tester.test(self.model, datamodule=self.data, verbose=False)[0].items()
            }


def majority(task: Task) -> Scores:
    """The most frequent class of the training samples."""
    test = task.samples("test")
    return task.score_classes(task.samples("train").y.mode().values.expand(len(test.y)), test.y)


def nearest_neighbour(task: Task) -> Scores:
    """The class of the nearest training sample, by Euclidean distance."""
    train, test = task.samples("train"), task.samples("test")
    return task.score_classes(train.y[nearest_rows(train.x.flatten(1), test.x.flatten(1))], test.y)


def pixels(task: Task) -> Scores:
    """The pixels as the embedding."""
    test = task.samples("test")
    return task.score(test.x.flatten(1), test.y)


def logistic_regression(task: Task) -> Scores:
    """Logistic regression on standardised features."""
    scaler = StandardScaler()
    train, val, test = (task.samples(split) for split in ("train", "val", "test"))
    scaler.fit(train.x.flatten(1))
    x = [scaler.transform(part.x.flatten(1)) for part in (train, val, test)]
    return task.score_classes(best_regression(x[0], train.y, x[1], val.y, x[2]), test.y)


def tfidf_logistic_regression(task: Task) -> Scores:
    """TF-IDF of words and pairs of words, or of 1 to 4 characters for a model of characters, and logistic regression."""
    parts = {split: task.data.splits[split].rows for split in ("train", "val", "test")}
    of_words = task.data.tokenizer_settings["kind"] != "char"
    grams = (
        {"token_pattern": r"(?u)\b\w+\b"} if of_words else {"analyzer": "char_wb", "token_pattern": None, "lowercase": False}
    )
    vectors = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2 if of_words else 4), **grams)
    texts = {split: [task.data.texts[row] for row in rows.tolist()] for split, rows in parts.items()}
    y = {split: task.data.splits[split].arrays.y[rows] for split, rows in parts.items()}
    x_train = vectors.fit_transform(texts["train"])
    x_val, x_test = vectors.transform(texts["val"]), vectors.transform(texts["test"])
    return task.score_classes(best_regression(x_train, y["train"], x_val, y["val"], x_test), y["test"])


def mean(task: Task) -> Scores:
    """The mean of the training targets."""
    test = task.samples("test")
    return task.score(task.samples("train").y.mean(0).expand_as(test.y), test.y)


def linear_regression(task: Task) -> Scores:
    """Linear regression on all features."""
    train, test = task.samples("train"), task.samples("test")
    model = LinearRegression().fit(train.x.flatten(1), train.y)
    return task.score(torch.as_tensor(model.predict(test.x.flatten(1)), dtype=test.y.dtype), test.y)


def seasonal_naive(task: Task) -> Scores:
    """The last season, or the last value of a series without a season."""
    test, season = task.samples("test"), task.model.hparams["season"] or 1
    num_steps, horizon = test.x.shape[1], task.data.horizon
    steps = num_steps - season + torch.arange(horizon) % season
    preds = test.x[:, steps].flatten(1) * task.data.target_std + task.data.target_mean
    return task.score(preds, test.y)


def ngrams(task: Task) -> Scores:
    """Counts of up to eight characters, interpolated by the rule of Witten and Bell (1991)."""
    text = task.data.splits["train"].arrays
    tokens = torch.cat([text.x, text.y[-1:]]).tolist()
    rows = {split: task.data.splits[split].rows for split in ("train", "val", "test")}
    predicted = {split: range(int(of_split[0]) + 1, int(of_split[-1]) + 2) for split, of_split in rows.items()}
    counts = count_ngrams(tokens, predicted["train"], LONGEST)

    def bits(split: str, longest: int) -> float:
        places, size = predicted[split], task.data.vocab_size
        return sum(-math.log2(probability(counts, tokens, place, longest, size)) for place in places) / len(places)

    longest = min(range(2, LONGEST + 1), key=lambda length: bits("val", length))
    value = bits("test", longest)
    return {"test/bits_per_char": value, "test/perplexity": 2**value}


def pca(task: Task, size: int | None = None) -> Scores:
    """PCA with as many components as the code has numbers."""
    train, test = task.samples("train").x.flatten(1), task.samples("test").x
    centre = train.mean(0)
    _, directions = torch.linalg.eigh((train - centre).T @ (train - centre))
    kept = directions[:, -(size or task.model.hparams["latent_dim"]) :]
    return task.score(((test.flatten(1) - centre) @ kept @ kept.T + centre).view_as(test), test)


def pca_of_active(task: Task) -> Scores:
    """PCA with as many components as units of the code are on, on average over test images and seeds."""
    shares = [result["metrics"]["test/active"] for result in current_results(task.recipe).results]
    if not shares:
        raise ZooError(f"{task.recipe.stem} has no score, which would say how many units are on: measure it first")
    return pca(task, max(1, round(sum(shares) / len(shares) * task.model.hparams["latent_dim"])))


def linear_denoiser(task: Task) -> Scores:
    """The linear map from noisy to clean images with the smallest squared error."""
    train, test = task.samples("train").x, task.samples("test").x
    noisy = F.pad(task.model.corrupt(train).flatten(1), (0, 1), value=1.0).double()
    clean = train.flatten(1).double()
    weight = torch.linalg.solve(noisy.T @ noisy + 1e-3 * torch.eye(noisy.shape[1]), noisy.T @ clean)
    preds = F.pad(task.model.corrupt(test).flatten(1), (0, 1), value=1.0).double() @ weight
    return task.score(preds.float().clamp(0, 1).view_as(test), test)


def mean_image(task: Task) -> Scores:
    """Independent pixels with the mean of the training images."""
    train, test = task.samples("train").x, task.samples("test").x
    return {"test/negative_elbo": bernoulli(train.mean(0).expand_as(test), test)}


def class_mean_image(task: Task) -> Scores:
    """Independent pixels with the mean of the class."""
    train, test = task.samples("train"), task.samples("test")
    means = torch.stack([train.x[train.y == label].mean(0) for label in range(task.data.num_classes)])
    return {"test/negative_elbo": bernoulli(means[test.y], test.x)}


def dequantised_gaussian(task: Task) -> Scores:
    """One Gaussian with full covariance, as a bound on the probability of 8-bit images.

    It is the density of images with uniform noise added, integrated over the 256 levels (Theis et al., 2016, arXiv:1511.01844).
    """
    noisy = [task.samples(split).x.flatten(1).double() * (255 / 256) for split in ("train", "test")]
    train, test = (x + torch.rand(x.shape) / 256 for x in noisy)
    num_dims = train.shape[1]
    nats = gaussian_nll(test, train.mean(0), train.T.cov()) + num_dims * math.log(256)
    return {"test/negative_elbo": nats, "test/bits_per_dim": nats / (num_dims * math.log(2))}


def probabilistic_pca(task: Task) -> Scores:
    """Probabilistic PCA (Tipping & Bishop, 1999) with as many components as the code has: the linear VAE, in closed form."""
    train, test = task.samples("train").x.flatten(1).double(), task.samples("test").x.flatten(1).double()
    values, directions = torch.linalg.eigh(train.T.cov())
    size = task.model.hparams["latent_dim"]
    noise = max(values[:-size].mean().item(), math.exp(LEAST_LOGVAR))
    values[:-size] = noise
    return {"test/negative_elbo": gaussian_nll(test, train.mean(0), directions * values @ directions.T)}


def gaussian(task: Task) -> Scores:
    """Samples of one Gaussian with full covariance."""
    train = task.samples("train").x
    draw = sampler(train.flatten(1))
    task.model.sample = lambda num, *condition: as_samples(draw(num), train)
    return task.report()


def class_gaussian(task: Task) -> Scores:
    """Samples of one Gaussian with full covariance for each class."""
    train = task.samples("train")
    draws = [sampler(train.x[train.y == label].flatten(1)) for label in range(task.data.num_classes)]
    share = train.y.bincount().float()

    def sample(num: int, *condition: Tensor) -> Tensor:
        labels = condition[0] if condition else torch.multinomial(share, num, replacement=True)
        points = torch.empty(num, train.x[0].numel())
        for label, draw in enumerate(draws):
            points[labels == label] = draw(int((labels == label).sum()))
        return as_samples(points, train.x)

    task.model.sample = sample
    return task.report()


def identity(task: Task) -> Scores:
    """The image itself, not translated."""
    task.model.forward = lambda x: x
    task.model.back = lambda y: y
    return task.report()


def nearest_pair(task: Task) -> Scores:
    """The target of the training pair whose input is nearest."""
    train, test = task.samples("train"), task.samples("test")
    task.model.forward = lambda x: train.y[nearest_rows(train.x.flatten(1), x.flatten(1))]
    return {"test/l1": (task.model(test.x) - test.y).abs().mean().item(), **task.report()}


METHODS: dict[str, tuple[Callable[[Task], Scores], str]] = {  # each with its name in tables
    method.__name__: (method, how)
    for method, how in (
        (majority, "majority class"),
        (nearest_neighbour, "1-NN"),
        (pixels, "pixels"),
        (logistic_regression, "logistic regression"),
        (tfidf_logistic_regression, "TF-IDF + LR"),
        (mean, "mean"),
        (linear_regression, "linear regression"),
        (seasonal_naive, "seasonal naive"),
        (ngrams, "n-grams"),
        (pca, "PCA, equal size"),
        (pca_of_active, "PCA, as many as are on"),
        (linear_denoiser, "linear denoiser"),
        (mean_image, "mean image"),
        (class_mean_image, "mean image of the class"),
        (dequantised_gaussian, "one Gaussian"),
        (probabilistic_pca, "probabilistic PCA"),
        (gaussian, "one Gaussian"),
        (class_gaussian, "Gaussian per class"),
        (identity, "untranslated"),
        (nearest_pair, "nearest training pair"),
    )
}


def count_ngrams(tokens: list[int], places: range, longest: int) -> dict[tuple[int, ...], Counter[int]]:
    """Count which token follows each history of up to `longest` - 1 tokens."""
    counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for place in places:
        for length in range(min(longest, place + 1)):
            counts[tuple(tokens[place - length : place])][tokens[place]] += 1
    return counts


def probability(
    counts: dict[tuple[int, ...], Counter[int]], tokens: list[int], place: int, longest: int, vocab_size: int
) -> float:
    """Return the probability of the token at a place, given up to `longest` - 1 tokens before it."""
    p = 1 / vocab_size
    for length in range(longest):
        seen = counts.get(tuple(tokens[place - length : place]))
        if seen is None:
            break
        p = (seen[tokens[place]] + len(seen) * p) / (seen.total() + len(seen))
    return p


def nearest_rows(train: Tensor, x: Tensor) -> Tensor:
    """Return the row of `train` (N, D) that is nearest to each of x (M, D): (M,)."""
    squares = train.square().sum(1)
    return torch.cat([(squares - 2 * part @ train.T).argmin(1) for part in x.split(500)])


def best_regression(x: Any, y: Tensor, x_val: Any, y_val: Tensor, x_test: Any) -> Tensor:
    """Fit logistic regressions, choose the regularisation by validation, and return the classes of the test samples (M,)."""
    y, y_val = y.numpy().ravel(), y_val.numpy().ravel()
    models = [LogisticRegression(C=strength, max_iter=2000).fit(x, y) for strength in STRENGTHS]
    best = max(models, key=lambda model: float(np.mean(model.predict(x_val) == y_val)))
    return torch.as_tensor(best.predict(x_test)).long()


def bernoulli(p: Tensor, x: Tensor) -> float:
    """Return the cross-entropy of pixels x with probabilities p, both (N, C, H, W), in nats per image."""
    return F.binary_cross_entropy(p.clamp(1e-4, 1 - 1e-4), x, reduction="sum").item() / len(x)


def gaussian_nll(x: Tensor, centre: Tensor, covariance: Tensor) -> float:
    """Return the mean negative log-likelihood of rows x (N, D) in nats."""
    factor = torch.linalg.cholesky(covariance)
    scaled = torch.linalg.solve_triangular(factor, (x - centre).T, upper=False)
    constant = factor.diagonal().log().sum() + 0.5 * len(centre) * math.log(2 * math.pi)
    return (0.5 * scaled.square().sum(0).mean() + constant).item()


def sampler(rows: Tensor) -> Callable[[int], Tensor]:
    """Fit a Gaussian with full covariance to rows (N, D), and return a function that draws samples (num, D)."""
    centre = rows.mean(0)
    values, directions = torch.linalg.eigh((rows - centre).double().T.cov())
    factor = (directions * values.clamp(min=0).sqrt()).float().T
    return lambda num: torch.randn(num, len(centre)) @ factor + centre


def as_samples(points: Tensor, like: Tensor) -> Tensor:
    """Return rows as samples of the shape of `like`; images are clipped to [0, 1]."""
    return points if like.ndim == 2 else points.view(-1, *like.shape[1:]).clamp(0, 1)


def measure(recipe: Path, reusable: Mapping[tuple[str, str], Baseline] = MappingProxyType({})) -> Baseline:
    """Measure the baseline that the header of a recipe names.

    Args:
        recipe: the recipe.
        reusable: baselines by method and checksum, which need not be measured again.

    Raises:
        UsageError: if it names none, or one that does not exist.
    """
    method, settings, start = read_header(recipe).get("baseline"), read_settings(recipe), time.perf_counter()
    if method not in METHODS:
        raise UsageError(f"{recipe}: no baseline {method!r} in its header: {nearest(str(method), list(METHODS))}")
    if (method, baseline_checksum(settings)) in reusable:  # of another recipe on the same data
        return {**reusable[method, baseline_checksum(settings)], "recipe": recipe.stem}
    with torch.no_grad():
        baseline, how = METHODS[method]
        metrics = baseline(Task(recipe))
    return Baseline(
        recipe=recipe.stem,
        method=method,
        how=how,
        config=baseline_checksum(settings),
        metrics={name: float(f"{value:.6g}") for name, value in metrics.items()},
        seconds=round(time.perf_counter() - start, 1),
        versions={"python": platform.python_version(), "torch": torch.__version__.split("+")[0]},
        commit=commit_of(recipe),
        date=time.strftime("%Y-%m-%d"),
        command=f"python benchmarks/baselines.py {recipe.stem}",
    )


def keep(baseline: Baseline) -> None:
    """Replace the recipe's earlier baseline, and drop those of recipes that no longer name one."""
    known = {line["recipe"]: line for line in [*read_baselines(), baseline]}
    wanted = {name for name, path in recipe_paths().items() if "baseline" in read_header(path)}
    write_text(BASELINES, "".join(json.dumps(known[name]) + "\n" for name in sorted(known.keys() & wanted)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE")
    chosen = [find_recipe(name) for name in parser.parse_args().recipes] or [
        path
        for path in recipe_paths().values()
        if "baseline" in read_header(path) and measured_baseline(path, read_settings(path)) is None
    ]
    reusable: dict[tuple[str, str], Baseline] = {}
    for path in chosen:
        found = measure(path, reusable)
        reusable[found["method"], found["config"]] = found
        keep(found)
        print(f"{path.stem}: {found['how']}, {found['metrics']}, {found['seconds']} s", flush=True)
