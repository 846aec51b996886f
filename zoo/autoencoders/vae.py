"""Variational autoencoder (Kingma & Welling, 2014, arXiv:1312.6114), also conditional on classes (Sohn, Lee & Yan, 2015).

With beta (Higgins et al., 2017), free bits (Kingma et al., 2016, arXiv:1606.04934), KL warm-up (Bowman et al., 2016,
arXiv:1511.06349; Sonderby et al., 2016) and the importance-weighted objective (IWAE; Burda, Grosse & Salakhutdinov, 2016,
arXiv:1509.00519).

Likelihoods are summed over pixels and averaged over the batch, so losses are nats per image and comparable with the literature.

Shapes: B batch, C channels, H height, W width, Z latent dimensions, K classes, S samples.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.metrics.latent import importance_weighted
from zoo.nn.activations import Activation
from zoo.nn.block_noise import BlockNoise
from zoo.nn.checks import check_labels, check_shape
from zoo.nn.codecs import ACTIVATION, ARCHITECTURE, LATENT_DIM, WIDTHS, Architecture, code_shape, decoder, smallest, trunk
from zoo.nn.likelihoods import (
    Likelihood,
    bits_per_dim,
    check_likelihood,
    mean_image,
    negative_log_likelihood,
    num_outputs,
)
from zoo.tasks.reconstruction.base import Reconstructor
from zoo.training.optim import Optim
from zoo.training.system import Batch, Outputs, require


class Posterior(NamedTuple):
    """Diagonal Gaussian q(z|x)."""

    mu: Tensor  # (B, Z)
    logvar: Tensor  # (B, Z)

    def sample(self, num_samples: int | None = None) -> Tensor:
        """Draw z by the reparameterisation trick, so that gradients reach mu and logvar: (B, Z), or (S, B, Z)."""
        shape = self.mu.shape if num_samples is None else (num_samples, *self.mu.shape)
        noise = torch.randn(shape, dtype=self.mu.dtype, device=self.mu.device)
        return self.mu + torch.exp(0.5 * self.logvar) * noise

    def kl(self) -> Tensor:
        """Compute KL(q || N(0, I)) in nats per dimension: (B, Z) (Kingma & Welling, appendix B)."""
        return -0.5 * (1 + self.logvar - self.mu.square() - self.logvar.exp())

    def log_prob(self, z: Tensor) -> Tensor:
        """Compute log q(z|x) in nats: z (..., B, Z) to (..., B)."""
        squares = (z - self.mu).square() * torch.exp(-self.logvar)
        return -0.5 * (squares + self.logvar + math.log(2 * math.pi)).sum(-1)


class VAENet(nn.Module):
    """Encoder to q(z|x) and decoder to p(x|z). With `num_classes`, both also read the class.

    Args:
        input_shape: (C, H, W).
        architecture: dense layers, or convolutions that halve the image.
        widths: widths of the dense layers, or channels of the convolutions.
        hidden: width of a dense layer between convolutions and code. None: no such layer.
        activation: function after each hidden layer.
        latent_dim: Z.
        spatial: make the code a map of `latent_dim` numbers, as high and wide as the smallest map of the convolutions, and
            compute it by convolutions in place of dense layers.
        likelihood: distribution of pixels given the decoder's output.
        variance: of the "gaussian" likelihood. None: learn one variance for all pixels (Rybkin, Daniilidis & Levine, 2021,
            arXiv:2006.13202).
        noise_block: of the "discretised_logistic" likelihood. Side of the square blocks of pixels within which the noise is
            correlated (`BlockNoise`). None: independent noise.
        num_classes: K, for a conditional VAE. None: unconditional.

    Raises:
        ZooError: if an argument is out of range.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        architecture: Architecture = ARCHITECTURE,
        widths: Sequence[int] = WIDTHS,
        hidden: int | None = None,
        activation: Activation = ACTIVATION,
        latent_dim: int = LATENT_DIM,
        spatial: bool = False,
        likelihood: Likelihood = "bernoulli",
        variance: float | None = 1.0,
        noise_block: int | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        check_likelihood(likelihood)
        if latent_dim < 1:
            raise ZooError(f"latent_dim must be at least 1, got {latent_dim}")
        if variance is not None and not variance > 0:
            raise ZooError(f"variance must be positive, got {variance}")
        if noise_block is not None and likelihood != "discretised_logistic":
            raise ZooError(f"noise_block needs the likelihood discretised_logistic, got {noise_block} with {likelihood}")
        if spatial and (architecture != "conv" or hidden is not None or num_classes is not None):
            raise ZooError("a spatial code needs the architecture conv, no hidden layer, and no classes: set hidden to null")
        self.input_shape, self.latent_dim, self.likelihood = tuple(input_shape), latent_dim, likelihood
        self.num_classes = num_classes
        self.encoder, num_features = trunk(architecture, input_shape, widths, hidden, activation)
        self.posterior: nn.Module
        if spatial:
            convolution = nn.Conv2d(widths[-1], 2 * code_shape(latent_dim, input_shape, widths)[0], 3, padding=1)
            self.posterior = nn.Sequential(nn.Unflatten(1, smallest(input_shape, widths)), convolution, nn.Flatten())
        else:
            self.posterior = nn.Linear(num_features + (num_classes or 0), 2 * latent_dim)
        output_shape = (num_outputs(likelihood, input_shape[0]), *input_shape[1:])
        num_inputs = latent_dim + (num_classes or 0)
        self.decoder = decoder(architecture, num_inputs, widths, output_shape, hidden, activation, spatial)
        self.noise = None if noise_block is None else BlockNoise(input_shape, noise_block)
        self.logvar: Tensor | None = None
        if likelihood == "gaussian":
            self.logvar = nn.Parameter(torch.tensor([math.log(variance or 0.1)]), requires_grad=variance is None)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Reconstruct images from the posterior's mean."""
        return self.decode(self.encode(x, y), y)

    def infer(self, x: Tensor, y: Tensor | None = None) -> Posterior:
        """Compute q(z|x) from images (B, C, H, W), and classes (B,) if conditional."""
        check_shape(x, self.input_shape)
        # under autocast the KL needs the precision of float32
        mu, logvar = self.posterior(self._with_class(self.encoder(x), y)).float().chunk(2, dim=1)
        return Posterior(mu.contiguous(), logvar.contiguous())

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the posterior's mean: (B, Z)."""
        return self.infer(x, y).mu

    def output(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Compute the parameters of the likelihood: (B, Z) to (B, O, H, W), with O as `num_outputs` says."""
        return self.decoder(self._with_class(z, y))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Compute E[x|z]: (B, Z) to (B, C, H, W) in [0, 1]."""
        return mean_image(self.likelihood, self.output(z, y))

    def nll(self, z: Tensor, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Compute -log p(x|z) in nats per image: (B,)."""
        return negative_log_likelihood(self.likelihood, self.output(z, y), x, self.logvar, self.noise)

    def _with_class(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Append the one-hot class to features (B, F), if conditional."""
        if self.num_classes is None:
            return x
        if y is None:
            raise ZooError("a conditional VAE needs the classes of its images: pass y")
        return torch.cat([x, F.one_hot(y, self.num_classes).to(x.dtype)], dim=1)


class VAE(Reconstructor):
    """VAE trained with the evidence lower bound (ELBO), or with the tighter importance-weighted bound.

    Logs three terms in nats per image, without beta and free bits: `nll` of the reconstruction (averaged over the samples),
    `kl`, and their sum `negative_elbo`. `bits_per_dim` is the sum in bits per pixel and channel. A conditional VAE bounds
    log p(x|y), so the sum is named `conditional_negative_elbo`.

    Args:
        beta: weight of the KL term.
        free_bits: nats of KL per latent dimension, averaged over the batch, that are not penalised.
        warmup: fraction of training over which the weight of the KL rises from 0 to `beta`.
        conditional: condition encoder and decoder on the image's class.
        iwae_samples: number of samples K of the importance-weighted bound. 1: the ELBO with its exact KL.
    """

    monitor = ("val/loss", "min")
    headline = ("test/negative_elbo", "test/conditional_negative_elbo")
    net: VAENet

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule; used if conditional
        architecture: Architecture = ARCHITECTURE,
        widths: Sequence[int] = WIDTHS,
        hidden: int | None = None,
        activation: Activation = ACTIVATION,
        latent_dim: int = LATENT_DIM,
        spatial: bool = False,
        likelihood: Likelihood = "bernoulli",
        variance: float | None = 1.0,
        noise_block: int | None = None,
        beta: float = 1.0,
        free_bits: float = 0.0,
        warmup: float = 0.0,
        conditional: bool = False,
        iwae_samples: int = 1,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        if beta < 0 or free_bits < 0:
            raise ZooError(f"beta and free_bits must be 0 or more, got {beta} and {free_bits}")
        if not 0 <= warmup <= 1:
            raise ZooError(f"warmup is a fraction of training, in [0, 1], got {warmup}")
        if iwae_samples < 1:
            raise ZooError(f"iwae_samples must be at least 1, got {iwae_samples}")
        if iwae_samples > 1 and (beta, free_bits, warmup) != (1.0, 0.0, 0.0):
            raise ZooError(
                f"with iwae_samples {iwae_samples} the loss has no KL term to weight: "
                f"leave beta, free_bits and warmup out, got {beta}, {free_bits} and {warmup}"
            )
        super().__init__(lr, optim)
        self.save_hyperparameters(logger=False)
        self.beta, self.free_bits, self.warmup, self.conditional = beta, free_bits, warmup, conditional
        self.iwae_samples = iwae_samples
        self.net = VAENet(
            require("input_shape", input_shape),
            architecture=architecture,
            widths=widths,
            hidden=hidden,
            activation=activation,
            latent_dim=latent_dim,
            spatial=spatial,
            likelihood=likelihood,
            variance=variance,
            noise_block=noise_block,
            num_classes=require("num_classes", num_classes) if conditional else None,
        )

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        return (batch.x, batch.y) if self.conditional else (batch.x,)

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        x, *y = self.inputs(batch)
        posterior = self.net.infer(x, *y)
        kl_of_dim = posterior.kl().mean(0)
        if self.iwae_samples == 1:
            nll = self.net.nll(posterior.sample(), x, *y).mean()
            ramp = (progress / self.warmup).clamp(max=1.0) if self.warmup else 1.0
            loss = nll + ramp * self.beta * kl_of_dim.clamp(min=self.free_bits).sum()
        else:
            z = posterior.sample(self.iwae_samples)
            nlls = self._nlls(z, x, *y)
            loss, nll = -importance_weighted(_log_weights(posterior, z, nlls)).mean(), nlls.mean()
        kl = kl_of_dim.sum()
        bits = bits_per_dim(self.net.likelihood, (nll + kl).detach(), x[0].numel())
        name = "conditional_negative_elbo" if self.conditional else "negative_elbo"
        terms = {"nll": nll, "kl": kl, name: nll + kl, "bits_per_dim": bits}
        if self.training:
            return loss, terms
        return loss, {**terms, "preds": self.net.decode(posterior.mu, *y), "target": x}

    def infer(self, *inputs: Tensor) -> Posterior:
        """Infer q(z|x) for images, and for their classes if conditional."""
        return self.net.infer(*inputs)

    def log_weights(self, num_samples: int, *inputs: Tensor) -> Tensor:
        """Compute log p(x, z) - log q(z|x) for samples z of each image: (num_samples, B), in nats."""
        x, *y = inputs
        posterior = self.net.infer(x, *y)
        z = posterior.sample(num_samples)
        return _log_weights(posterior, z, self._nlls(z, x, *y))

    def _nlls(self, z: Tensor, x: Tensor, *y: Tensor) -> Tensor:
        """Compute -log p(x|z) in nats for samples z (S, B, Z) of each image: (S, B)."""
        flat = self.net.nll(z.flatten(0, 1), x.repeat(len(z), 1, 1, 1), *(value.repeat(len(z)) for value in y))
        return flat.view(len(z), -1)

    def anomaly_scores(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return the squared error, the KL, and the negative ELBO from one sample: (B,) each."""
        x, *y = inputs
        posterior = self.net.infer(x, *y)
        kl = posterior.kl().sum(1)
        mse = (self.net.decode(posterior.mu, *y) - x).square().flatten(1).mean(1)
        return {"mse": mse, "kl": kl, "negative_elbo": self.net.nll(posterior.sample(), x, *y) + kl}

    def sample(self, num: int, y: Tensor | None = None) -> Tensor:
        """Decode samples z ~ N(0, I): (num, C, H, W) in [0, 1].

        A conditional VAE uses the classes y (num,). Without y it takes all classes in turn.
        """
        z = torch.randn(num, self.net.latent_dim, device=self.device)
        if self.conditional and y is None:
            y = torch.arange(num, device=self.device) % self.hparams["num_classes"]
        return self.net.decode(z, y)

    def check_batch(self, batch: Any) -> None:
        super().check_batch(batch)
        if self.conditional:
            check_labels(batch.y, self.hparams["num_classes"])

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        x = super().example_inputs(batch_size)
        return (*x, torch.arange(batch_size) % self.hparams["num_classes"]) if self.conditional else x


def _log_weights(posterior: Posterior, z: Tensor, nll: Tensor) -> Tensor:
    """Compute log p(x, z) - log q(z|x) in nats from samples z (S, B, Z) and -log p(x|z) (S, B): (S, B)."""
    prior = -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
    return prior - nll - posterior.log_prob(z)
