"""Counted bytes equal those worked out by hand."""

import torch
from torch import nn

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["memory_by_precision"])


def test_bytes_of_an_mlp() -> None:
    """Saved are the inputs (8 x 20), the ReLU's outputs (8 x 30), the log-probabilities (8 x 10) and the classes."""
    case = module.Case(lambda: nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10)), (8, 20))
    num_weights = 20 * 30 + 30 + 30 * 10 + 10
    full, half = module.count(case, "fp32"), module.count(case, "all bf16")
    assert (full["weights"], full["gradients"], full["Adam"]) == (4 * num_weights, 4 * num_weights, 8 * num_weights)
    assert (half["weights"], half["gradients"], half["Adam"]) == (2 * num_weights, 2 * num_weights, 4 * num_weights)
    classes = 8 * 8
    assert full["activations"] == 4 * 8 * (20 + 30 + 10) + classes
    assert half["activations"] == 2 * 8 * (20 + 30 + 10) + classes


def test_autocast_copies_the_weights_of_layers_and_halves_no_state() -> None:
    case = module.Case(lambda: nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10)), (8, 20))
    full, mixed = module.count(case, "fp32"), module.count(case, "bf16 autocast")
    assert [mixed[part] for part in ("weights", "gradients", "Adam")] == [full[p] for p in ("weights", "gradients", "Adam")]
    assert mixed["activations"] < full["activations"]
    assert mixed["copies"] - full["copies"] == 2 * 30 * 10  # the first layer's input needs no gradient, so no weight is saved


def test_a_storage_counts_once() -> None:
    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = x * self.weight
            return h.sin() + h.cos()

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(5))

    x = torch.randn(4, 5)
    assert module.saved_bytes(Twice(), x, autocast=False) == 4 * (20 + 20 + 20) + 4 * 8 + 4
