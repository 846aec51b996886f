"""An exported image classifier answers as `zoo predict` does, in a process that cannot import torch."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import zoo
from datamodules.core.batch import Batch
from datamodules.images.transform import ImageTransform
from zoo.cli.deployment import PixelClassifier, preparation_of, write_instructions
from zoo.cli.main import main
from zoo.errors import ZooError
from zoo.training.checkpoint import load_system

SIZES = [(7, 40), (16, 16), (33, 21), (301, 457)]  # the last one is decoded at a reduced size


@pytest.fixture(scope="module")
def exported(painted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an exported model and what was written beside it."""
    folder = tmp_path_factory.mktemp("exported")
    checkpoint = str(painted / "checkpoints" / "best.ckpt")
    for format in ("onnx", "pt2"):
        assert main(["export", checkpoint, "--format", format, "-o", str(folder / f"model.{format}")]) == 0
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of odd sizes: JPEG with each EXIF orientation, grey, with a palette and transparent."""
    folder, generator = tmp_path_factory.mktemp("new"), np.random.default_rng(1)
    for number, (width, height) in enumerate(SIZES):
        pixels = generator.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3)).astype(np.uint8)  # patches
        image = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            image.save(folder / f"{number}-{orientation}.jpg", exif=exif)
        image.convert("L").save(folder / f"{number}-grey.jpg")
        image.convert("P").save(folder / f"{number}-palette.png")
        image.putalpha(Image.fromarray(pixels[..., 0]).resize((width, height)))
        image.save(folder / f"{number}-transparent.png")
    return folder


def without_torch(folder: Path, images: list[Path]) -> dict[str, list[float]]:
    """Run predict_onnx.py where our packages and torch raise an error if they are imported."""
    for name in ("torch", "lightning", "zoo", "datamodules"):
        (folder / "blocked").mkdir(exist_ok=True)
        (folder / "blocked" / f"{name}.py").write_text("raise ImportError('blocked')")
    code = (
        "import json, sys; from predict_onnx import predict\n"
        "p, classes = predict('model.onnx', sys.argv[1:])\n"
        "print(json.dumps({path: dict(zip(classes, row.tolist())) for path, row in zip(sys.argv[1:], p)}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder / "blocked")}
    command = [sys.executable, "-c", code, *map(str, images)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_script_answers_as_zoo_predict_does(painted: Path, exported: Path, images: Path, tmp_path: Path) -> None:
    best = str(painted / "checkpoints" / "best.ckpt")
    assert main(["predict", "--ckpt_path", best, "--images", str(images), "--run_dir", str(tmp_path)]) == 0
    rows = list(csv.DictReader((tmp_path / "predictions" / "predict.csv").read_text().splitlines()))
    assert len(rows) == 11 * len(SIZES)
    found = without_torch(exported, [Path(row["file"]) for row in rows])
    for row in rows:
        answer = found[row["file"]]
        assert max(answer, key=lambda name: answer[name]) == row["prediction"]
        assert answer == {name: pytest.approx(float(row[f"p_{name}"]), abs=1e-4) for name in ("blue", "red")}
    assert np.std([answer["red"] for answer in found.values()]) > 0.05  # or nothing would be compared


def test_the_script_is_a_command(exported: Path, images: Path) -> None:
    command = [sys.executable, "predict_onnx.py", "model.onnx", str(images / "0-1.jpg")]
    done = subprocess.run(command, cwd=exported, capture_output=True, text=True, check=True)
    path, name, p = done.stdout.split()
    assert (path, name in ("blue", "red"), 0.5 <= float(p) <= 1) == (command[-1], True, True)


def test_both_graphs_take_pixels_and_contain_the_normalisation(painted: Path, exported: Path) -> None:
    pixels = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    transform = ImageTransform([0.4, 0.3, 0.5], [0.2, 0.3, 0.25])
    x = transform(Batch(pixels.movedim(-1, 1), torch.zeros(3), torch.zeros(3)), 0, False).x
    expected = load_system(painted / "checkpoints" / "best.ckpt")(x).softmax(1)
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    assert [value.name for value in session.get_inputs()] == ["images"]
    torch.testing.assert_close(torch.from_numpy(session.run(["probabilities"], {"images": pixels.numpy()})[0]), expected)
    with (exported / "model.pt2").open("rb") as file:
        torch.testing.assert_close(torch.export.load(file).module()(pixels), expected)


def test_the_file_beside_it_says_how_images_are_prepared(exported: Path) -> None:
    about = json.loads((exported / "model.json").read_text())
    assert about["classes"] == ["blue", "red"]
    assert about["prepare"] == {"size": 16, "channels": 3, "crop": 0.7, "squeeze": False, "interpolation": "bicubic"}
    assert about["input"] == "images: uint8 (batch, 16, 16, 3), RGB, 0 to 255"
    assert "resize the centred square with 0.7 of the shorter side to 16x16 pixels" in about["steps"][-1]


def test_an_edited_script_is_kept(tmp_path: Path) -> None:
    (tmp_path / "predict_onnx.py").write_text("mine")
    prepare = {"size": 8, "channels": 1, "crop": 1.0, "squeeze": True, "interpolation": "bilinear"}
    written = write_instructions(tmp_path / "a.onnx", {"class_names": ["a"]}, prepare)  # type: ignore[arg-type]  # a plain dict
    assert written == [tmp_path / "a.json"]
    assert (tmp_path / "predict_onnx.py").read_text() == "mine"
    assert json.loads(written[0].read_text())["steps"][-1].startswith("resize the whole image")


FACTS = {"class_names": ["a", "b"], "mean": [0.0], "std": [1.0]}


def test_pixels_are_binarized_in_the_graph() -> None:
    graph = PixelClassifier(zoo.MLPClassifier((1, 2, 2), 2), {**FACTS, "binarize": "threshold"}).eval()
    pixels = torch.tensor([[0, 127], [128, 255]], dtype=torch.uint8)[None, :, :, None]
    expected = graph.net(torch.tensor([[0.0, 0.0], [1.0, 1.0]])[None, None]).softmax(1)
    torch.testing.assert_close(graph(pixels), expected)
    with pytest.raises(ZooError, match="binarize stochastic draws pixels"):
        PixelClassifier(zoo.MLPClassifier((1, 2, 2), 2), {**FACTS, "binarize": "stochastic"})


def test_other_models_are_exported_as_they_are() -> None:
    assert preparation_of(zoo.MLPClassifier((1, 8, 8), 2), FACTS) == {
        "size": 8,
        "channels": 1,
        "crop": 1.0,
        "squeeze": False,
        "interpolation": "bilinear",
    }
    assert preparation_of(zoo.MLPClassifier((1, 8, 8), 2), {}) is None  # trained on plain loaders
    assert preparation_of(zoo.MLPClassifier((4,), 2), FACTS) is None
    assert preparation_of(zoo.Autoencoder((1, 8, 8)), FACTS) is None
