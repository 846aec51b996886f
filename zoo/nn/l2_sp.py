"""L2-SP: weight decay towards the pretrained weights instead of zero (Li, Grandvalet & Davoine, 2018, arXiv:1802.01483)."""

import torch
from torch import Tensor, nn


class StartingPoint(nn.Module):
    """Remembers the parameters of a network. They are stored in checkpoints, so that a resumed run has the same penalty.

    Args:
        net: the network, with its pretrained weights.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        for name, parameter in net.named_parameters():
            self.register_buffer(name.replace(".", "/"), parameter.detach().clone())  # torch allows no dots

    def penalty(self, net: nn.Module) -> Tensor:
        """Compute half the squared distance (0-d) between the parameters of `net` and the remembered ones.

        Frozen parameters have not moved and are left out.
        """
        start = dict(self.named_buffers())
        moved = [p - start[name.replace(".", "/")] for name, p in net.named_parameters() if p.requires_grad]
        return (
            0.5 * torch.stack([difference.square().sum() for difference in moved]).sum()
            if moved
            else next(iter(start.values())).new_zeros(())
        )
