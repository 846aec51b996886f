"""Sparse autoencoder (Ng, 2011, CS294A lecture notes; Lee, Ekanadham & Ng, 2008): a wide code with few active units.

Shapes: B batch, Z code size.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.autoencoders.autoencoder import AutoencoderNet
from zoo.errors import ZooError, check_choice
from zoo.nn.activations import Activation
from zoo.nn.codecs import ACTIVATION, ARCHITECTURE, WIDTHS, Architecture
from zoo.tasks.reconstruction.base import Reconstructor
from zoo.training.optim import Optim
from zoo.training.system import Batch, Outputs, require

Penalty = Literal["kl", "l1"]
CODE_ACTIVATIONS: dict[Penalty, Activation] = {"kl": "sigmoid", "l1": "relu"}  # the KL needs values in (0, 1)


def kl_penalty(activation: Tensor, rho: float) -> Tensor:
    """Sum KL(Bernoulli(rho) || Bernoulli(mean activation)) over units: activations (B, Z) in (0, 1) to 0-d."""
    mean = activation.float().mean(0).clamp(1e-6, 1 - 1e-6)
    return (rho * torch.log(rho / mean) + (1 - rho) * torch.log((1 - rho) / (1 - mean))).sum()


class SparseAutoencoder(Reconstructor):
    """Autoencoder trained with the squared error per image plus a penalty on the activations of the code.

    Logs `activation`, the mean over units and images, and `active`, the share of activations above 0.1.

    Args:
        penalty: "kl" pulls the mean activation of every unit towards `rho`. "l1" pulls all activations towards 0.
        rho: target for the mean activation of a unit, used by "kl" only.
        weight: factor of the penalty; the squared error is summed over pixels.
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
        self.penalty, self.rho, self.weight = penalty, rho, weight
        shape, code = require("input_shape", input_shape), CODE_ACTIVATIONS[penalty]
        self.net = AutoencoderNet(
            shape,
            architecture=architecture,
            widths=widths,
            hidden=hidden,
            activation=activation,
            latent_dim=latent_dim,
            code=code,
        )

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        code = self.net.encode(batch.x)
        preds = self.net.decode(code)
        error = F.mse_loss(preds, batch.x, reduction="none").flatten(1).sum(1).mean()
        penalty = kl_penalty(code, self.rho) if self.penalty == "kl" else code.sum(1).mean()
        activity = {"activation": code.mean(), "active": (code > 0.1).float().mean()}
        return error + self.weight * penalty, {"preds": preds, "target": batch.x, "penalty": penalty, **activity}
