"""Generator and discriminator by architecture, for techniques that change neither."""

from collections.abc import Sequence
from typing import NamedTuple, get_args

from zoo.errors import check_choice
from zoo.gans.dcgan import DCDiscriminator, DCGenerator, DiscriminatorNorm
from zoo.gans.gan import MLPDiscriminator, MLPGenerator
from zoo.nn.codecs import Architecture


class Networks(NamedTuple):
    """The two networks of a GAN."""

    generator: MLPGenerator | DCGenerator
    discriminator: MLPDiscriminator | DCDiscriminator


def build_networks(
    architecture: Architecture,
    input_shape: Sequence[int],
    latent_dim: int,
    widths: Sequence[int],
    norm: DiscriminatorNorm = "none",
    num_classes: int | None = None,
) -> Networks:
    """Build the networks of the first GAN ("mlp") or of DCGAN ("conv").

    The norm is the discriminator's. A dense discriminator has no BatchNorm, so "batch" gives it no norm.

    Raises:
        ZooError: if a size is out of range, or a name is unknown.
    """
    check_choice("architecture", architecture, get_args(Architecture))
    if architecture == "mlp":
        dense = MLPDiscriminator(input_shape, widths, "spectral" if norm == "spectral" else "none", num_classes)
        return Networks(MLPGenerator(latent_dim, input_shape, widths, num_classes), dense)
    return Networks(
        DCGenerator(latent_dim, input_shape, widths, num_classes), DCDiscriminator(input_shape, widths, norm, num_classes)
    )
