"""Run every recipe alone, and one recipe of each system with every applicable overlay, for a batch or two."""

import json
import re
import runpy
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import wandb
import yaml
from PIL import Image

from datamodules.core.batch import Batch
from zoo.cli.baselines import measured_baseline
from zoo.cli.catalog import entries
from zoo.cli.configuration import Configuration
from zoo.cli.headers import read_header
from zoo.cli.main import main
from zoo.cli.measure import few_steps
from zoo.cli.names import ROOT, overlay_paths, recipe_paths
from zoo.cli.reproduce import wants_gpu
from zoo.cli.results import current_results, read_behaviours, same_behaviour
from zoo.cli.settings import read_settings
from zoo.pretrained.features import build_extractor
from zoo.pretrained.published import published
from zoo.training.checkpoint import read_checkpoint

pytestmark = pytest.mark.early

RECIPES = recipe_paths()
LARGE = [name for name, path in RECIPES.items() if wants_gpu(path)]
SMALL = [name for name in RECIPES if name not in LARGE]
NEEDS_GPU = {"trainer/fp16"}
# These run in tests/zoo/training/test_parallel.py. Here every recipe is built with them.
TWO_PROCESSES = {"trainer/ddp", "trainer/fsdp"}
IN_PROCESS = [name for name in overlay_paths() if name not in NEEDS_GPU | TWO_PROCESSES]
ONE_OF_EACH = (  # a recipe for each way of training: trainer settings meet nothing new in other models or data
    *("mlp_digits", "mlp_diabetes", "lstm_python_manual", "char_lstm_python_manual"),
    *("vae_digits", "gan_ring", "cyclegan_mnist_usps"),
)
CHAINS = [  # overlays that go together
    ("trainer/bf16", "trainer/ddp", "debug/profile"),
    ("trainer/fp16", "trainer/fsdp", "debug/overfit"),
    ("trainer/fp32", "debug/fast_dev_run"),
    ("debug/gradients",),
]
EMBEDDED = {
    *("datamodules.Adding", "datamodules.CharText", "datamodules.DigitRows", "datamodules.Digits"),
    *("datamodules.GaussianMixture", "datamodules.PythonManual", "datamodules.Tabular"),
}
TINY = {  # data sets that the mirror lacks, made up in the hub's layout: repository, files, number of classes
    "datamodules.AGNews": ("fancyzhx/ag_news", "data/{}-00000-of-00001.parquet", 4),
    "datamodules.IMDb": ("stanfordnlp/imdb", "plain_text/{}-00000-of-00001.parquet", 2),
}


WITHOUT_NETWORK = {"resnet50_transfer_image_folder": ["--model.weights", "null"]}  # instead of weights to be downloaded


def settings(recipe: str) -> dict[str, dict[str, Any]]:
    return yaml.safe_load(RECIPES[recipe].read_text())


def needs_mirror(recipe: str) -> bool:
    data = settings(recipe)["data"]
    embedded = data["class_path"] in EMBEDDED or data["init_args"].get("source") == "mackey_glass"
    return not embedded and data["class_path"] not in TINY


def built_from_mirror(recipe: str) -> bool:
    """Return whether building the recipe reads real data: a folder listing, a header, a schema, classes, or initial weights."""
    given = settings(recipe)
    reads = {f"datamodules.{name}" for name in ("HubText", "ImageFolder", "PairedImages", "TextFile")}
    reads_data = given["data"]["class_path"] in reads and needs_mirror(recipe)
    return reads_data or "weights" in given["model"].get("init_args", {})


@pytest.fixture
def data_of(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], bool]:
    """Function that provides a recipe's data: nothing, the real mirror, or made-up files that the mirror lacks.

    It returns whether all data are real.
    """

    def see_to(recipe: str) -> bool:
        made_up = TINY.get(settings(recipe)["data"]["class_path"])
        if made_up:
            repo, files, num_classes = made_up
            for part in ("train", "test"):
                path = tmp_path / "mirror" / repo / files.format(part)
                path.parent.mkdir(parents=True, exist_ok=True)
                label = [row % num_classes for row in range(80)]
                pq.write_table(pa.table({"text": [f"word {row} and {row % 7}" for row in range(80)], "label": label}), path)
            monkeypatch.setenv("ZOO_DATA", str(tmp_path / "mirror"))
            return False
        if not needs_mirror(recipe):
            return True
        mirror: Path = request.getfixturevalue("mirror")
        lacking = [path for path in vectors_of(recipe) if not (mirror / path).is_file()]
        if lacking:
            (tmp_path / "mirror").mkdir()
            for path in mirror.iterdir():
                (tmp_path / "mirror" / path.name).symlink_to(path)
            vector = [*[0.1] * settings(recipe)["model"]["init_args"]["embed_dim"], 1.0, 0]
            for path in lacking:
                (tmp_path / "mirror" / path).write_text(json.dumps({"vectors": {"film": vector}}, separators=(",", ":")))
            monkeypatch.setenv("ZOO_DATA", str(tmp_path / "mirror"))
        return not lacking

    return see_to


def vectors_of(recipe: str) -> list[str]:
    """Return the files of word vectors that a recipe starts from."""
    callbacks = settings(recipe)["trainer"].get("callbacks", [])
    return [
        setting["init_args"]["path"] for setting in callbacks if setting["class_path"] == "zoo.pretrained.PretrainedVectors"
    ]


def test_every_yaml_is_a_recipe_an_overlay_a_sweep_or_the_assertions() -> None:
    others = {*(ROOT / "sweeps").glob("*.yaml"), ROOT / "claims" / "assertions.yaml"}
    known = {*RECIPES.values(), *overlay_paths().values(), *others}
    assert known == set(ROOT.rglob("*.yaml"))
    stems = [path.stem for path in RECIPES.values()]
    assert len(stems) == len(set(stems)) == len(list(RECIPES.values()))


@pytest.mark.parametrize("recipe", RECIPES)
def test_has_a_header_and_pins_its_precision(recipe: str) -> None:
    text = RECIPES[recipe].read_text()
    assert re.search(rf"^#   zoo fit -c {recipe}\b", text, re.MULTILINE)
    assert "# Expected:" in text
    assert "precision" in settings(recipe)["trainer"]


@pytest.mark.filterwarnings("ignore:warm-up of")  # it is longer than two batches
@pytest.mark.parametrize(
    ("recipe", "overlay"),
    [*((recipe, None) for recipe in SMALL), *product(ONE_OF_EACH, IN_PROCESS)],
    ids=str,
)
def test_runs(recipe: str, overlay: str | None, tmp_path: Path, data_of: Callable[[str], bool]) -> None:
    """Fit and test for two batches each, and check that the overlay's settings arrive.

    The batch size is cut to 8, since a deep network takes minutes for a full batch on a CPU. Recipes that only test train here
    too. Without an overlay the fit is the one that shows the recipe's behaviour: it has to be the behaviour that is kept.
    """
    real = data_of(recipe)
    overlays = ["-c", overlay] if overlay else []
    if overlay is None:
        short = [*few_steps(RECIPES[recipe]), "--trainer.limit_test_batches", "2", *WITHOUT_NETWORK.get(recipe, [])]
        assert main(["fit", "-c", recipe, *short, "--run_dir", str(tmp_path / "run")]) == 0
        assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()
        found, kept = json.loads((tmp_path / "run" / "behaviour.json").read_text()), read_behaviours().get(recipe)
        assert kept is None or not real or same_behaviour(found, kept), (
            f"{recipe} computes {found} in its first steps, {kept} is kept: if the change is meant, run "
            f"`zoo reproduce {recipe} --behaviour`, which marks its score as stale, and later `zoo reproduce {recipe}`"
        )
        return
    short = ["--trainer.max_epochs", "1", "--trainer.limit_val_batches", "2", "--trainer.limit_test_batches", "2"]
    if overlay != "debug/overfit":
        short += ["--trainer.limit_train_batches", "2"]
    if overlay == "debug/profile":
        short += ["--trainer.max_steps", "2"]
    if settings(recipe)["data"]["init_args"]["batch_size"] > 8:
        short += ["--data.batch_size", "8"]
    if overlay and "num_workers" in settings(recipe)["data"]["init_args"]:
        short += ["--data.num_workers", "0"]  # ending workers takes 5 s: doing it once per recipe is enough
    folder = tmp_path / "run"
    assert main(["fit", "-c", recipe, *overlays, *short, "--run_dir", str(folder)]) == 0
    if overlay == "debug/fast_dev_run":
        assert not (folder / "config.yaml").exists()  # so that a real run can use the directory
        assert not (folder / "checkpoints").exists()
        return
    config = yaml.safe_load((folder / "config.yaml").read_text())
    wanted = yaml.safe_load(overlay_paths()[overlay].read_text())["trainer"] if overlay else {}
    shortened = {"max_epochs", "max_steps", "limit_val_batches"}
    for name in wanted.keys() - shortened - {"callbacks+"}:
        assert config["trainer"][name] == wanted[name]
    if overlay == "debug/gradients":
        assert (folder / "gradients.csv").read_text().startswith("step,layer,optimizer,gradient_norm")
        assert (folder / "pictures" / "gradients.png").stat().st_size > 10_000
    if overlay == "debug/profile":
        assert "run_training_batch" in (folder / "fit-profile.txt").read_text()
    assert (folder / "checkpoints" / "last.ckpt").exists()


def extractors(recipe: str) -> list[str]:
    """Names of the published weights whose features the recipe's reports compare."""
    callbacks = settings(recipe)["trainer"].get("callbacks", [])
    return [name for one in callbacks if (name := one.get("init_args", {}).get("extractor")) in published()]


READ = {  # one recipe for each data set and network
    (settings(recipe)["data"]["class_path"], name): recipe for recipe in SMALL for name in extractors(recipe)
}


@pytest.mark.parametrize(("data", "network"), READ, ids=str)
@pytest.mark.usefixtures("mirror")
def test_the_network_whose_features_are_compared_can_read_the_data(data: str, network: str) -> None:
    """In the features of a network that takes every image for the same class, distances mean nothing."""
    configuration = Configuration([RECIPES[READ[data, network]]])
    parts: Any = configuration.build_data()
    parts.prepare_data()
    parts.setup()
    batch = parts.transform(next(iter(parts.loader("test"))), 0, False)
    x, y = batch.x[:200], batch.y[:200]
    extractor = build_extractor(network)
    found = [extractor.last(extractor(channel[:, None])).argmax(1) for channel in x.unbind(1)]
    read = sum(label * 10**place for place, label in enumerate(found))  # as stacked images number their classes
    assert (read == y).float().mean() > 0.7  # 0.9 to the power of three channels


def test_the_behaviour_of_every_recipe_with_a_score_is_kept() -> None:
    scored = {name for name, path in RECIPES.items() if current_results(path).results}
    assert scored == read_behaviours().keys()


def test_every_score_has_its_baseline_measured() -> None:
    lacking = [
        name
        for name, path in RECIPES.items()
        if "baseline" in read_header(path) and measured_baseline(path, read_settings(path)) is None
    ]
    assert not lacking, f"run python benchmarks/baselines.py {' '.join(lacking)}"


def test_every_score_below_its_baseline_is_explained() -> None:
    below = [score for entry in entries() for score in entry["scores"] if score["below_baseline"]]
    assert not [score["recipe"] for score in below if not score["explanation"]]


def named(setting: Any) -> Any:
    """Return a setting with each class reduced to its name, since the parser fills in the defaults of its arguments."""
    if isinstance(setting, list):
        return [named(item) for item in setting]
    return setting["class_path"] if isinstance(setting, dict) else setting


# Overlays change trainer settings only, so one recipe stands for all those with the same trainer settings and callbacks.
COMPOSED = {str([*(own := settings(recipe)["trainer"]), named(own.get("callbacks"))]): recipe for recipe in SMALL}


@pytest.mark.parametrize("overlays", CHAINS, ids=" ".join)
@pytest.mark.parametrize("recipe", COMPOSED.values())
def test_composes(recipe: str, overlays: tuple[str, ...]) -> None:
    """Every overlay is accepted after every recipe, arrives, and leaves the recipe's other settings as they are."""
    composed = Configuration([RECIPES[recipe], *(overlay_paths()[overlay] for overlay in overlays)]).plain()["trainer"]
    wanted = settings(recipe)["trainer"]
    for overlay in overlays:
        wanted |= yaml.safe_load(overlay_paths()[overlay].read_text())["trainer"]
    if added := wanted.pop("callbacks+", []):
        wanted["callbacks"] = [*wanted.get("callbacks", []), *added]
    for name, value in wanted.items():
        assert named(composed[name]) == named(value)


def test_every_overlay_is_composed_and_changes_trainer_settings_only() -> None:
    assert {overlay for chain in CHAINS for overlay in chain} == set(overlay_paths())
    assert all(yaml.safe_load(path.read_text()).keys() == {"trainer"} for path in overlay_paths().values())


@pytest.mark.parametrize("recipe", LARGE)
def test_of_a_gpu_is_built_in_full(recipe: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Its discriminator and generator compute losses and gradients on made-up images."""
    if recipe == "cyclegan_horse2zebra":
        for name in ("trainA", "trainB", "testA", "testB"):
            (tmp_path / name).mkdir()
            Image.new("RGB", (8, 8)).save(tmp_path / name / "0.png")
        folder = [f"--data.init_args.root={tmp_path}", "--data.init_args.size=64"]  # its networks work at any size
    else:
        folder = []
        if built_from_mirror(recipe):
            request.getfixturevalue("mirror")
    configuration = Configuration([RECIPES[recipe]], folder)
    configuration.build_data()
    model: Any = configuration.build_model()
    x = torch.rand(min(settings(recipe)["data"]["init_args"]["batch_size"], 2), *model.hparams["input_shape"])
    batch, progress = Batch(x, x, torch.arange(len(x))), torch.zeros(())
    for player, step in ((model.discriminator, model.d_step), (model.generator, model.g_step)):
        loss, _ = step(batch, progress)
        loss.backward()
        assert loss.isfinite()
        assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in player.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("overlay", sorted(NEEDS_GPU))
@pytest.mark.parametrize("recipe", SMALL)
def test_runs_on_a_gpu(recipe: str, overlay: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if needs_mirror(recipe):
        request.getfixturevalue("mirror")
    assert main(["fit", "-c", recipe, "-c", overlay, "--trainer.max_epochs", "1", "--run_dir", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("recipe", "published"),
    [("resnet20_cifar10_published", 0.9173), pytest.param("resnet56_cifar10_published", 0.9339, marks=pytest.mark.slow)],
)
@pytest.mark.usefixtures("mirror")
def test_weights_of_others_score_what_they_published(
    recipe: str, published: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights of other authors reach their published score on the whole test split.

    So network, shortcuts, weights, data and metric agree with theirs.
    """
    assert main(["test", "-c", recipe, "--run_dir", str(tmp_path)]) == 0
    (score,) = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("test/acc")]
    assert float(score) == pytest.approx(published, abs=0.0005)
    assert len((tmp_path / "predictions" / "test.csv").read_text().splitlines()) == 10_001


@pytest.mark.parametrize("recipe", ["mlp_digits", "lstm_python_manual", "vae_digits", "gan_ring", "resnet20_digits_transfer"])
def test_the_script_is_the_recipe(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example, `python recipes/mlp/mlp_digits.py` and `zoo fit -c mlp_digits` end with the same weights.

    The script runs in this process. `tests/test_readme.py` runs one in a process of its own.
    """
    (script,) = ROOT.rglob(f"{recipe}.py")
    arguments = ["--max_epochs", "3", "--seed", "4", "--run_dir", str(tmp_path / "script")]
    monkeypatch.setattr("sys.argv", [str(script), *arguments])
    runpy.run_path(str(script), run_name="__main__")
    wandb.finish()  # as a process does when it ends
    shorter = ["--trainer.max_epochs", "3", "--seed_everything", "4"]
    assert main(["fit", "-c", recipe, *shorter, "--run_dir", str(tmp_path / "recipe")]) == 0
    of_script, of_recipe = (
        read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")["state_dict"] for name in ("script", "recipe")
    )
    assert of_script.keys() == of_recipe.keys()
    for name, value in of_recipe.items():
        assert torch.equal(of_script[name], value), name
