"""Conv-4: four blocks of convolution, batch norm, ReLU and max pool, the usual encoder of small images in few-shot learning.

Vinyals et al., 2016, arXiv:1606.04080, section 4.1; Snell, Swersky & Zemel, 2017, arXiv:1703.05175. On Omniglot's 28x28 pixels,
four pools leave one position, so that 64 channels are 64 features.

Shapes: B batch, C channels, H height, W width, F features.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.checks import check_shape

WIDTHS = (64, 64, 64, 64)


class Conv4(nn.Module):
    """Blocks that halve an image, rounding down: (B, C, H, W) to features (B, F). `num_features` is F.

    Args:
        input_shape: (C, H, W). Sides need at least 2 ** len(widths) pixels.
        widths: channels of each block.

    Raises:
        ZooError: if a width is not positive, or the image is too small.
    """

    def __init__(self, input_shape: Sequence[int], widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        if not widths or not all(width >= 1 for width in widths):
            raise ZooError(f"widths must be one or more positive numbers, got {list(widths)}")
        self.input_shape = tuple(input_shape)
        if len(self.input_shape) != 3 or min(self.input_shape[1:]) < 2 ** len(widths):
            smallest = 2 ** len(widths)
            raise ZooError(f"{len(widths)} widths need images of {smallest}x{smallest} pixels or more, got {self.input_shape}")
        blocks, (fan_in, height, width) = [], self.input_shape
        for width_out in widths:
            # Batch norm has its own offset, so the convolution needs no bias.
            convolution = nn.Conv2d(fan_in, width_out, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            # ReLU and max pool commute. After the pool, ReLU has a quarter of the work.
            blocks += [convolution, nn.BatchNorm2d(width_out), nn.MaxPool2d(2), nn.ReLU(inplace=True)]
            fan_in, height, width = width_out, height // 2, width // 2
        self.blocks = nn.Sequential(*blocks)
        self.num_features = fan_in * height * width

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        return self.blocks(x).flatten(1)
