"""An exported file has the outputs of the checkpoint, and records its origin."""

import json
import shutil
import sys
from pathlib import Path

import onnx
import pytest
import torch
from safetensors import safe_open

from zoo.cli.main import main
from zoo.training.checkpoint import load_system, read_checkpoint

each_format = pytest.mark.parametrize("format", ["onnx", "pt2", "safetensors"])
RECORDED = ("recipe", "commands", "results", "seconds", "hardware", "versions")


def export(checkpoint: Path, format: str, folder: Path) -> Path:
    output = folder / f"model.{format}"
    assert main(["export", str(checkpoint), "--format", format, "-o", str(output)]) == 0
    return output


def metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a file without the zoo."""
    match path.suffix:
        case ".safetensors":
            with safe_open(path, "pt") as file:
                return file.metadata()
        case ".onnx":
            return {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        case _:
            found = dict.fromkeys(("class_path", "hyper_parameters", "data", "run"), "")
            with path.open("rb") as file:
                torch.export.load(file, extra_files=found)
            return found


@each_format
def test_reloads_equal(run: Path, format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = export(run / "checkpoints" / "best.ckpt", format, tmp_path)
    assert "largest difference after reloading: " in capsys.readouterr().out
    assert output.stat().st_size > 300_000
    beside = {"onnx": ["model.json", "predict_onnx.py"], "pt2": ["model.json"], "safetensors": []}[format]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([output.name, *beside])


@each_format
def test_says_what_it_is_and_where_it_comes_from(run: Path, format: str, tmp_path: Path) -> None:
    about = metadata(export(run / "checkpoints" / "best.ckpt", format, tmp_path))
    facts = json.loads((run / "run.json").read_text())
    assert json.loads(about["run"]) == {name: facts[name] for name in RECORDED}
    assert facts["commands"][0].startswith("zoo fit -c mlp_digits ")
    assert about["class_path"] == "zoo.MLPClassifier"
    assert json.loads(about["hyper_parameters"])["hidden_dims"] == [256, 256]
    data = json.loads(about["data"])
    assert data == {"class_names": list("0123456789"), "mean": [0.3053], "std": [0.3759]}


def test_of_pictures_the_crop_is_known_too(painted: Path, tmp_path: Path) -> None:
    about = metadata(export(painted / "checkpoints" / "best.ckpt", "safetensors", tmp_path))
    assert json.loads(about["data"]) == {
        "class_names": ["blue", "red"],
        "mean": [0.4, 0.3, 0.5],
        "std": [0.2, 0.3, 0.25],
        "crop": 0.7,
        "squeeze": False,
        "interpolation": "bicubic",
    }


def test_a_checkpoint_that_left_its_run_has_no_facts(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.ckpt"
    shutil.copy(run / "checkpoints" / "best.ckpt", alone)
    assert json.loads(metadata(export(alone, "safetensors", tmp_path))["run"]) == {}


def test_an_exported_file_is_exported_again(run: Path, tmp_path: Path) -> None:
    """The metadata are those of the original run."""
    first = export(run / "checkpoints" / "best.ckpt", "safetensors", tmp_path)
    (tmp_path / "again").mkdir()
    again = export(first, "safetensors", tmp_path / "again")
    assert metadata(again) == metadata(first)
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(load_system(again)(x), load_system(first)(x))
    assert read_checkpoint(again)["run"]["recipe"] == "mlp_digits"


def test_a_class_of_the_users_package_in_the_working_directory_is_exported(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_package_of_models.py").write_text("from zoo import MLPClassifier\nclass Mine(MLPClassifier):\n    pass\n")
    checkpoint = {**read_checkpoint(run / "checkpoints" / "best.ckpt"), "class_path": "my_package_of_models.Mine"}
    torch.save(checkpoint, tmp_path / "mine.ckpt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    monkeypatch.setenv("ZOO_IMPORTS", "my_package_of_models")
    exported = export(tmp_path / "mine.ckpt", "safetensors", tmp_path)
    assert type(load_system(exported)).__name__ == "Mine"
