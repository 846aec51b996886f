"""Recognise the training samples of a checkpoint, so that they are not tested on."""

import hashlib
from collections.abc import Iterable
from typing import TypedDict

from torch import Tensor

NUM_KEPT = 512  # training samples that a checkpoint remembers


class Seen(TypedDict):
    """What a checkpoint stores about the samples of its splits."""

    trained_on: list[int]  # the different identities of at most `NUM_KEPT` training samples, evenly spaced
    repeated: dict[str, int]  # how many of these also occur in "val" and in "test", because the data set repeats samples


def identities(samples: Iterable[bytes]) -> list[int]:
    """Return a number for each sample that depends on its content alone."""
    return [int.from_bytes(hashlib.blake2b(sample, digest_size=7).digest()) for sample in samples]


def identities_of_rows(*columns: Tensor) -> list[int]:
    """Return the identities of samples whose parts are the rows of several tensors, (N, ...) each."""
    arrays = [column.contiguous().numpy() for column in columns]
    return identities(b"".join(part.tobytes() for part in row) for row in zip(*arrays, strict=True))


def thin(rows: Tensor, most: int | None) -> Tensor:
    """Return at most `most` of the rows (N,), evenly spaced; None means all."""
    return rows if most is None else rows[:: max(1, -(-len(rows) // most))]


def count_common(trained_on: Iterable[int], samples: Iterable[int]) -> int:
    """Count the remembered training samples that occur among `samples`."""
    return len(set(trained_on).intersection(samples))
