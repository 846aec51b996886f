"""MNIST (LeCun, Bottou, Bengio & Haffner, 1998): 28x28 grey handwritten digits."""

from datamodules.images.hub_set import HubSet


class MNIST(HubSet):
    """60,000 training images and 10,000 test images."""

    repo = "ylecun/mnist"
    folder = "mnist"
    has_mirror_twins = False
    input_shape = (1, 28, 28)
    num_classes = 10
    class_names = tuple("0123456789")
    mean = (0.1307,)
    std = (0.3081,)
