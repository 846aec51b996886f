"""Statistics of activations equal those computed from all outputs at once."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from zoo.nn.recurrent import Recurrent
from zoo.tasks.debugging.activations import NUM_BINS, Activations, Statistics, bin_edges, statistics


def watch(network: nn.Module, *batches: Tensor) -> dict[str, Statistics]:
    activations = Activations(network)
    activations.on = True
    for batch in batches:
        network(batch)
    layers, vector = activations.take()
    activations.remove()
    return statistics(layers, vector)


def test_equal_the_statistics_of_all_outputs_at_once() -> None:
    network, batches = nn.Sequential(nn.Linear(3, 5), nn.Tanh()), (torch.randn(7, 3), torch.randn(2, 3))
    found, outputs = watch(network, *batches), network(torch.cat(batches)).detach()
    assert list(found) == ["0", "1"]
    assert found["1"].mean == pytest.approx(outputs.mean().item(), abs=1e-6)
    assert found["1"].std == pytest.approx(outputs.std(correction=0).item(), rel=1e-5)
    wanted = torch.histogram(outputs.double(), torch.tensor(bin_edges(), dtype=torch.float64)).hist / outputs.numel()
    assert found["1"].histogram == pytest.approx(wanted.tolist(), abs=1e-6)
    assert found["1"].dead is None


def test_a_unit_is_dead_if_it_is_0_for_every_sample_of_every_batch() -> None:
    network = nn.ReLU()
    first = torch.tensor([[1.0, -1.0, 0.0, -2.0], [1.0, -1.0, -1.0, -1.0]])
    second = torch.tensor([[-1.0, -1.0, 2.0, 0.0]])
    assert watch(network, first)[""].dead == 0.75
    assert watch(network, first, second)[""].dead == 0.5


@pytest.mark.parametrize(("shape", "units"), [((2, 3, 4, 4), 3), ((2, 5, 3), 3), ((2, 3), 3)])
def test_units_are_channels_of_images_and_the_last_dimension_of_sequences(shape: tuple[int, ...], units: int) -> None:
    x = -torch.ones(shape)
    place = (0, 1, 2, 2) if len(shape) == 4 else (0,) * (len(shape) - 1) + (1,)
    x[place] = 1.0  # one unit fires once
    assert watch(nn.ReLU(), x)[""].dead == pytest.approx((units - 1) / units)


def test_zeros_and_extremes_have_their_bins() -> None:
    histogram = watch(nn.ReLU(), torch.tensor([[0.0, 0.0, 1e9, float("inf")]]))[""].histogram
    assert histogram[NUM_BINS // 2] == histogram[-1] == 0.5
    assert bin_edges()[NUM_BINS // 2] < 0 < bin_edges()[NUM_BINS // 2 + 1]
    assert bin_edges()[-1] == pytest.approx(100)


def test_a_module_that_serves_layers_of_several_widths_has_an_entry_for_each() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(self.relu(x)[:, :2])

    found = watch(Shared(), torch.tensor([[1.0, -1.0, 1.0, 1.0]]))
    assert {name: layer.dead for name, layer in found.items()} == {"relu (4)": 0.25, "relu (2)": 0.5}


def test_only_layers_are_watched_and_only_while_on() -> None:
    network = nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 3)), nn.Dropout(0.5), nn.Flatten(), nn.ReLU())
    assert list(watch(network, torch.randn(4, 3))) == ["0", "3"]
    activations = Activations(network)
    network(torch.randn(4, 3))
    assert activations.take()[0] == []
    activations.on = True
    activations.remove()
    network(torch.randn(4, 3))
    assert activations.take()[0] == []


@pytest.mark.parametrize("lengths", [None, torch.tensor([4, 2])])
def test_a_recurrent_layer_is_measured_once(lengths: Tensor | None) -> None:
    """With padding, torch's module is not called; without it, both modules are."""
    layer, x = Recurrent("lstm", 3, 5), torch.randn(2, 4, 3)
    network, activations = nn.ModuleDict({"recurrent": layer}), None
    activations = Activations(network)
    activations.on = True
    outputs, _ = layer(x, lengths)
    found = statistics(*activations.take())
    assert len(found) == 1
    assert next(iter(found.values())).mean == pytest.approx(outputs.mean().item(), abs=1e-6)


def test_half_precision_is_summed_in_float32() -> None:
    x = torch.full((1, 4000), 1.0, dtype=torch.bfloat16)
    assert watch(nn.ReLU(), x)[""].mean == 1.0
