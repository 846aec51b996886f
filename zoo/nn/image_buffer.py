"""Images of the past for a discriminator, so that it does not forget what it has seen through (Shrivastava et al., 2017).

Learning from simulated and unsupervised images through adversarial training, arXiv:1612.07828, section 2.3.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.errors import ZooError


class ImageBuffer(nn.Module):
    """`size` generated images, a part of checkpoints. Reading it changes nothing: `store` is a call of its own.

    Args:
        image_shape: (C, H, W).
        size: how many it holds; 0 for none, so that every image is shown at once.

    Raises:
        ZooError: for a negative size.
    """

    images: Tensor
    count: Tensor

    def __init__(self, image_shape: Sequence[int], size: int = 50) -> None:
        super().__init__()
        if size < 0:
            raise ZooError(f"a buffer's size must be 0 or more images, got {size}")
        self.size = size
        # one more, of which -1 is the place: what belongs nowhere goes there, and nobody has to ask the device where to
        self.register_buffer("images", torch.zeros(size + 1, *image_shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def query(self, new: Tensor) -> tuple[Tensor, Tensor]:
        """What to show in place of new images (B, C, H, W), and the place (B,) where each of those belongs, -1 for none.

        While there is room each new image is shown and gets the next place. After that one half of them is shown and
        forgotten; the other half takes the places of old images, drawn without repetition, which are shown instead.
        """
        num = len(new)
        if self.size == 0:
            return new, torch.full((num,), -1, device=new.device)
        free = self.count + torch.arange(num, device=new.device)
        drawn = torch.randperm(max(num, self.size), device=new.device)[:num]
        # of a batch larger than the buffer some draw no place, and what this very batch brings is not there yet
        swap = (torch.rand(num, device=new.device) < 0.5) & (free >= self.size) & (drawn < self.count)
        shown = torch.where(swap.view(-1, 1, 1, 1), self.images[drawn.clamp(max=self.size)].to(new.dtype), new)
        return shown, torch.where(free < self.size, free, torch.where(swap, drawn, -1))

    @torch.no_grad()
    def store(self, new: Tensor, place: Tensor) -> None:
        """Put new images (B, C, H, W) where `query` said."""
        self.images[place] = new.to(self.images.dtype)
        self.count.add_((place >= 0).sum()).clamp_(max=self.size)
