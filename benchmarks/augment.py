"""Compare images per second of augmentation: the zoo's batches, torchvision image by image, and kornia's batches.

python benchmarks/augment.py             about four minutes on one CPU core; appends to benchmarks/augment.results.jsonl

In memory: training images of Fashion-MNIST (1x28x28), or noise in the shape of CIFAR-10 (3x32x32), are augmented and
normalised. The zoo's transform changes a whole batch with one set of draws per image. torchvision's v2 transforms change one
image after the other in a `DataLoader`, with 0 and with 2 workers. kornia changes batches too; it is compared if it is
installed. All do the same work, except that kornia interpolates bilinearly in its policies.

Folders: JPEG files of 256x256 pixels are decoded by two workers to 224x224. TrivialAugment then runs on the batch in the main
process, as in the zoo, or image by image in the workers. Nothing is trained.

All alternate in one process; figures are medians over rounds. `load` is the number of busy processes on the machine.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from overhead import keep, parse_arguments
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from datamodules import FashionMNIST, ImageFolder
from datamodules.core.batch import Batch
from datamodules.core.loader import BatchOrder, TensorLoader, WorkerLoader
from datamodules.images.augmentation import Augment, Augmentation
from datamodules.images.base import Reader
from datamodules.images.transform import ImageTransform

BATCH_SIZE = 128
GREY, COLOUR = (1, 28, 28), (3, 32, 32)
WORKS: dict[str, tuple[tuple[int, int, int], Augment, list[nn.Module]]] = {
    "flip": (GREY, {}, []),
    "flip, rotation, erasing": (GREY, {"rotation": 15.0, "erase": 0.5}, [v2.RandomRotation(15, v2.InterpolationMode.BILINEAR)]),
    "flip, RandAugment": (GREY, {"policy": "rand_augment"}, [v2.RandAugment()]),
    "flip, TrivialAugment": (GREY, {"policy": "trivial_augment"}, [v2.TrivialAugmentWide()]),
    "colour: flip, jitter": (
        COLOUR,
        {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
        [v2.ColorJitter(0.4, 0.4, 0.4, 0.1)],
    ),
    "colour: flip, TrivialAugment": (COLOUR, {"policy": "trivial_augment"}, [v2.TrivialAugmentWide()]),
}


class PerImage(Dataset[tuple[Tensor, int]]):
    """Images of a data set, augmented one at a time by torchvision."""

    def __init__(self, x: Tensor, y: Tensor, steps: list[nn.Module], erase: bool) -> None:
        self.x, self.y = x, y.tolist()
        mean = [0.5] * x.shape[1]
        last = [v2.RandomErasing(0.5, value=0)] if erase else []
        self.transform = v2.Compose(
            [v2.RandomHorizontalFlip(), *steps, v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, mean), *last]
        )

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.x[index]), self.y[index]


def kornia_steps(name: str) -> Callable[[Tensor], Tensor] | None:
    """Return the same augmentation by kornia; None if it is not installed, or for its policies, which take no grey images."""
    if "Augment" in name and WORKS[name][0] == GREY:
        return None
    try:
        from kornia import augmentation as K
        from kornia.augmentation import auto
    except ImportError:
        return None
    steps = {
        "rotation": [K.RandomRotation(15.0, p=1.0), K.RandomErasing((0.02, 0.33), p=0.5)],
        "RandAugment": [auto.RandAugment(2, 9)],
        "TrivialAugment": [auto.TrivialAugment()],
        "jitter": [K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=1.0)],
    }
    chosen = [step for word, of_word in steps.items() if word in name for step in of_word]
    return K.AugmentationSequential(K.RandomHorizontalFlip(), *chosen, data_keys=["input"])


def in_memory(name: str, num_images: int, num_rounds: int) -> dict[str, Any]:
    """Measure one augmentation of images in memory."""
    shape, augment, steps = WORKS[name]
    if shape == GREY:
        data = FashionMNIST()
        data.setup()
        (x, y, _), rows = data.splits["train"]
        x, y = x[rows[:num_images]], y[rows[:num_images]]
    else:
        x = torch.randint(0, 256, (num_images, *shape), dtype=torch.uint8)
        y = torch.arange(num_images) % 10
    augmentation = Augmentation(augment, shape, seed=0, num_classes=10, has_colours=shape == COLOUR)
    mean = [0.5] * shape[0]
    transform = ImageTransform(mean, mean, flip=True, augmentation=augmentation)
    ours = TensorLoader(x, y, torch.arange(num_images), BatchOrder(num_images, BATCH_SIZE, shuffle=True))
    dataset = PerImage(x, y, steps, erase="erase" in augment)
    loaders = {
        f"torchvision, {workers} workers": DataLoader(
            dataset, BATCH_SIZE, shuffle=True, num_workers=workers, persistent_workers=workers > 0
        )
        for workers in (0, 2)
    }
    change = kornia_steps(name)

    def zoo() -> None:
        for batch in ours:
            transform(batch, 0, True)

    def kornia() -> None:
        assert change is not None
        for batch in ours:
            (change(batch.x.float() / 255) - 0.5) / 0.5

    works: dict[str, Callable[[], None]] = {
        "zoo": zoo,
        **{key: (lambda loader=loader: _drain(loader)) for key, loader in loaders.items()},
        **({} if change is None else {"kornia": kornia}),
    }
    return _measured(f"{name} on {num_images} images {'x'.join(map(str, shape))}", works, num_images, num_rounds)


class InWorkers:
    """Read images as `reader` does, and apply TrivialAugment to each in the worker."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.augment = reader, v2.TrivialAugmentWide()

    def read(self, epoch: int, position: int) -> Batch:
        batch = self.reader.read(epoch, position)
        return batch._replace(x=self.augment(batch.x))


def folder(num_images: int, num_rounds: int) -> dict[str, Any]:
    """Measure TrivialAugment of JPEG files on the batch and in the workers."""
    with tempfile.TemporaryDirectory() as root:
        noise = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
        for place in range(num_images):
            path = Path(root, "ab"[place % 2], f"{place}.jpg")
            path.parent.mkdir(exist_ok=True)
            smooth = v2.functional.resize(noise.roll(place, 2), [256, 256])
            Image.fromarray(smooth.movedim(0, -1).numpy()).save(path)
        data = ImageFolder(root, val_fraction=0.01, test_fraction=0.01, augment={"policy": "trivial_augment"})
        data.setup()
        on_batch = data.train_dataloader()
        reader = Reader(data.files, data.y, data.size, data.crop, rgb=True, seed=0, min_area=data.min_area)
        in_workers = WorkerLoader(InWorkers(reader), data.splits["train"].rows, data.order("train"), data.num_workers)
        plain = ImageTransform(data.mean, data.std, flip=True)
        works = {
            "zoo": lambda: _drain(data.transform(batch, 0, True) for batch in on_batch),
            "torchvision in workers": lambda: _drain(plain(batch, 0, True) for batch in in_workers),
        }
        num = len(on_batch) * data.batch_size
        return _measured(f"TrivialAugment of {num} JPEG files at 3x224x224, 2 workers", works, num, num_rounds)


def _drain(batches: Iterable[Any]) -> None:
    for _ in batches:
        pass


def _measured(work: str, works: dict[str, Callable[[], None]], num_images: int, num_rounds: int) -> dict[str, Any]:
    """Time all in turns, after one round of warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(num_rounds + 1):
        for name, function in works.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    speed = {name: round(num_images / statistics.median(values[1:])) for name, values in seconds.items()}
    best = max(value for name, value in speed.items() if name.startswith("torchvision"))
    return {
        "work": work,
        "images_per_second": speed,
        "zoo_to_torchvision": round(speed["zoo"] / best, 1),
        "load": os.getloadavg()[0],
    }


def _print_table(results: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for result in results for name in result["images_per_second"]))
    print(f"{'images per second':<72}", *(f"{name:>24}" for name in names), "zoo / torchvision")
    for result in results:
        values = (f"{result['images_per_second'].get(name, ''):>24}" for name in names)
        print(f"{result['work']:<72}", *values, result["zoo_to_torchvision"])


if __name__ == "__main__":
    arguments = parse_arguments(__file__, __doc__, batches=30, rounds=3)
    measured = [in_memory(name, arguments.batches * BATCH_SIZE, arguments.rounds) for name in WORKS]
    measured.append(folder(num_images=260, num_rounds=arguments.rounds))
    keep(measured, __file__, arguments.output)
    _print_table(measured)
