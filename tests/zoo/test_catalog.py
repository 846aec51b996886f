"""The contract of every model in the catalog, at the arguments its card has for tests.

Where a card has several variants, the first keeps the whole contract, and each of the others takes a step.
"""

import copy
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
import torch
from lightning import LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.data import DataLoader

import datamodules
import zoo
from datamodules.core.batch import Batch, SequenceBatch
from datamodules.text.char_text import StreamBatch
from zoo.cli.catalog import Entry, entries
from zoo.cli.export import Format, export
from zoo.tasks.abilities import Generates
from zoo.tasks.adversarial.base import Adversarial, Step
from zoo.tasks.adversarial.noise import FromNoise
from zoo.tasks.embedding.base import Embedder
from zoo.tasks.reconstruction.base import Reconstructor
from zoo.tasks.translation.base import Translator
from zoo.training.checkpoint import AtomicCheckpointIO, load_system
from zoo.training.counting import count_parameters
from zoo.training.links import import_class
from zoo.training.system import System

pytestmark = pytest.mark.early

PROGRESS = torch.tensor(0.5)
PLAIN = (bool, int, float, str, type(None))

# parameters that get no gradient from one step, by model and parameter name, each with its reason
NO_GRADIENT: dict[str, dict[str, str]] = {
    "progressive_gan": {
        f"{name}.{kind}": "the smaller images' ends have faded out at the full size"
        for name in ("generator.to_image.0", "discriminator.from_image.0.0")
        for kind in ("weight", "bias")
    }
    | {"discriminator.end.6.bias": "a difference of means does not see it"},
    "wgan": {"discriminator.head.bias": "a difference of means does not see it"},
    "wgan_gp": {"discriminator.head.bias": "a difference of means does not see it"},
}

FIRST = list({entry["card"]: entry for entry in reversed(entries())}.values())[::-1]
each_model = pytest.mark.parametrize("entry", FIRST, ids=lambda entry: entry["name"])
each_game, each_single = (
    pytest.mark.parametrize(
        "entry", [e for e in FIRST if e["task"].startswith("adversarial") == plays], ids=lambda entry: entry["name"]
    )
    for plays in (True, False)
)
each_variant = pytest.mark.parametrize(
    "entry", [entry for entry in entries() if entry not in FIRST], ids=lambda entry: entry["name"]
)
of_the_cnns = [entry for entry in entries() if entry["card"].startswith("cnn/")]


def build(entry: Entry) -> System:
    torch.manual_seed(0)
    system: System = import_class(entry["class_path"])(**entry["tested_at"])
    return system


def made_up_batch(entry: Entry, size: int = 8) -> Any:
    """A batch of noise of the shapes the model was built for; a new task adds its case here."""
    at, generator = entry["tested_at"], torch.Generator().manual_seed(0)
    position = torch.arange(size)
    match entry["task"]:
        case "classification" | "binary classification":
            return Batch(torch.randn(size, *at["input_shape"], generator=generator), position % at["num_classes"], position)
        case "embedding":  # pairs within each class
            return Batch(torch.randn(size, *at["input_shape"], generator=generator), position % (size // 2), position)
        case "sequence classification" | "sequence regression":
            x, lengths = sequences(entry, size)
            if "num_classes" in at:
                return SequenceBatch(x, lengths, position % at["num_classes"], position)
            return SequenceBatch(x, lengths, torch.randn(size, at["num_targets"], generator=generator), position)
        case "forecasting":
            x = torch.randn(size, *at["input_shape"], generator=generator)
            y = torch.randn(size, at["num_targets"], generator=generator)
            return SequenceBatch(x, torch.full((size,), x.shape[1]), y, position)
        case "language modelling":
            text = torch.randint(2, at["vocab_size"], (size, at["input_shape"][0] + 1), generator=generator)
            return StreamBatch(text[:, :-1], text[:, 1:], position, start=torch.ones(size, dtype=torch.bool))
        case "adversarial generation" if len(at["input_shape"]) == 1:
            return Batch(torch.randn(size, *at["input_shape"], generator=generator), position % 3, position)
        case (
            "reconstruction" | "generation" | "adversarial generation"
        ):  # black and white, which any likelihood of pixels can be sure of
            x = torch.randint(0, 2, (size, *at["input_shape"]), generator=generator).float()
            return Batch(x, position % at.get("num_classes", 10), position)
        case "adversarial translation":
            x, y = torch.randint(0, 2, (2, size, *at["input_shape"]), generator=generator).float()
            return Batch(x, y, position)
        case "regression":
            x = torch.randn(size, *at["input_shape"], generator=generator)
            return Batch(x, torch.randn(size, at["num_targets"], generator=generator), position)
        case task:
            raise ValueError(f"no made-up batch for the task {task!r} of {entry['name']}: add a case to made_up_batch")


def sequences(entry: Entry, size: int) -> tuple[Tensor, Tensor]:
    """Noise of several lengths, filled up with zeros: tokens where there is a vocabulary, else values."""
    at, generator = entry["tested_at"], torch.Generator().manual_seed(1)
    lengths = torch.arange(size) % at["input_shape"][0] + 1
    lengths[0] = at["input_shape"][0]
    if "vocab_size" in at:
        x = torch.randint(1, at["vocab_size"], (size, *at["input_shape"]), generator=generator)
    else:
        x = torch.randn(size, *at["input_shape"], generator=generator)
    counts = torch.arange(at["input_shape"][0]) < lengths[:, None]
    return x * (counts if x.ndim == 2 else counts[:, :, None]), lengths


def steps(system: System) -> dict[Step, nn.Module]:
    """Each step with the network that it trains: one step, or one for each network of a GAN."""
    if isinstance(system, Adversarial):
        return {system.d_step: system.discriminator, system.g_step: system.generator}
    return {system.step: system}


def buffers(system: System) -> dict[str, Tensor]:
    """What a step may not touch: all buffers but BatchNorm's running statistics, and a spectral norm's singular vectors."""
    kinds = (nn.modules.batchnorm._BatchNorm, parametrizations._SpectralNorm)
    norms = tuple(name for name, module in system.named_modules() if isinstance(module, kinds))
    return {name: b.clone() for name, b in system.named_buffers() if name.rpartition(".")[0] not in norms}


def python_state(system: System) -> dict[str, Any]:
    """Every plain value that the system or one of its modules keeps as an attribute."""
    return {
        f"{name}.{key}": value
        for name, module in system.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, (*PLAIN, tuple))
    }


def has_spectral_norm(system: System) -> bool:
    return any(isinstance(module, parametrizations._SpectralNorm) for module in system.modules())


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@each_model
def test_every_parameter_gets_a_finite_gradient(entry: Entry) -> None:
    system = build(entry)
    without = without_gradient(system, made_up_batch(entry))
    assert without == NO_GRADIENT.get(entry["name"], {}).keys(), "a mistake in the model, or a line in NO_GRADIENT is missing"


@each_variant
def test_every_variant_takes_a_step_and_its_weights_come_back(entry: Entry) -> None:
    system = build(entry)
    assert without_gradient(system, made_up_batch(entry, size=2)) == NO_GRADIENT.get(entry["name"], {}).keys()
    with torch.device("meta"):
        twin: System = import_class(entry["class_path"])(**entry["tested_at"])
    twin.load_state_dict(system.state_dict(), assign=True)  # strict: no name or shape differs
    x = system.example_inputs(2)
    assert torch.equal(twin.eval()(*x), system.eval()(*x))


def without_gradient(system: System, batch: Any) -> set[str]:
    """Parameters that get no gradient in two steps. A norm that starts at 0 hides the branch before it from the first."""
    without = {name for name, _ in system.named_parameters() if not name.startswith("average.")}
    for _ in range(2):
        for step, learner in steps(system).items():
            loss, outputs = step(batch, PROGRESS)
            assert loss.ndim == 0
            assert torch.isfinite(loss)
            assert all(torch.isfinite(value).all() for value in outputs.values())
            loss.backward()
            assert all(torch.isfinite(p.grad).all() for p in learner.parameters() if p.grad is not None)
            mine = set(learner.parameters())
            without -= {name for name, p in system.named_parameters() if p in mine and p.grad is not None and p.grad.any()}
            with torch.no_grad():
                for parameter in learner.parameters():
                    if parameter.grad is not None:
                        parameter -= 0.01 * parameter.grad.sign()
            system.zero_grad()
        if not without:
            break
    return without


@each_game
def test_each_network_can_win_against_one_that_stands_still(entry: Entry) -> None:
    """The gap between the logits of real and generated samples opens, then closes."""
    system: Any = build(entry)
    batch, gaps = made_up_batch(entry), []
    for step, learner in steps(system).items():
        optimizer = torch.optim.Adam(learner.parameters(), lr=system.lr, fused=True)
        for _ in range(60):
            loss = step(batch, PROGRESS)[0]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        _, outputs = system.d_step(batch, PROGRESS)
        gaps.append((outputs["d_real"] - outputs["d_fake"]).item())
    assert gaps[0] > 0.5
    assert gaps[1] < 0.5 * gaps[0]


@each_single
def test_overfits_one_batch(entry: Entry) -> None:
    system, batch = build(entry), made_up_batch(entry)
    optimizer = torch.optim.Adam(system.parameters(), lr=system.lr, fused=True)
    losses: list[float] = []
    while len(losses) < 200 and (not losses or losses[-1] > 0.05 * losses[0]):
        loss = system.step(batch, PROGRESS)[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] <= 0.05 * losses[0]


@each_model
def test_step_is_pure(entry: Entry) -> None:
    system, batch = build(entry), made_up_batch(entry)
    weights = {name: p.detach().clone() for name, p in system.named_parameters()}
    before, held = buffers(system), python_state(system)
    for step in steps(system):
        losses = []
        for _ in range(2):
            torch.manual_seed(1)
            losses.append(step(batch, PROGRESS)[0])
        # a spectral norm's estimate gets better with each use
        torch.testing.assert_close(*losses, rtol=0.05 if has_spectral_norm(system) else 0, atol=0)
    assert same(weights, {name: p.detach() for name, p in system.named_parameters()})
    assert same(before, buffers(system))
    assert held == python_state(system)


@each_model
def test_step_never_reads_a_value(entry: Entry) -> None:
    """On the meta device there are none, so `.item()`, `if tensor:` and the like raise."""
    system, batch = build(entry).to("meta"), made_up_batch(entry)
    on_meta = {name: value.to("meta") for name, value in batch._asdict().items() if value is not None}
    for step in steps(system):
        assert step(batch._replace(**on_meta), PROGRESS.to("meta"))[0].is_meta


@each_model
def test_the_net_knows_no_lightning(entry: Entry) -> None:
    assert not any(isinstance(module, LightningModule) for module in build(entry).net.modules())


@each_model
def test_forward_takes_the_example_input_and_any_batch_size(entry: Entry) -> None:
    system = build(entry).eval()
    x = system.example_inputs(3)
    y = system(*x)
    assert len(y) == 3
    assert torch.isfinite(y).all()
    torch.testing.assert_close(system(*(part[:1] for part in x)), y[:1])  # in evaluation a sample's answer is its own


@each_model
def test_comes_back_from_a_checkpoint(entry: Entry, fit: Callable[..., Trainer], tmp_path: Path) -> None:
    system, batch = build(entry), made_up_batch(entry)
    loader = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]  # a list will do
    trainer = fit(system, None, loader, loader, max_steps=2, plugins=[AtomicCheckpointIO()])
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    loaded = load_system(tmp_path / "model.ckpt")
    assert type(loaded) is type(system)
    assert loaded.hparams == system.hparams
    assert same(loaded.state_dict(), system.state_dict())
    assert not same(loaded.state_dict(), build(entry).state_dict())  # two steps were taken
    x = system.example_inputs(3)
    torch.testing.assert_close(loaded(*x), system.eval()(*x))  # convolutions that were trained are channels last


@each_model
def test_a_copy_shares_nothing(entry: Entry) -> None:
    system = build(entry).eval()
    twin, x = copy.deepcopy(system), system.example_inputs(3)
    before = system(*x)
    assert torch.equal(twin(*x), before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    assert torch.equal(system(*x), before)
    assert twin.hparams == system.hparams


@each_model
def test_arguments_are_named_typed_defaulted_and_plain(entry: Entry) -> None:
    constructor = import_class(entry["class_path"]).__init__
    hints = typing.get_type_hints(constructor)
    for name, parameter in list(inspect.signature(constructor).parameters.items())[1:]:
        assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD, f"{name} is no plain argument"
        assert parameter.default is not inspect.Parameter.empty, f"{name} has no default"
        assert is_plain_type(hints[name]), f"{name}: {hints[name]} would not survive weights_only=True"


@each_model
def test_every_argument_is_a_hyper_parameter(entry: Entry) -> None:
    system = build(entry)
    assert set(system.hparams) == set(inspect.signature(type(system)).parameters)
    assert {name: system.hparams[name] for name in entry["tested_at"]} == entry["tested_at"]
    assert is_plain(dict(system.hparams))


@each_model
def test_the_parameters_counted_are_those_there_are(entry: Entry) -> None:
    with torch.device("meta"):
        system = import_class(entry["class_path"])(**entry["counted_at"])
    assert entry["num_params"] == count_parameters(system)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["pt2", "onnx", "safetensors"])
@pytest.mark.parametrize("entry", of_the_cnns, ids=lambda entry: entry["name"])
def test_every_cnn_trains_exports_and_reloads(
    entry: Entry, format: Format, fit: Callable[..., Trainer], tmp_path: Path
) -> None:
    """`export` itself compares the reloaded file with the system, and raises where they differ."""
    system, batch = build(entry), made_up_batch(entry)
    loader = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]  # a list will do
    trainer = fit(system, None, loader, loader, max_steps=1, limit_val_batches=0, plugins=[AtomicCheckpointIO()])
    trainer.save_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    assert export(tmp_path / "model.ckpt", format) == 0
    assert (tmp_path / f"model.{format}").stat().st_size > 0


@each_single
def test_what_chooses_the_checkpoint_and_what_is_shown_are_logged(entry: Entry) -> None:
    system = build(entry)
    headline = system.headline if isinstance(system.headline, str) else system.headline[0]
    for name in (system.monitor[0], headline):
        stage, _, metric = name.partition("/")
        scalars = {name for name, value in system.eval().step(made_up_batch(entry), PROGRESS)[1].items() if value.ndim == 0}
        logged = {"loss", *scalars, *system.metrics[f"{stage}_metrics"].keys(keep_base=True)}
        assert metric in logged


OF_IMAGES, OF_CLASSES = ["ImageSamples", "WorstErrors"], ["PerClass", "ConfusionMatrix", "Calibration"]
DECLARED = {  # the reports of every run of a model, by its class, or below by its base
    "BackpropMLP": [*OF_IMAGES, *OF_CLASSES],
    "CIFARResNetClassifier": [*OF_IMAGES, "GradCAM", "FirstFilters", *OF_CLASSES],
    "CharLM": ["TextSamples"],
    "ImageClassifier": [*OF_IMAGES, "GradCAM", "FirstFilters", *OF_CLASSES],
    "MLPBinaryClassifier": OF_CLASSES,
    "MLPClassifier": [*OF_IMAGES, *OF_CLASSES],
    "MLPRegressor": [],
    "Perceptron": [*OF_IMAGES, *OF_CLASSES],
    "RNNClassifier": [*OF_CLASSES, "HardestTexts", "HiddenStates", "LengthBuckets"],
    "RNNForecaster": ["Forecasts"],
    "RNNRegressor": ["HiddenStates"],
    "SparseAutoencoder": ["LatentPictures", "CodeSparsity"],
    "SimpleCNNClassifier": [*OF_IMAGES, "GradCAM", "FirstFilters", *OF_CLASSES],
    "TransferClassifier": [*OF_IMAGES, "GradCAM", "FirstFilters", *OF_CLASSES, "LayerRates", "FeatureMap"],
}
DECLARED_BY_BASE: dict[type[System], list[str]] = {
    FromNoise: ["GANPictures"],
    Translator: ["FirstFilters", "Translations"],
    Reconstructor: ["LatentPictures"],
    Embedder: ["FirstFilters", "RetrievalPictures"],
}
CODES = ["pictures/embedding", "pictures/interpolation", "pictures/reconstructions", "pictures/traversal"]
WRITTEN = {  # by each report, whatever the model: for those of codes, samples and translations see `written_by`
    "Calibration": ["pictures/reliability.png"],
    "ConfusionMatrix": ["pictures/confusion_matrix.csv", "pictures/confusion_matrix.png"],
    "FirstFilters": ["pictures/filters.png"],
    "Forecasts": ["pictures/forecasts.png"],
    "GradCAM": ["pictures/grad_cam.png"],
    "HardestTexts": ["predictions/hardest.csv"],
    "HiddenStates": ["pictures/hidden_states.png"],
    "ImageSamples": ["pictures/val_samples.png"],
    "FeatureMap": [],  # it compares validation samples, which made-up data do not serve
    "LayerRates": ["pictures/layer_rates.csv", "pictures/layer_rates.png"],
    "LengthBuckets": ["pictures/length_buckets.png"],
    "PerClass": ["predictions/per_class.csv"],
    "RetrievalPictures": ["pictures/embedding.png", "pictures/neighbours.png"],
    "TextSamples": ["predictions/samples.txt"],
    "WorstErrors": ["pictures/worst_errors.png"],
}


class MadeUpData(LightningDataModule):
    """One made-up batch for every split, with what the data sets of a task state about themselves."""

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self.batch, at = made_up_batch(entry), entry["tested_at"]
        rows = self.batch.position
        self.splits = {split: types.SimpleNamespace(rows=rows) for split in ("train", "val", "test")}
        if entry["task"] in ("forecasting", "regression", "sequence regression"):
            self.mean, self.std = (0.0,), (1.0,)
            self.horizon = at["num_targets"] // at["input_shape"][-1] if entry["task"] == "forecasting" else None
        else:
            self.class_names = tuple(f"class {k}" for k in range(at.get("num_classes", 10)))
        if "vocab_size" in at:
            self.texts = [f"text {position}" for position in rows.tolist()]

    def tokens_of(self, position: int) -> list[str]:
        return ["word"] * int(self.batch.lengths[position])

    def decode(self, tokens: Tensor) -> str:
        return " ".join(map(str, tokens.tolist()))

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader([self.batch], batch_size=None)  # type: ignore[arg-type]  # a list will do

    val_dataloader = train_dataloader

    def test_dataloader(self) -> DataLoader[Any]:
        """The same inputs, of the next class each in a classification: a model that has learned the batch makes errors."""
        y = self.batch.y
        batch = self.batch if y.is_floating_point() or y.ndim > 1 else self.batch._replace(y=(y + 1) % len(self.class_names))
        return DataLoader([batch], batch_size=None)  # type: ignore[arg-type]  # a list will do


def written_by(report: str, system: System, batch: Any) -> list[str]:
    """The files that a report leaves, relative to the run directory."""
    match report:
        case "LatentPictures":
            return [f"{path}.png" for path in (*CODES, *(["pictures/samples"] if isinstance(system, Generates) else []))]
        case "GANPictures":
            drawn = ["logits.png", "samples.png", "training.gif", "frames/00000001.png"]
            return [f"pictures/{path}" for path in (*drawn, *(["interpolation.png"] if batch.x.ndim == 4 else []))]
        case "Translations":
            assert isinstance(system, Translator)
            return [f"pictures/{stage}{name}.png" for stage in ("", "test_") for name in system.strips(batch)]
        case "CodeSparsity":  # it logs scores only
            return []
        case _:
            return WRITTEN[report]


@each_model
def test_declared_reports_run_and_write_their_files(entry: Entry, fit: Callable[..., Trainer], tmp_path: Path) -> None:
    system, data = build(entry), MadeUpData(entry)
    reports = system.reports(tmp_path)
    names = [type(report).__name__ for report in reports]
    by_base = next((names for base, names in DECLARED_BY_BASE.items() if isinstance(system, base)), [])
    assert names == DECLARED.get(type(system).__name__, by_base), "reports that no table here states"
    fit(system, data, callbacks=reports, default_root_dir=tmp_path).test(system, datamodule=data, verbose=False)
    written = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(written) == sorted(path for name in names for path in written_by(name, system.eval(), data.batch))
    assert all((tmp_path / path).stat().st_size > 0 for path in written)


@pytest.mark.parametrize("entry", {entry["task"]: entry for entry in FIRST}.values(), ids=lambda entry: entry["task"])
def test_data_that_states_nothing_does_not_stop_a_run(entry: Entry, fit: Callable[..., Trainer], tmp_path: Path) -> None:
    """A user's own loaders: no names of classes, no texts, no horizon."""
    system, loader = build(entry), MadeUpData(entry).train_dataloader()
    fit(system, None, loader, loader, callbacks=system.reports(tmp_path)).test(system, loader, verbose=False)


def test_series_have_no_hardest_texts() -> None:
    system = zoo.RNNClassifier((12, 2), 3)
    assert "HardestTexts" not in [type(report).__name__ for report in system.reports(Path())]


def test_the_catalog_and_the_package_hold_the_same_models() -> None:
    assert {entry["class_path"] for entry in entries()} == {f"zoo.{name}" for name in zoo.HOMES}


def test_a_task_nobody_made_a_batch_for_is_named() -> None:
    entry: Any = {**entries()[0], "name": "sonnet", "task": "poetry"}
    with pytest.raises(ValueError, match="no made-up batch for the task 'poetry' of sonnet"):
        made_up_batch(entry)


@pytest.mark.parametrize(("package", "name"), [(package, name) for package in (zoo, datamodules) for name in package.HOMES])
def test_every_name_imports_from_its_home(package: types.ModuleType, name: str) -> None:
    found = getattr(package, name)
    assert (found.__name__, found.__module__) == (name, f"{package.__name__}.{package.HOMES[name]}")


@pytest.mark.parametrize("package", [zoo, datamodules])
def test_an_unknown_name_is_answered_with_those_there_are(package: types.ModuleType) -> None:
    with pytest.raises(AttributeError, match=rf"{package.__name__} has no 'Nothing': it has .*{sorted(package.HOMES)[-1]}"):
        _ = package.Nothing
    assert package.__all__ == [*sorted(package.HOMES), *(["load"] if package is zoo else [])]


@pytest.mark.parametrize(
    "kind", [Callable[[Tensor], Tensor], nn.Module, Any, type, Path, list[nn.Module], int | Tensor, dict[str, Any]]
)
def test_what_is_not_plain_is_noticed(kind: Any) -> None:
    assert not is_plain_type(kind)


def is_plain_type(kind: Any) -> bool:
    """Whether values of this type are builtins all the way down, so that `weights_only=True` loads them."""
    if kind in PLAIN:
        return True
    if typing.is_typeddict(kind):
        return all(map(is_plain_type, typing.get_type_hints(kind).values()))
    if get_origin(kind) is Literal:
        return all(isinstance(value, PLAIN) for value in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType, tuple, list, dict, Sequence):
        return all(argument is ... or is_plain_type(argument) for argument in get_args(kind))
    return False


def is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(is_plain(item) for pair in value.items() for item in pair)
    return all(map(is_plain, value)) if isinstance(value, tuple | list) else isinstance(value, PLAIN)
