"""The living Lightning model zoo: every classic architecture and training technique as a small, tested `LightningModule`."""

import importlib
import os
from typing import TYPE_CHECKING

# Let idle OpenMP threads sleep instead of spin, unless the user's environment sets a policy. Spinning makes training 10 to 50
# times slower beside another busy process. This must be set before torch is imported
# (https://gcc.gnu.org/onlinedocs/libgomp/OMP_005fWAIT_005fPOLICY.html).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from zoo.autoencoders.autoencoder import Autoencoder as Autoencoder
    from zoo.autoencoders.denoising_autoencoder import DenoisingAutoencoder as DenoisingAutoencoder
    from zoo.autoencoders.sparse_autoencoder import SparseAutoencoder as SparseAutoencoder
    from zoo.autoencoders.vae import VAE as VAE
    from zoo.cnn.cifar_resnet import CIFARResNetClassifier as CIFARResNetClassifier
    from zoo.cnn.image_classifier import ImageClassifier as ImageClassifier
    from zoo.cnn.simple_cnn import SimpleCNNClassifier as SimpleCNNClassifier
    from zoo.gans.conditional_gan import ConditionalGAN as ConditionalGAN
    from zoo.gans.cyclegan import CycleGAN as CycleGAN
    from zoo.gans.dcgan import DCGAN as DCGAN
    from zoo.gans.gan import GAN as GAN
    from zoo.gans.minibatch_gan import MinibatchGAN as MinibatchGAN
    from zoo.gans.pix2pix import Pix2Pix as Pix2Pix
    from zoo.gans.progressive_gan import ProgressiveGAN as ProgressiveGAN
    from zoo.gans.sngan import SNGAN as SNGAN
    from zoo.gans.stylegan import StyleGAN as StyleGAN
    from zoo.gans.unrolled_gan import UnrolledGAN as UnrolledGAN
    from zoo.gans.wgan import WGAN as WGAN
    from zoo.gans.wgan_gp import WGANGP as WGANGP
    from zoo.metric.contrastive import ContrastiveEmbedder as ContrastiveEmbedder
    from zoo.metric.triplet import TripletEmbedder as TripletEmbedder
    from zoo.mlp.backprop_mlp import BackpropMLP as BackpropMLP
    from zoo.mlp.mlp import MLPBinaryClassifier as MLPBinaryClassifier
    from zoo.mlp.mlp import MLPClassifier as MLPClassifier
    from zoo.mlp.mlp import MLPRegressor as MLPRegressor
    from zoo.mlp.perceptron import Perceptron as Perceptron
    from zoo.pretrained.published import load as load
    from zoo.rnn.char_lm import CharLM as CharLM
    from zoo.rnn.forecaster import RNNForecaster as RNNForecaster
    from zoo.rnn.rnn import RNNClassifier as RNNClassifier
    from zoo.rnn.rnn import RNNRegressor as RNNRegressor
    from zoo.transfer.transfer_classifier import TransferClassifier as TransferClassifier

HOMES = {
    "Autoencoder": "autoencoders.autoencoder",
    "BackpropMLP": "mlp.backprop_mlp",
    "CIFARResNetClassifier": "cnn.cifar_resnet",
    "CharLM": "rnn.char_lm",
    "ConditionalGAN": "gans.conditional_gan",
    "ContrastiveEmbedder": "metric.contrastive",
    "CycleGAN": "gans.cyclegan",
    "DCGAN": "gans.dcgan",
    "DenoisingAutoencoder": "autoencoders.denoising_autoencoder",
    "GAN": "gans.gan",
    "ImageClassifier": "cnn.image_classifier",
    "MLPBinaryClassifier": "mlp.mlp",
    "MLPClassifier": "mlp.mlp",
    "MLPRegressor": "mlp.mlp",
    "MinibatchGAN": "gans.minibatch_gan",
    "Perceptron": "mlp.perceptron",
    "Pix2Pix": "gans.pix2pix",
    "ProgressiveGAN": "gans.progressive_gan",
    "RNNClassifier": "rnn.rnn",
    "RNNForecaster": "rnn.forecaster",
    "RNNRegressor": "rnn.rnn",
    "SNGAN": "gans.sngan",
    "SimpleCNNClassifier": "cnn.simple_cnn",
    "SparseAutoencoder": "autoencoders.sparse_autoencoder",
    "StyleGAN": "gans.stylegan",
    "TransferClassifier": "transfer.transfer_classifier",
    "TripletEmbedder": "metric.triplet",
    "UnrolledGAN": "gans.unrolled_gan",
    "VAE": "autoencoders.vae",
    "WGAN": "gans.wgan",
    "WGANGP": "gans.wgan_gp",
}
__all__ = [*HOMES, "load"]  # resolved by __getattr__


def __getattr__(name: str) -> object:
    """Import a system, or `load`, at its first use, so that `zoo list` does not wait for torch."""
    if name == "load":
        return importlib.import_module("zoo.pretrained.published").load
    if name not in HOMES:
        raise AttributeError(f"zoo has no {name!r}: it has {', '.join(HOMES)}")
    return getattr(importlib.import_module(f"zoo.{HOMES[name]}"), name)
