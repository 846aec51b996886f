"""The living Lightning model zoo: every classic architecture and training technique as a small, tested `LightningModule`."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.autoencoders.denoising import DenoisingAutoencoder as DenoisingAutoencoder
    from zoo.autoencoders.sparse import SparseAutoencoder as SparseAutoencoder
    from zoo.autoencoders.vae import VAE as VAE
    from zoo.autoencoders.vanilla import Autoencoder as Autoencoder
    from zoo.cnn.cifar_resnet import CIFARResNetClassifier as CIFARResNetClassifier
    from zoo.cnn.image_classifier import ImageClassifier as ImageClassifier
    from zoo.cnn.simple_cnn import SimpleCNNClassifier as SimpleCNNClassifier
    from zoo.gans.conditional import ConditionalGAN as ConditionalGAN
    from zoo.gans.cyclegan import CycleGAN as CycleGAN
    from zoo.gans.dcgan import DCGAN as DCGAN
    from zoo.gans.gan import GAN as GAN
    from zoo.gans.minibatch_discrimination import MinibatchGAN as MinibatchGAN
    from zoo.gans.pix2pix import Pix2Pix as Pix2Pix
    from zoo.gans.progressive import ProgressiveGAN as ProgressiveGAN
    from zoo.gans.sngan import SNGAN as SNGAN
    from zoo.gans.stylegan import StyleGAN as StyleGAN
    from zoo.gans.unrolled import UnrolledGAN as UnrolledGAN
    from zoo.gans.wgan import WGAN as WGAN
    from zoo.gans.wgan_gp import WGANGP as WGANGP
    from zoo.mlp.mlp import MLPBinaryClassifier as MLPBinaryClassifier
    from zoo.mlp.mlp import MLPClassifier as MLPClassifier
    from zoo.mlp.mlp import MLPRegressor as MLPRegressor
    from zoo.mlp.perceptron import Perceptron as Perceptron
    from zoo.rnn.char_lm import CharLM as CharLM
    from zoo.rnn.forecaster import RNNForecaster as RNNForecaster
    from zoo.rnn.rnn import RNNClassifier as RNNClassifier
    from zoo.rnn.rnn import RNNRegressor as RNNRegressor
    from zoo.weights import load as load

_HOMES = {
    "Autoencoder": "autoencoders.vanilla",
    "CIFARResNetClassifier": "cnn.cifar_resnet",
    "CharLM": "rnn.char_lm",
    "ConditionalGAN": "gans.conditional",
    "CycleGAN": "gans.cyclegan",
    "DCGAN": "gans.dcgan",
    "DenoisingAutoencoder": "autoencoders.denoising",
    "GAN": "gans.gan",
    "ImageClassifier": "cnn.image_classifier",
    "MLPBinaryClassifier": "mlp.mlp",
    "MLPClassifier": "mlp.mlp",
    "MLPRegressor": "mlp.mlp",
    "MinibatchGAN": "gans.minibatch_discrimination",
    "Perceptron": "mlp.perceptron",
    "Pix2Pix": "gans.pix2pix",
    "ProgressiveGAN": "gans.progressive",
    "RNNClassifier": "rnn.rnn",
    "RNNForecaster": "rnn.forecaster",
    "RNNRegressor": "rnn.rnn",
    "SNGAN": "gans.sngan",
    "SimpleCNNClassifier": "cnn.simple_cnn",
    "SparseAutoencoder": "autoencoders.sparse",
    "StyleGAN": "gans.stylegan",
    "UnrolledGAN": "gans.unrolled",
    "VAE": "autoencoders.vae",
    "WGAN": "gans.wgan",
    "WGANGP": "gans.wgan_gp",
}
__all__ = [*_HOMES, "load"]  # read by name below


def __getattr__(name: str) -> object:
    """Import a system, or `load`, when it is first asked for: `zoo list` must not wait for torch."""
    if name == "load":
        return importlib.import_module("zoo.weights").load
    if name not in _HOMES:
        raise AttributeError(f"zoo has no {name!r}: it has {', '.join(_HOMES)}")
    return getattr(importlib.import_module(f"zoo.{_HOMES[name]}"), name)
