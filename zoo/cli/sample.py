"""`zoo sample` and `zoo interpolate`: draw samples, translations and interpolations of a trained model."""

import io
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zoo.cli.own_images import load_with_facts, own_images
from zoo.errors import ZooError
from zoo.nn.interpolation import both_ways
from zoo.tasks.abilities import Decodes, Encodes, Generates, TranslatesBack, classes_for
from zoo.tasks.adversarial.pictures import points_figure
from zoo.tasks.drawing import save_tiles
from zoo.tasks.translation.base import Translator
from zoo.training.run_dir import run_of
from zoo.training.system import System

_COLUMNS = 10


@torch.no_grad()
def sample(
    checkpoint: Path, num: int, images: Path | None, back: bool, label: int | None, seed: int, output: Path | None
) -> int:
    """Draw `num` samples, ten per row; for a conditional model, optionally of one class.

    Samples of a model for points in the plane are drawn as a scatter plot. An image-to-image model translates the first `num`
    of `images`: each row of inputs is followed by a row of translations. With `back`, the translation goes from the second
    domain to the first.

    Raises:
        ZooError: if the model can neither sample nor translate, or does not have the class.
    """
    system, facts = load_with_facts(checkpoint)
    name, labels = type(system).__name__, _labels(system, label, num)
    torch.manual_seed(seed)
    if isinstance(system, Translator):
        if images is None:
            raise ZooError(f"{name} translates images: give them with --images FOLDER")
        if back and not isinstance(system, TranslatesBack):
            raise ZooError(f"{name} translates in one direction only: leave --back out")
        x = _read_images(system, facts, images, num)
        translated = system.back(x) if isinstance(system, TranslatesBack) and back else system(x)
        rows = torch.stack([_rows(x), _rows(translated)], dim=1)
        return _write(rows.flatten(0, 1), output or _in_run(checkpoint, "translations.png"))
    if not isinstance(system, Generates):
        raise ZooError(f"{checkpoint} holds a {name}, which cannot generate samples: choose a VAE or a GAN")
    if images is not None or back:
        raise ZooError(f"{name} generates samples without inputs: leave {'--back' if images is None else '--images'} out")
    path, samples = output or _in_run(checkpoint, "samples.png"), system.sample(num, *labels)
    if samples.ndim == 4:
        return _write(_rows(samples), path)
    if samples.shape[1] != 2:
        raise ZooError(
            f"{name} generates points with {samples.shape[1]} coordinates, which cannot be drawn: use its sample(num)"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    points_figure(samples).savefig(drawn, dpi=150)
    Image.open(drawn).convert("RGB").save(path)  # Pillow writes formats that matplotlib does not, such as BMP
    print(path)
    return 0


@torch.no_grad()
def interpolate(
    checkpoint: Path, num_pairs: int, num_steps: int, images: Path | None, label: int | None, seed: int, output: Path | None
) -> int:
    """Draw two rows for each pair of latent codes: linear and spherical interpolation.

    The codes are random, or the codes of images: the first two of `images` by name, the next two, and so on.

    Raises:
        ZooError: if the model has no latent codes, or there are too few images.
    """
    system, facts = load_with_facts(checkpoint)
    if not isinstance(system, Decodes):
        raise ZooError(
            f"{checkpoint} holds a {type(system).__name__}, which has no latent codes: choose an autoencoder or a GAN"
        )
    if len(system.hparams["input_shape"]) != 3:
        raise ZooError(f"{checkpoint} holds a {type(system).__name__} for points, but only images are drawn: use zoo sample")
    labels = _labels(system, label, 1)
    if images is not None:
        if not isinstance(system, Encodes):
            raise ZooError(f"{type(system).__name__} cannot encode images: leave --images out")
        x = _read_images(system, facts, images, 2 * num_pairs)
        if len(x) < 2 * num_pairs:
            raise ZooError(
                f"{images} holds {len(x)} images, but {num_pairs} pairs need {2 * num_pairs}: add images, or lower --pairs"
            )
        z = system.encode(x, *(value.expand(len(x)) for value in labels))
    elif isinstance(system, Generates):
        z = torch.randn(2 * num_pairs, system.hparams["latent_dim"], generator=torch.Generator().manual_seed(seed))
    else:
        raise ZooError(f"{type(system).__name__} has no prior to draw codes from: give images with --images")
    sheet = [system.decode(row, *(value.expand(num_steps) for value in labels)) for row in both_ways(z, num_steps)]
    return _write(torch.stack(sheet), output or _in_run(checkpoint, "interpolation.png"))


def _labels(system: System, label: int | None, num: int) -> tuple[Tensor, ...]:
    """Return class labels (num,) for a conditional model, else ()."""
    if not isinstance(system, Decodes) or not system.conditional:
        if label is None:
            return ()
        raise ZooError(f"{type(system).__name__} is not conditional: leave --label out, or train with model.conditional")
    num_classes = system.hparams["num_classes"]
    if label is not None and not 0 <= label < num_classes:
        raise ZooError(f"--label must lie in 0..{num_classes - 1}, got {label}")
    return classes_for(system, num, None if label is None else torch.tensor(label))


def _read_images(system: System, facts: dict[str, Any], images: Path, most: int) -> Tensor:
    """Read the first images of a folder by name, prepared for the model: (N, C, H, W)."""
    channels, height, width = system.hparams["input_shape"]
    if height != width:
        raise ZooError(f"the model takes images of {height}x{width} pixels, but only square images can be prepared")
    data = own_images(images, (channels, height, width), facts, batch_size=most)
    data.setup("predict")
    x: Tensor = data.transform(next(iter(data.predict_dataloader())), 0, False).x
    return x


def _rows(images: Tensor) -> Tensor:
    """Arrange images (N, C, H, W) in rows of ten, (R, 10, C, H, W), padded with white images."""
    columns = min(_COLUMNS, len(images))
    missing = images.new_ones(-len(images) % columns, *images.shape[1:])
    return torch.cat([images, missing]).view(-1, columns, *images.shape[1:])


def _in_run(checkpoint: Path, name: str) -> Path:
    """Return a path in the pictures folder of the checkpoint's run, or in the working directory if it has no run."""
    run = run_of(checkpoint.resolve())
    return Path(name) if run is None else run / "pictures" / name


def _write(sheet: Tensor, path: Path) -> int:
    save_tiles(sheet.clamp(0, 1), path)
    print(path)
    return 0
