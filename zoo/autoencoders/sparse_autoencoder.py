"""Sparse autoencoder (Ng, 2011, CS294A lecture notes; Lee, Ekanadham & Ng, 2008): a wide code with few active units.

With an L1 penalty it is sparse coding with an encoder (Olshausen & Field, 1996, Nature 381; Cunningham et al., 2023,
arXiv:2309.08600).

Shapes: B batch, Z code size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from lightning import Callback
from torch import Tensor, nn

from zoo.autoencoders.autoencoder import AutoencoderNet
from zoo.errors import ZooError, check_choice
from zoo.nn.activations import Activation
from zoo.nn.codecs import ACTIVATION, ARCHITECTURE, WIDTHS, Architecture
from zoo.nn.norms import unit_columns
from zoo.tasks.reconstruction.base import Reconstructor
from zoo.tasks.reconstruction.sparsity import CodeSparsity
from zoo.training.optim import Optim
from zoo.training.system import Batch, Outputs, require

Penalty = Literal["kl", "l1"]
CODE_ACTIVATIONS: dict[Penalty, Activation] = {"kl": "sigmoid", "l1": "relu"}  # the KL needs values in (0, 1)
THRESHOLDS: dict[Penalty, float] = {"kl": 0.1, "l1": 0.0}  # activation above which a unit is on; a sigmoid is never exactly 0


def kl_penalty(activation: Tensor, rho: float) -> Tensor:
    """Sum KL(Bernoulli(rho) || Bernoulli(mean activation)) over units: activations (B, Z) in (0, 1) to 0-d."""
    mean = activation.float().mean(0).clamp(1e-6, 1 - 1e-6)
    return (rho * torch.log(rho / mean) + (1 - rho) * torch.log((1 - rho) / (1 - mean))).sum()


class SparseAutoencoder(Reconstructor):
    """Autoencoder trained with the squared error per image plus a penalty on the activations of the code.

    With "l1" all columns of the decoder's weights have norm 1. Otherwise a tenth of the code and ten times the decoder would
    give the same output at a tenth of the penalty. If the decoder is one linear layer, the encoder starts as its
    transpose, so that every unit is on for some images and learns.

    Logs `activation`, the mean over units and images, and `active`, the share of units that are on: above 0 with "l1", above
    0.1 with "kl". The test also reports `CodeSparsity`.

    Args:
        penalty: "kl" pulls the mean activation of every unit towards `rho`. "l1" pulls all activations towards 0.
        rho: target for the mean activation of a unit, used by "kl" only.
        weight: factor of the penalty; the squared error is summed over pixels.
        squash: apply a sigmoid to the output. Without it and without hidden layers, images are sums of a few decoder columns.
    """

    net: AutoencoderNet

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        penalty: Penalty = "kl",
        rho: float = 0.05,
        weight: float = 0.1,
        architecture: Architecture = ARCHITECTURE,
        widths: Sequence[int] = WIDTHS,
        hidden: int | None = None,
        activation: Activation = ACTIVATION,
        latent_dim: int = 256,
        squash: bool = True,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        check_choice("penalty", penalty, get_args(Penalty))
        if not 0 < rho < 1:
            raise ZooError(f"rho must lie in (0, 1), got {rho}")
        if weight < 0:
            raise ZooError(f"weight must be 0 or more, got {weight}")
        super().__init__(lr, optim)
        self.save_hyperparameters(logger=False)
        self.penalty, self.rho, self.weight, self.threshold = penalty, rho, weight, THRESHOLDS[penalty]
        self.net = AutoencoderNet(
            require("input_shape", input_shape),
            architecture=architecture,
            widths=widths,
            hidden=hidden,
            activation=activation,
            latent_dim=latent_dim,
            squash=squash,
            code=CODE_ACTIVATIONS[penalty],
        )
        if penalty == "l1":
            unit_columns(self.net.decoder)
            if not widths:
                _transpose(self.net)

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        code = self.net.encode(batch.x)
        preds = self.net.decode(code)
        error = F.mse_loss(preds, batch.x, reduction="none").flatten(1).sum(1).mean()
        penalty = kl_penalty(code, self.rho) if self.penalty == "kl" else code.sum(1).mean()
        activity = {"activation": code.mean(), "active": (code > self.threshold).float().mean()}
        return error + self.weight * penalty, {"preds": preds, "target": batch.x, "penalty": penalty, **activity}

    def reports(self, folder: Path) -> list[Callback]:
        return [*super().reports(folder), CodeSparsity(self.threshold)]


@torch.no_grad()
def _transpose(net: AutoencoderNet) -> None:
    """Start the encoder of a net without hidden layers as the transpose of its decoder, with biases of 0."""
    encoder, decoder = net.encoder[-2], net.decoder[0]
    assert isinstance(encoder, nn.Linear)
    assert isinstance(decoder, nn.Linear)
    encoder.weight.copy_(decoder.weight.T)
    encoder.bias.zero_()
