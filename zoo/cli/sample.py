"""`zoo sample` and `zoo interpolate`: pictures that a trained model makes up."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.callbacks.tiles import save_tiles
from zoo.nn.interpolation import both_ways
from zoo.training.checkpoint import load_system
from zoo.training.links import import_class
from zoo.training.quiet import keep_quiet

_COLUMNS = 10


@torch.no_grad()
def sample(checkpoint: Path, num: int, label: int | None, seed: int, output: Path | None) -> int:
    """Write a sheet of `num` samples, ten to a row; of class `label` only, for a conditional model.

    Raises:
        ValueError: if the checkpoint holds no model that samples, or knows no such class.
    """
    keep_quiet()
    system: Any = load_system(checkpoint)
    if not hasattr(system, "sample"):
        raise ValueError(
            f"{checkpoint} holds a {type(system).__name__}, which cannot make up images: choose a VAE's or a GAN's"
        )
    _check_images(system, checkpoint)
    torch.manual_seed(seed)
    images = system.sample(num, *_given(system, label, num))
    missing = -len(images) % min(_COLUMNS, num)
    images = torch.cat([images, images.new_ones(missing, *images.shape[1:])])
    return _write(images.view(-1, min(_COLUMNS, num), *images.shape[1:]), output or _beside(checkpoint, "samples.png"))


@torch.no_grad()
def interpolate(
    checkpoint: Path, num_pairs: int, num_steps: int, images: Path | None, label: int | None, seed: int, output: Path | None
) -> int:
    """Write two rows for each pair of codes: the straight way from one to the other, and the way on the sphere.

    Codes are drawn, or those of pictures: the first two of `images` in the order of their names, the next two, and so on.

    Raises:
        ValueError: if the checkpoint holds no model with codes to draw or to find, or there are too few pictures.
    """
    keep_quiet()
    system: Any = load_system(checkpoint)
    if not hasattr(system, "decode"):
        raise ValueError(
            f"{checkpoint} holds a {type(system).__name__}, which has no codes: choose an autoencoder's or a GAN's"
        )
    _check_images(system, checkpoint)
    given = _given(system, label, 1)
    if images is not None:
        if not hasattr(system, "encode"):
            raise ValueError(f"{type(system).__name__} finds no codes of pictures: leave --images out")
        z = _codes(system, images, 2 * num_pairs, given)
    elif hasattr(system, "sample"):
        z = torch.randn(2 * num_pairs, system.hparams["latent_dim"], generator=torch.Generator().manual_seed(seed))
    else:
        raise ValueError(f"{type(system).__name__} has no distribution of codes to draw from: give pictures by --images")
    sheet = [system.decode(row, *(value.expand(num_steps) for value in given)) for row in both_ways(z, num_steps)]
    return _write(torch.stack(sheet), output or _beside(checkpoint, "interpolation.png"))


def _check_images(system: Any, checkpoint: Path) -> None:
    if len(system.hparams["input_shape"]) != 3:
        raise ValueError(
            f"{checkpoint} holds a {type(system).__name__} of points, and a sheet is of images: see its run's pictures"
        )


def _given(system: Any, label: int | None, num: int) -> tuple[Tensor, ...]:
    """What a conditional model wants to be told."""
    if label is None and not getattr(system, "conditional", False):
        return ()
    if not getattr(system, "conditional", False):
        raise ValueError(f"this {type(system).__name__} knows no classes: leave --label out, or train with model.conditional")
    num_classes = system.hparams["num_classes"]
    if label is None:
        return (torch.arange(num) % num_classes,)
    if not 0 <= label < num_classes:
        raise ValueError(f"--label must lie in 0..{num_classes - 1}, got {label}")
    return (torch.full((num,), label),)


def _codes(system: Any, images: Path, num: int, given: tuple[Tensor, ...]) -> Tensor:
    channels, height, width = system.hparams["input_shape"]
    if height != width:
        raise ValueError(f"the model wants images of {height}x{width} pixels: only square ones can be prepared")
    data = import_class("datamodules.ImageFiles")(
        root=str(images), size=height, rgb=channels == 3, crop=1.0, mean=[0.0] * channels, std=[1.0] * channels, batch_size=num
    )
    data.setup()
    batch = data.transform(next(iter(data.loader("test"))), 0, False)
    if len(batch.x) < num:
        raise ValueError(
            f"{images} holds {len(batch.x)} pictures, but {num // 2} pairs need {num}: give more, or fewer --pairs"
        )
    z: Tensor = system.encode(batch.x, *(value.expand(num) for value in given))
    return z


def _beside(checkpoint: Path, name: str) -> Path:
    """In the pictures of the run that a checkpoint belongs to, else in the working directory."""
    run = checkpoint.resolve().parent.parent
    return run / "pictures" / name if (run / "config.yaml").is_file() else Path(name)


def _write(sheet: Tensor, path: Path) -> int:
    save_tiles(sheet.clamp(0, 1), path)
    print(path)
    return 0
