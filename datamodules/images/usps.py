"""USPS (Hull, 1994, A database for handwritten text recognition research): 16x16 grey digits from envelopes."""

from datamodules.images.hub_set import HubSet


class USPS(HubSet):
    """7,291 training images and 2,007 test images. The test images are harder: people misread 2.5 % of them."""

    repo = "flwrlabs/usps"
    folder = "data"
    has_mirror_twins = False
    input_shape = (1, 16, 16)
    num_classes = 10
    class_names = tuple("0123456789")
    mean = (0.2545,)
    std = (0.3846,)
