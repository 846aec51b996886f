"""Omniglot (Lake, Salakhutdinov & Tenenbaum, 2015, Science 350): 1,623 handwritten characters of 50 alphabets.

Twenty people drew each character once. The classes of the training, validation and test images are different, so a model is
scored by what it knows about characters that it has never seen.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from datamodules.core.base import Arrays, Split
from datamodules.core.cache import cached
from datamodules.core.sources import mirror, mirrored
from datamodules.images.augmentation import Augment
from datamodules.images.hub_set import HubSet
from zoo.errors import MissingFileError, ZooError

BACKGROUND = {  # alphabets with their numbers of characters
    **{"Alphabet_of_the_Magi": 20, "Anglo-Saxon_Futhorc": 29, "Arcadian": 26, "Armenian": 41, "Asomtavruli_(Georgian)": 40},
    **{"Balinese": 24, "Bengali": 46, "Blackfoot_(Canadian_Aboriginal_Syllabics)": 14, "Braille": 26},
    **{"Burmese_(Myanmar)": 34, "Cyrillic": 33, "Early_Aramaic": 22, "Futurama": 26, "Grantha": 43, "Greek": 24},
    **{"Gujarati": 48, "Hebrew": 22, "Inuktitut_(Canadian_Aboriginal_Syllabics)": 16, "Japanese_(hiragana)": 52},
    **{"Japanese_(katakana)": 47, "Korean": 40, "Latin": 26, "Malay_(Jawi_-_Arabic)": 40, "Mkhedruli_(Georgian)": 41},
    **{"N_Ko": 33, "Ojibwe_(Canadian_Aboriginal_Syllabics)": 14, "Sanskrit": 42, "Syriac_(Estrangelo)": 23},
    **{"Tagalog": 17, "Tifinagh": 55},
}
EVALUATION = {
    **{"Angelic": 20, "Atemayar_Qelisayer": 26, "Atlantean": 26, "Aurek-Besh": 26, "Avesta": 26, "Ge_ez": 26},
    **{"Glagolitic": 45, "Gurmukhi": 45, "Kannada": 41, "Keble": 26, "Malayalam": 47, "Manipuri": 40, "Mongolian": 30},
    **{"Old_Church_Slavonic_(Cyrillic)": 45, "Oriya": 46, "Sylheti": 28, "Syriac_(Serto)": 23, "Tengwar": 25},
    **{"Tibetan": 42, "ULOG": 26},
}
ALPHABETS = {**BACKGROUND, **EVALUATION}
_NUM_BACKGROUND = sum(BACKGROUND.values())  # classes


class Omniglot(HubSet):
    """19,280 background images of 30 alphabets for training and validation, 13,180 evaluation images of 20 others for the test.

    `val_alphabets` of the background alphabets, drawn by `split_seed`, validate. Ink is white, and images are resized from 105
    to 28 pixels per side, as in Vinyals et al., 2016, arXiv:1606.04080. A class is a character, named ALPHABET/characterNN.
    Classes are numbered in the order of `class_names`, background first. `alphabet` tells the alphabet of each class.

    The set has no hub id, so it is read from `ZOO_DATA`. See `HubSet` for the other arguments.

    Args:
        val_alphabets: number of alphabets that validate.
        rotated_classes: train also on characters that are rotated by 90, 180 and 270 degrees, as classes of their own (Santoro
            et al., 2016, arXiv:1605.06065). They are numbered after the others, and there are four times as many.
        size: pixels per side; 105 is the original size.

    Raises:
        ZooError: if no alphabet would be left for training.
    """

    repo = "omniglot"
    folder = "data"
    has_mirror_twins = False
    input_shape = (1, 28, 28)
    num_classes = sum(ALPHABETS.values())
    class_names = tuple(f"{name}/character{1 + place:02d}" for name, num in ALPHABETS.items() for place in range(num))
    alphabets = tuple(ALPHABETS)
    alphabet = torch.arange(len(ALPHABETS)).repeat_interleave(torch.tensor(list(ALPHABETS.values())))  # of each class
    mean = (0.0779,)
    std = (0.2155,)

    def __init__(
        self,
        batch_size: int = 128,
        normalize: bool = True,
        shift: int = 0,
        size: int = 28,
        val_alphabets: int = 5,
        rotated_classes: bool = False,
        seed: int | None = None,
        split_seed: int = 0,
        augment: Augment | None = None,
        classes_per_batch: int | None = None,
        samples_per_class: int | None = None,
    ) -> None:
        super().__init__(
            batch_size,
            normalize=normalize,
            shift=shift,
            size=size,
            seed=seed,
            split_seed=split_seed,
            augment=augment,
            classes_per_batch=classes_per_batch,
            samples_per_class=samples_per_class,
        )
        if not 1 <= val_alphabets < len(BACKGROUND):
            raise ZooError(f"val_alphabets must lie in 1..{len(BACKGROUND) - 1}, got {val_alphabets}")
        self.val_alphabets, self.rotated_classes = val_alphabets, rotated_classes
        if rotated_classes:
            rotated = (f"{name} ({degrees} degrees)" for degrees in (90, 180, 270) for name in self.class_names)
            self.class_names, self.num_classes = (*self.class_names, *rotated), 4 * self.num_classes
            self.alphabet = self.alphabet.repeat(4)

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        background, evaluation = self._checked("train"), self._checked("test")
        drawn = torch.randperm(len(BACKGROUND), generator=torch.Generator().manual_seed(self.split_seed))[: self.val_alphabets]
        held_out = torch.isin(self.alphabet[background.y], drawn)
        training = Split(background, (~held_out).nonzero()[:, 0])
        self.splits = {
            "train": self._with_rotated(training) if self.rotated_classes else training,
            "val": Split(background, held_out.nonzero()[:, 0]),
            "test": Split(evaluation, torch.arange(len(evaluation.y))),
        }
        names = ", ".join(self.alphabets[place] for place in sorted(drawn.tolist()))
        self.notes.append(
            f"20 images of each character, none in two splits: {len(BACKGROUND) - self.val_alphabets} alphabets train, "
            f"{self.val_alphabets} validate ({names}), {len(EVALUATION)} test"
        )

    def report(self) -> list[str]:
        return [super().report()[0], *self.notes]  # A list of more than a thousand classes of equal size tells nothing.

    def load(self, part: Literal["train", "test"]) -> Arrays:
        paths, size = self.paths(part), list(self.input_shape[1:])
        tensors = cached(f"omniglot-{part}-{size[0]}", paths, lambda: self._resized(paths, size))
        return Arrays(tensors["x"], tensors["y"] + (_NUM_BACKGROUND if part == "test" else 0))

    def paths(self, part: Literal["train", "test"]) -> list[Path]:
        filename = self.filename({"train": "background", "test": "evaluation"}[part])
        path = mirrored(self.repo, filename)
        if path is None:
            raise MissingFileError(
                f"no {self.repo}/{filename} under ZOO_DATA ({mirror() or 'not set'}): the hub has no such set; make it from "
                "https://github.com/brendenlake/omniglot, with the columns image, alphabet, character and label"
            )
        return [path]

    def _resized(self, paths: list[Path], size: list[int]) -> dict[str, Tensor]:
        """Decode black ink on white, invert it and resize it. The cache keeps the small images."""
        tensors = self.decoded(paths)
        x = torch.cat([resize(255 - images, size, antialias=True) for images in torch.split(tensors["x"], 1000)])
        return {"x": x, "y": tensors["y"]}

    def _with_rotated(self, samples: Split) -> Split:
        """Append the samples three times, each time rotated by another 90 degrees to the left, as classes of their own."""
        (x, y, _), rows = samples
        x = torch.cat([x, *(x[rows].rot90(times, (2, 3)) for times in (1, 2, 3))])
        y = torch.cat([y, *(y[rows] + times * len(self.class_names) // 4 for times in (1, 2, 3))])
        return Split(Arrays(x, y), torch.cat([rows, torch.arange(len(samples.arrays.y), len(y))]))

    def _split_settings(self) -> dict[str, Any]:
        return {"split_seed": self.split_seed, "val_alphabets": self.val_alphabets}
