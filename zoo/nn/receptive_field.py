"""Receptive fields: how much of the image each layer of a network sees."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

_LAYERS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_aten = torch.ops.aten


class Field(NamedTuple):
    """Receptive field of one value of a feature map, in pixels of the input, as (height, width)."""

    jump: tuple[int, int]  # distance between the centres of two neighbours
    size: tuple[int, int]


class LayerField(NamedTuple):
    """Receptive field of a layer's output."""

    layer: str  # dotted name of the module
    maps: tuple[int, int]  # height and width of the feature maps
    jump: tuple[int, int]
    field: tuple[int, int]


def receptive_fields(net: nn.Module, input_shape: Sequence[int]) -> list[LayerField]:
    """Compute the receptive field after every convolution and pool of `net`, for an image (C, H, W).

    A kernel of k pixels with dilation d widens the field by (k - 1) d times the jump of its input. Its stride multiplies the
    jump (Araujo, Norris & Sim, 2019, doi:10.23915/distill.00021). Where paths meet, the widest field counts. Gates computed
    from the whole image (squeeze-and-excitation) are ignored. Fields include padding, so they may exceed the image.

    The function runs the network once and follows torch's operators, so it works for any network.
    """
    rows: list[LayerField] = []
    tracker = _Tracker()
    hooks = []

    def record(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output in tracker.fields:
                field: Field = tracker.fields[output]
                rows.append(LayerField(name, (output.shape[2], output.shape[3]), field.jump, field.size))

        return hook

    for name, module in net.named_modules():
        if isinstance(module, _LAYERS):
            hooks.append(module.register_forward_hook(record(name)))
    modes = {module: module.training for module in net.modules()}  # frozen parts may be in evaluation mode
    try:
        with torch.no_grad(), tracker:
            device = next(net.parameters()).device
            x = torch.empty(1, *input_shape, device=device)
            tracker.fields[x] = Field((1, 1), (1, 1))
            net.eval()(x)
    finally:
        for module, training in modes.items():
            module.training = training
        for handle in hooks:
            handle.remove()
    return rows


class _Tracker(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not annotate its base
    """Follows the receptive field of every tensor from operator to operator."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.fields = WeakTensorKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        if (field := self._after(func.overloadpacket, args)) is not None:
            for output in outputs if isinstance(outputs, tuple | list) else [outputs]:
                if isinstance(output, Tensor):
                    self.fields[output] = field
        return outputs

    def _after(self, operator: Any, args: Any) -> Field | None:
        tensors = [a for arg in args for a in (arg if isinstance(arg, tuple | list) else [arg]) if isinstance(a, Tensor)]
        known = [self.fields[tensor] for tensor in tensors if tensor in self.fields]
        if not known:
            return None
        widest = Field(
            (max(f.jump[0] for f in known), max(f.jump[1] for f in known)),
            (max(f.size[0] for f in known), max(f.size[1] for f in known)),
        )
        if operator is _aten.convolution:
            return _slide(widest, args[1].shape[2:], args[3], args[5])
        if operator in (_aten.max_pool2d_with_indices, _aten.max_pool2d):
            return _slide(widest, args[1], args[2] if len(args) > 2 and args[2] else args[1], args[4] if len(args) > 4 else 1)
        if operator is _aten.avg_pool2d:
            return _slide(widest, args[1], args[2] if len(args) > 2 and args[2] else args[1], 1)
        if operator in (_aten._adaptive_avg_pool2d, _aten.adaptive_max_pool2d):
            (height, width), (rows, columns) = args[0].shape[-2:], args[1]
            if rows == columns == 1:
                return None  # global pooling: everything after it sees the whole image
            return _slide(widest, (_widest(height, rows), _widest(width, columns)), (height // rows, width // columns), 1)
        if operator is _aten.mean:
            return None
        if operator is _aten.slice and len(args) > 4 and args[1] in (2, 3):
            strides = (args[4], 1) if args[1] == 2 else (1, args[4])
            return _slide(widest, (1, 1), strides, 1)
        return widest


def _widest(extent: int, parts: int) -> int:
    """Return the widest window of an adaptive pool. Windows differ if `parts` does not divide `extent`."""
    return max(-(-(part + 1) * extent // parts) - part * extent // parts for part in range(parts))


def _pair(value: Any) -> tuple[int, int]:
    values = [value] if isinstance(value, int) else list(value)
    return values[0], values[-1]


def _slide(field: Field, kernel: Any, stride: Any, dilation: Any) -> Field:
    (k_h, k_w), (s_h, s_w), (d_h, d_w) = _pair(kernel), _pair(stride), _pair(dilation)
    return Field(
        (field.jump[0] * s_h, field.jump[1] * s_w),
        (field.size[0] + (k_h - 1) * d_h * field.jump[0], field.size[1] + (k_w - 1) * d_w * field.jump[1]),
    )
