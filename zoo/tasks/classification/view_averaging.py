"""Test-time augmentation of image classifiers, for tests and predictions."""

from lightning import Callback, LightningModule, Trainer

from zoo.augment.test_time import AverageViews, Views
from zoo.errors import ZooError
from zoo.tasks.classification.base import Classifier


class ViewAveraging(Callback):
    """Averages the probabilities of an image classifier over several views of each image, in test and predict.

    The network is wrapped for the batches of test and predict, so that scores and tables are of the average. Reports that look
    into the network afterwards find it unwrapped.
    Predictions become log-probabilities instead of logits.

    Args:
        views: as in `zoo.augment.test_time.views_of`. Choose views that keep the class: mirrored digits are other characters.
    """

    def __init__(self, views: Views) -> None:
        self.views = views

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        classifier = _image_classifier(pl_module)
        classifier.net = AverageViews(classifier.net, self.views)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        classifier = _image_classifier(pl_module)
        assert isinstance(classifier.net, AverageViews)
        classifier.net = classifier.net.net

    on_predict_start, on_predict_epoch_end = on_test_start, on_test_epoch_end


def _image_classifier(system: LightningModule) -> Classifier:
    """Return the system.

    Raises:
        ZooError: if it does not classify images.
    """
    shape = tuple(system.hparams.get("input_shape", ()))
    if not isinstance(system, Classifier) or len(shape) != 3:
        raise ZooError(
            f"--tta averages over views of images, but this {type(system).__name__} classifies no images: leave it out"
        )
    return system
