"""Feature extractors and the Frechet distance: names, inputs and values."""

from importlib.util import find_spec

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.pretrained import features
from zoo.pretrained.features import ClassifierFeatures, distance_name, frechet_distance

NAME = "simple_cnn_fashion_mnist"


def test_features_are_what_the_classifiers_last_layer_reads() -> None:
    extractor, system = ClassifierFeatures(NAME), zoo.load(NAME)
    x = torch.rand(4, 1, 28, 28)
    features = extractor(x)
    assert features.shape == (4, extractor.num_features)
    torch.testing.assert_close(extractor.last(features), system((x - 0.2860) / 0.3530))
    assert not extractor.train().training


def test_images_are_converted_to_the_size_and_channels_of_the_classifier() -> None:
    extractor, x = ClassifierFeatures(NAME), torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(extractor(x.expand(-1, 3, -1, -1)), extractor(x))
    ramp, large = (((torch.arange(size) + 0.5) / size).expand(1, 1, size, size) for size in (28, 56))
    torch.testing.assert_close(extractor(large), extractor(ramp), atol=0.02, rtol=0.05)


def frechet(a: Tensor, b: Tensor) -> float:
    """Frechet distance of Gaussians by eigenvalues of the product of covariances (Dowson & Landau, 1982)."""
    a, b = a.double(), b.double()
    eigenvalues = torch.linalg.eigvals(a.T.cov() @ b.T.cov())
    spread = a.T.cov().trace() + b.T.cov().trace() - 2 * eigenvalues.sqrt().real.sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + spread)


def test_the_distance_is_between_gaussians_fitted_to_features() -> None:
    torch.manual_seed(0)
    real, fake = torch.rand(300, 1, 28, 28), torch.rand(300, 1, 28, 28) ** 2
    metric = frechet_distance(NAME)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    extractor = ClassifierFeatures(NAME)
    assert metric.compute().item() == pytest.approx(frechet(extractor(real), extractor(fake)), rel=1e-3)


def test_only_the_distance_by_inception_is_called_fid() -> None:
    assert distance_name("inception") == "fid"
    assert distance_name(NAME) == "fd_simple_cnn_fashion_mnist"


def test_weights_of_other_models_than_image_classifiers_are_refused() -> None:
    with pytest.raises(ValueError, match="bilstm_sms_spam is not an image classifier"):
        ClassifierFeatures("bilstm_sms_spam")
    with pytest.raises(ValueError, match="no published weights 'inception_v9': choose one of"):
        ClassifierFeatures("inception_v9")


class TinyInception(nn.Module):
    """Stands for Inception, whose weights must be downloaded: RGB bytes to features, and a last layer."""

    def __init__(self, name: str, features_list: list[str]) -> None:
        super().__init__()
        assert (name, features_list) == ("inception-v3-compat", ["2048"])
        torch.manual_seed(0)
        self.fc = nn.Linear(2048, 1008)
        self.colours = nn.Parameter(torch.randn(2048, 3))

    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.uint8
        assert x.shape[1] == 3
        return x.float().mean((2, 3)) @ self.colours.T


def test_inception_gets_rgb_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "NoTrainInceptionV3", TinyInception)
    extractor, x = features.build_extractor("inception"), torch.rand(5, 1, 8, 8)
    seen = extractor(x)
    as_bytes = (255 * x).round().expand(-1, 3, -1, -1)
    torch.testing.assert_close(seen, as_bytes.mean((2, 3)) @ extractor.net.colours.T)
    torch.testing.assert_close(extractor.last(seen), seen @ extractor.net.fc.weight.T)  # without bias
    real, fake = torch.rand(40, 1, 8, 8), torch.rand(40, 1, 8, 8) ** 2
    metric = frechet_distance("inception")
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert metric.compute().item() == pytest.approx(frechet(extractor(real), extractor(fake)), rel=1e-2)


@pytest.mark.skipif(find_spec("torch_fidelity") is not None, reason="torch-fidelity is installed")
def test_inception_names_the_extra_it_needs() -> None:
    with pytest.raises(ImportError, match=r"Inception needs torch-fidelity: pip install 'lightning-model-zoo\[fid\]'"):
        frechet_distance("inception")
