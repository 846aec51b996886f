"""CIFAR-10 (Krizhevsky, 2009, Learning multiple layers of features from tiny images): 32x32 colour images of ten objects."""

from datamodules.images.hub_set import HubSet


class CIFAR10(HubSet):
    """50,000 training images and 10,000 test images."""

    repo = "uoft-cs/cifar10"
    folder = "plain_text"
    columns = ("img", "label")
    input_shape = (3, 32, 32)
    num_classes = 10
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
