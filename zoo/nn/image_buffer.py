"""A buffer of earlier generated images, so that a discriminator does not forget them (Shrivastava et al., 2017).

Learning from simulated and unsupervised images through adversarial training, arXiv:1612.07828, section 2.3.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.errors import ZooError


class ImageBuffer(nn.Module):
    """Holds up to `size` images, and is saved in checkpoints. `query` only reads; `store` writes.

    Args:
        image_shape: (C, H, W).
        size: number of images; 0 turns the buffer off.

    Raises:
        ZooError: if the size is negative.
    """

    images: Tensor
    count: Tensor

    def __init__(self, image_shape: Sequence[int], size: int = 50) -> None:
        super().__init__()
        if size < 0:
            raise ZooError(f"a buffer's size must be 0 or more images, got {size}")
        self.size = size
        # Images without a place go to an extra row, index -1, so that no step has to ask the device which they are.
        self.register_buffer("images", torch.zeros(size + 1, *image_shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def query(self, new: Tensor) -> tuple[Tensor, Tensor]:
        """Choose what to show instead of new images (B, C, H, W); also return each new image's place (B,), -1 for none.

        While there is room, each new image is shown and gets the next place. After that, half of the new images are shown and
        not stored. The other half replace old images, drawn without repetition, which are shown instead.
        """
        num = len(new)
        if self.size == 0:
            return new, torch.full((num,), -1, device=new.device)
        free = self.count + torch.arange(num, device=new.device)
        drawn = torch.randperm(max(num, self.size), device=new.device)[:num]
        # In a batch larger than the buffer some draw no place, and images of this batch are not in the buffer yet.
        swap = (torch.rand(num, device=new.device) < 0.5) & (free >= self.size) & (drawn < self.count)
        shown = torch.where(swap.view(-1, 1, 1, 1), self.images[drawn.clamp(max=self.size)].to(new.dtype), new)
        return shown, torch.where(free < self.size, free, torch.where(swap, drawn, -1))

    @torch.no_grad()
    def store(self, new: Tensor, place: Tensor) -> None:
        """Store new images (B, C, H, W) at the places that `query` returned."""
        self.images[place] = new.to(self.images.dtype)
        self.count.add_((place >= 0).sum()).clamp_(max=self.size)
