"""`zoo sample` and `zoo interpolate`: pictures that a trained model makes up."""

from pathlib import Path

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.nn.interpolation import both_ways
from zoo.tasks.abilities import Decodes, Encodes, Generates, TranslatesBack
from zoo.tasks.adversarial.pictures import points_figure
from zoo.tasks.drawing import save_tiles
from zoo.tasks.translation.base import Translator
from zoo.training.checkpoint import load_system
from zoo.training.links import import_class
from zoo.training.quiet import keep_quiet
from zoo.training.system import System

_COLUMNS = 10


@torch.no_grad()
def sample(
    checkpoint: Path, num: int, images: Path | None, back: bool, label: int | None, seed: int, output: Path | None
) -> int:
    """Write a sheet of `num` samples, ten to a row; of class `label` only, for a conditional model.

    Of a model of points in the plane it is a scatter. A model that translates is given pictures, the first `num` of `images`,
    and each row of them stands above a row of translations, `back` from the second domain to the first.

    Raises:
        ZooError: if the checkpoint holds no model that samples or translates, or knows no such class.
    """
    keep_quiet()
    system = load_system(checkpoint)
    name, given = type(system).__name__, _given(system, label, num)
    torch.manual_seed(seed)
    if isinstance(system, Translator):
        if images is None:
            raise ZooError(f"{name} translates pictures: give some by --images FOLDER")
        if back and not isinstance(system, TranslatesBack):
            raise ZooError(f"{name} has one direction: leave --back out")
        x = _pictures(system, images, num)
        translated = system.back(x) if isinstance(system, TranslatesBack) and back else system(x)
        rows = torch.stack([_rows(x), _rows(translated)], dim=1)
        return _write(rows.flatten(0, 1), output or _beside(checkpoint, "translations.png"))
    if not isinstance(system, Generates):
        raise ZooError(f"{checkpoint} holds a {name}, which cannot make up images: choose a VAE's or a GAN's")
    if images is not None or back:
        raise ZooError(f"{name} makes up samples of its own: leave {'--back' if images is None else '--images'} out")
    path, samples = output or _beside(checkpoint, "samples.png"), system.sample(num, *given)
    if samples.ndim == 4:
        return _write(_rows(samples), path)
    if samples.shape[1] != 2:
        raise ZooError(f"{name} makes points of {samples.shape[1]} numbers, and a scatter shows two: see its sample(num)")
    path.parent.mkdir(parents=True, exist_ok=True)
    points_figure(samples).savefig(path, dpi=150)
    print(path)
    return 0


@torch.no_grad()
def interpolate(
    checkpoint: Path, num_pairs: int, num_steps: int, images: Path | None, label: int | None, seed: int, output: Path | None
) -> int:
    """Write two rows for each pair of codes: the straight way from one to the other, and the way on the sphere.

    Codes are drawn, or those of pictures: the first two of `images` in the order of their names, the next two, and so on.

    Raises:
        ZooError: if the checkpoint holds no model with codes to draw or to find, or there are too few pictures.
    """
    keep_quiet()
    system = load_system(checkpoint)
    if not isinstance(system, Decodes):
        raise ZooError(f"{checkpoint} holds a {type(system).__name__}, which has no codes: choose an autoencoder's or a GAN's")
    if len(system.hparams["input_shape"]) != 3:
        raise ZooError(f"{checkpoint} holds a {type(system).__name__} of points, and a sheet is of images: see zoo sample")
    given = _given(system, label, 1)
    if images is not None:
        if not isinstance(system, Encodes):
            raise ZooError(f"{type(system).__name__} finds no codes of pictures: leave --images out")
        x = _pictures(system, images, 2 * num_pairs)
        if len(x) < 2 * num_pairs:
            raise ZooError(
                f"{images} holds {len(x)} pictures, but {num_pairs} pairs need {2 * num_pairs}: give more, or fewer --pairs"
            )
        z = system.encode(x, *(value.expand(len(x)) for value in given))
    elif isinstance(system, Generates):
        z = torch.randn(2 * num_pairs, system.hparams["latent_dim"], generator=torch.Generator().manual_seed(seed))
    else:
        raise ZooError(f"{type(system).__name__} has no distribution of codes to draw from: give pictures by --images")
    sheet = [system.decode(row, *(value.expand(num_steps) for value in given)) for row in both_ways(z, num_steps)]
    return _write(torch.stack(sheet), output or _beside(checkpoint, "interpolation.png"))


def _given(system: System, label: int | None, num: int) -> tuple[Tensor, ...]:
    """What a conditional model wants to be told."""
    conditional = isinstance(system, Decodes) and system.conditional
    if label is None and not conditional:
        return ()
    if not conditional:
        raise ZooError(f"this {type(system).__name__} knows no classes: leave --label out, or train with model.conditional")
    num_classes = system.hparams["num_classes"]
    if label is None:
        return (torch.arange(num) % num_classes,)
    if not 0 <= label < num_classes:
        raise ZooError(f"--label must lie in 0..{num_classes - 1}, got {label}")
    return (torch.full((num,), label),)


def _pictures(system: System, images: Path, most: int) -> Tensor:
    """The first pictures of a folder in the order of their names, as the model takes them: (N, C, H, W) in [0, 1]."""
    channels, height, width = system.hparams["input_shape"]
    if height != width:
        raise ZooError(f"the model wants images of {height}x{width} pixels: only square ones can be prepared")
    data = import_class("datamodules.ImageFiles")(
        root=str(images), size=height, rgb=channels == 3, crop=1.0, mean=[0.0] * channels, std=[1.0] * channels, batch_size=most
    )
    data.setup()
    x: Tensor = data.transform(next(iter(data.loader("test"))), 0, False).x
    return x


def _rows(images: Tensor) -> Tensor:
    """Images (N, C, H, W), ten to a row: (R, 10, C, H, W), white where a row is not full."""
    columns = min(_COLUMNS, len(images))
    missing = images.new_ones(-len(images) % columns, *images.shape[1:])
    return torch.cat([images, missing]).view(-1, columns, *images.shape[1:])


def _beside(checkpoint: Path, name: str) -> Path:
    """In the pictures of the run that a checkpoint belongs to, else in the working directory."""
    run = checkpoint.resolve().parent.parent
    return run / "pictures" / name if (run / "config.yaml").is_file() else Path(name)


def _write(sheet: Tensor, path: Path) -> int:
    save_tiles(sheet.clamp(0, 1), path)
    print(path)
    return 0
