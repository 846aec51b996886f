"""Checks of inputs and targets, shared by networks and systems."""

from collections.abc import Sequence

from torch import Tensor

from zoo.errors import ZooError


def check_labels(y: Tensor, num_classes: int) -> None:
    """Check that labels (B,) lie in 0..num_classes - 1.

    Raises:
        ZooError: if one does not, or if they are probabilities of classes instead.
    """
    if y.is_floating_point():
        raise ZooError(
            f"this loss needs one class for each sample, got {tuple(y.shape)} probabilities: "
            "leave out data.augment.mixup and data.augment.cutmix"
        )
    low, high = y.aminmax()
    if low < 0 or high >= num_classes:
        raise ZooError(
            f"labels must lie in 0..{num_classes - 1}, found {int(low)}..{int(high)}: set num_classes or fix the data"
        )


def check_probabilities(y: Tensor, num_classes: int) -> None:
    """Check that targets are probabilities of `num_classes` classes: (B, K) that add up to 1.

    Raises:
        ZooError: if they are not.
    """
    if y.ndim != 2 or y.shape[1] != num_classes or not (y.sum(1) - 1).abs().max() < 1e-3:
        raise ZooError(
            f"float targets of a classifier must be probabilities of {num_classes} classes, got values of shape "
            f"{tuple(y.shape)}: give classes as whole numbers"
        )


def check_shape(x: Tensor, input_shape: tuple[int, ...]) -> None:
    """Check that inputs (B, ...) have the shape the network was built for. This does not wait for the device.

    Raises:
        ZooError: if they do not.
    """
    if tuple(x.shape[1:]) != tuple(input_shape):
        raise ZooError(f"the network was built for inputs of shape {tuple(input_shape)}, got {tuple(x.shape[1:])}")


def check_range(x: Tensor) -> None:
    """Check that images lie in [0, 1].

    Raises:
        ZooError: if a pixel does not.
    """
    low, high = x.aminmax()
    if not (low >= 0 and high <= 1):  # written so that NaN is refused too
        raise ZooError(f"images must lie in [0, 1], found {low:.2f}..{high:.2f}: set data.normalize to false")


def check_halves(input_shape: Sequence[int], times: int) -> None:
    """Check that images (C, H, W) can be halved `times` times without a remainder.

    Raises:
        ZooError: if they cannot.
    """
    if len(input_shape) != 3:
        raise ZooError(f"expected images (C, H, W), got {tuple(input_shape)}")
    if any(size < 2**times or size % 2**times for size in input_shape[1:]):
        raise ZooError(
            f"images are halved {times} times, so that sides must be multiples of {2**times} pixels, "
            f"got {input_shape[1]}x{input_shape[2]}: halve fewer times, or set data.size"
        )


def check_stages(input_shape: Sequence[int], widths: Sequence[int]) -> None:
    """Check that images (C, H, W) can be halved from each width to the next without a remainder.

    Raises:
        ZooError: if they cannot, or if a width is not positive.
    """
    check_sizes(1, widths)
    check_halves(input_shape, len(widths) - 1)


def check_sizes(latent_dim: int, widths: Sequence[int]) -> None:
    """Check that a network has inputs and layers, and that no layer is empty.

    Raises:
        ZooError: if not. The message names the argument.
    """
    if latent_dim < 1:
        raise ZooError(f"latent_dim must be at least 1, got {latent_dim}")
    if not widths or min(widths) < 1:
        raise ZooError(f"widths must be one or more positive numbers, got {list(widths)}")


def dropout_rates(dropout: float | Sequence[float], num_layers: int) -> list[float]:
    """Return the dropout probability of each layer: one number counts for all layers.

    Raises:
        ZooError: if a probability is out of range, or if there is not one for each layer.
    """
    if isinstance(dropout, Sequence) and len(dropout) != num_layers:
        raise ZooError(f"dropout must be one number, or one for each of {num_layers} hidden layers, got {list(dropout)}")
    rates = list(dropout) if isinstance(dropout, Sequence) else [dropout]
    for rate in rates:
        if not 0 <= rate < 1:
            raise ZooError(f"dropout must lie in [0, 1), got {rate}")
    return rates if isinstance(dropout, Sequence) else rates * num_layers
