"""A small image classifier, trained on the fly to evaluate generated images.

Shapes: N images, C channels, H height, W width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WIDTHS, _BATCH, _LR = (32, 64, 128), 128, 2e-3


def image_probe(x: Tensor, y: Tensor, num_classes: int, epochs: int = 5) -> nn.Sequential:
    """Train a network of three convolutions on images (N, C, H, W) in [0, 1] with classes (N,), and return it.

    The probe is in evaluation mode. It always starts from the same weights, and training leaves the random state unchanged. It
    can be trained within evaluation loops, where gradients are off.
    """
    devices = [x.device] if x.is_cuda else []
    with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(0)
        x, y = x.detach().clone(), y.clone()  # tensors made in inference mode cannot be used for a backward pass
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip((x.shape[1], *_WIDTHS), _WIDTHS, strict=False):
            layers += [nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU()]
        probe = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(_WIDTHS[-1], num_classes)).to(x.device)
        num_batches = -(-len(x) // _BATCH)
        optimizer = torch.optim.AdamW(probe.parameters(), lr=_LR)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=epochs * num_batches)
        for _ in range(epochs):
            # batches of about equal size, because batch norm cannot train on a single image
            for rows in torch.tensor_split(torch.randperm(len(x), device=x.device), num_batches):
                loss: Tensor = F.cross_entropy(probe(x[rows]), y[rows])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
    return probe.eval()


@torch.no_grad()
def share_classified_as(probe: nn.Module, x: Tensor, y: Tensor | int) -> float:
    """Compute the share of images (N, C, H, W) that the probe assigns to the classes y: (N,), or one class for all."""
    predicted = torch.cat([probe(x[row : row + 500]).argmax(1) for row in range(0, len(x), 500)])
    return (predicted == y).float().mean().item()
