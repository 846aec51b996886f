"""The number of epochs of a fit that does not set it."""

from zoo.errors import ZooError

LEAST, MOST, SEEN = 3, 50, 50_000  # epochs; samples that a fit is to see, repetitions included


def default_epochs(num_samples: int | None) -> tuple[int, str]:
    """Return the number of epochs in which about 50,000 training samples are seen, between 3 and 50, and the reason.

    Raises:
        ZooError: if the number of training samples is not known before the data are read.
    """
    if num_samples is None:
        raise ZooError("the data do not state their number of training samples beforehand: set trainer.max_epochs")
    epochs = max(LEAST, min(MOST, SEEN // num_samples))
    return epochs, f"about {num_samples:,} training samples; a fit sees about {SEEN:,}, in {LEAST} to {MOST} epochs"
