"""Grad-CAM: where a convolutional network finds evidence for a class (Selvaraju et al., 2017, arXiv:1610.02391).

Shapes: B images, C channels, H height, W width, h and w the sides of a feature map.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from zoo.nn.modes import evaluating
from zoo.tasks.classification.worst_errors import highest_losses, worst_errors
from zoo.tasks.drawing import displayable, grid
from zoo.training.reporting import facts, gathered, log_picture, writes

_HEAT = 0.5  # opacity of the heat map on the image


def grad_cam(net: nn.Module, images: Tensor, classes: Tensor) -> Tensor | None:
    """Compute the Grad-CAM of images (B, C, H, W) for a class each (B,): (B, H, W) in [0, 1].

    Each channel of the last feature map is weighted by the mean gradient of the class's logit, and the ReLU of the weighted sum
    is resized to the image. 1 is the largest value of an image. A map is 0 everywhere if nothing speaks for the class.

    The network is evaluated in evaluation mode. Its modes, parameters and gradients are left as they were.

    Returns:
        None if the network has no feature map that a convolution computes.
    """
    # Lightning tests in inference mode, whose tensors take no part in a backward pass.
    with torch.inference_mode(False), torch.compiler.set_stance("force_eager"), evaluating(net):
        images, classes = images.clone(), classes.clone()
        with torch.no_grad():
            layer = _last_feature_layer(net, images)
        if layer is None:
            return None
        captured: list[Tensor] = []

        def cut(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            captured.append(output.detach().requires_grad_())
            return captured[-1].clone()  # the next layer may work in place

        hook = layer.register_forward_hook(cut)
        try:
            with torch.enable_grad():
                logits = net(images).float()
                score = logits.gather(1, classes[:, None]).sum()
                (gradient,) = torch.autograd.grad(score, captured[-1])
        finally:
            hook.remove()
    features = captured[-1].detach()
    heat = F.relu((gradient.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True)).float()
    heat = F.interpolate(heat, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return heat / heat.amax((1, 2), keepdim=True).clamp(min=torch.finfo(heat.dtype).tiny)


def has_feature_map(net: nn.Module) -> bool:
    """Return whether a network has convolutions other than patch embeddings."""
    return any(_is_convolution(module) for module in net.modules())


def _is_convolution(module: nn.Module) -> bool:
    """Return whether a module is a 2-d convolution, and not the patch embedding of a transformer."""
    return isinstance(module, nn.Conv2d) and (module.kernel_size != module.stride or module.kernel_size == (1, 1))


def _last_feature_layer(net: nn.Module, images: Tensor) -> nn.Module | None:
    """Return the module that computes the last feature map before global pooling, or None if there is none.

    Layers that follow the last convolution, such as batch norm, the activation and the sum of a residual block, keep the sides
    of its output. So the last module with an output of these sides is returned, which may be a whole stage.
    """
    found: nn.Module | None = None
    sides: torch.Size | None = None

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal found, sides
        if not isinstance(output, Tensor) or output.ndim != 4 or min(output.shape[2:]) < 2:
            return
        if _is_convolution(module):
            sides = output.shape[2:]
        if output.shape[2:] == sides and not isinstance(module, nn.AdaptiveAvgPool2d):  # VGG's enlarges small maps
            found = module

    hooks = [module.register_forward_hook(note) for module in net.modules() if module is not net]
    try:
        net(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found


class Shown(NamedTuple):
    """A test image with its prediction."""

    loss: float
    position: int
    image: Tensor  # (C, H, W) as the network sees it
    target: int
    predicted: int
    confidence: float


class GradCAM(Callback):
    """Draws test images beside their Grad-CAM for the predicted class into `folder`/grad_cam.png, and sends them to W&B.

    For classifiers of images (B, C, H, W) whose classes have names. The first images are the wrong predictions with the highest
    loss. The others are correct predictions, the first of each class in turn.

    Args:
        folder: folder of the picture.
        num_images: number of wrong predictions, and of correct ones.
    """

    def __init__(self, folder: Path, num_images: int = 8) -> None:
        self.folder, self.num_images = folder, num_images
        self._wrong: list[Shown] = []
        self._correct: list[Shown] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._wrong, self._correct = [], []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not facts(trainer).class_names:
            return
        logits, target = outputs["preds"].float(), outputs["target"]
        columns = (batch.position, target, *reversed(logits.softmax(1).max(1)))
        positions, targets, predicted, confidence = (column.tolist() for column in columns)

        def shown(row: int, loss: float = 0.0) -> Shown:
            return Shown(loss, positions[row], batch.x[row].cpu(), targets[row], predicted[row], confidence[row])

        wrong = [shown(row, loss) for row, loss in worst_errors(logits, target, self.num_images)]
        self._wrong = highest_losses([*self._wrong, *wrong], self.num_images)
        first: dict[int, list[int]] = {}  # rows of each class in this batch
        for row, (truth, answer) in enumerate(zip(targets, predicted, strict=True)):
            if truth == answer and len(first.setdefault(truth, [])) < self.num_images:
                first[truth].append(row)
        self._correct = self._in_turn([*self._correct, *(shown(row) for rows in first.values() for row in rows)])

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        wrong = highest_losses(gathered(trainer, self._wrong), self.num_images)
        correct = self._in_turn(gathered(trainer, self._correct))
        self._wrong, self._correct = [], []
        examples = [*wrong, *correct]
        if not examples:
            return
        images = torch.stack([example.image for example in examples]).to(pl_module.device)
        classes = torch.tensor([example.predicted for example in examples], device=pl_module.device)
        system: Any = pl_module
        heat = grad_cam(system.net, images, classes)  # every process takes part, because its parameters may be sharded
        if heat is None or not writes(trainer):
            return
        names = facts(trainer).class_names
        tiles: list[np.ndarray] = []
        captions: list[str] = []
        red: list[bool] = []
        for example, warm in zip(examples, heat.cpu(), strict=True):
            picture, answer = displayable(example.image.float()), names[example.predicted]
            is_wrong = example.predicted != example.target
            truth = f" (is {names[example.target]})" if is_wrong else ""
            tiles += [picture, overlaid(picture, warm.numpy())]
            captions += [f"{answer} {example.confidence:.0%}{truth}", f"evidence for {answer}"]
            red += [is_wrong, is_wrong]
        path = self.folder / "grad_cam.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grid(tiles, captions, red).savefig(path)
        log_picture(trainer, "test/grad_cam", path)

    def _in_turn(self, correct: list[Shown]) -> list[Shown]:
        """Select the first images of each class, the first of all classes before the second ones."""
        seen: dict[int, int] = defaultdict(int)
        turns = []
        for example in sorted(correct, key=lambda example: example.position):
            turns.append((seen[example.target], example.target, example))
            seen[example.target] += 1
        return [example for *_, example in sorted(turns, key=lambda turn: turn[:2])[: self.num_images]]


def overlaid(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay a heat map (H, W) in [0, 1] over an image (H, W) or (H, W, 3) in [0, 1], whose colours turn grey: (H, W, 3)."""
    grey = image if image.ndim == 2 else image.mean(2)
    colours = matplotlib.colormaps["inferno"](heat)[..., :3]
    return (1 - _HEAT) * grey[..., None] + _HEAT * colours


def grad_cam_sheet(net: nn.Module, folder: Path) -> list[Callback]:
    """Return the report on a network's Grad-CAM, or no report for a network without a feature map."""
    return [GradCAM(folder)] if has_feature_map(net) else []
