"""Scripts of the claims: each runs at its smallest size with its controls, and measures what its docstring says."""

import functools
import json
import math
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
import torch
from torch import nn

from zoo.cli.claims import Claim, Row, Verdict, _load, claim_paths, description, results_path, sentence
from zoo.cli.names import ROOT
from zoo.nn.cells import RNNCell
from zoo.training.quiet import keep_quiet

TIMED = {"tokens/s", "times as fast", "spread"}  # columns that differ from run to run


def load(name: str) -> ModuleType:
    module: ModuleType = _load(claim_paths()[name])
    return module


def measured(name: str) -> Claim:
    module = load(name)
    module.FAST = module.SMALLEST
    keep_quiet()  # as `zoo claims` does
    claim: Claim = module.measure(full=False)
    return claim


def controls(name: str) -> set[tuple[str, str]]:
    """Return the columns and the values that mark the control rows of a claim."""
    return {(column, value) for column, values in load(name).CONTROLS.items() for value in values}


def of_columns(name: str, rows: list[Row]) -> set[tuple[str, str]]:
    """Return the values of the columns that mark control rows."""
    return {(column, row[column]) for column in load(name).CONTROLS for row in rows}


def test_every_script_is_found() -> None:
    assert set(claim_paths().values()) == set((ROOT / "claims").rglob("*.py"))


@pytest.mark.parametrize("name", claim_paths())
def test_every_script_describes_its_arms(name: str) -> None:
    text = description(claim_paths()[name])
    assert len(text) > 200
    assert "python recipes" not in text


first_measured = functools.cache(measured)


@pytest.mark.parametrize("name", claim_paths())
def test_measures_with_its_controls(name: str, tmp_path: Path) -> None:
    claim = first_measured(name)
    assert claim.claim == sentence(claim_paths()[name])
    assert claim.measured
    assert claim.verdict in get_args(Verdict)
    assert claim.seeds == list(range(load(name).SMALLEST.num_seeds))  # a closed form has none
    assert controls(name) <= of_columns(name, claim.rows)
    numbers = [value for row in claim.rows for value in row.values() if isinstance(value, int | float)]
    assert numbers
    assert all(map(math.isfinite, numbers))
    assert len({tuple(row) for row in claim.rows}) == 1
    claim.figure.savefig(tmp_path / "picture.png")


@pytest.mark.parametrize("name", claim_paths())
def test_the_same_seeds_measure_the_same(name: str) -> None:
    claims = first_measured(name), measured(name)
    rows = [[{key: row[key] for key in row.keys() - TIMED} for row in claim.rows] for claim in claims]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", claim_paths())
def test_what_is_kept_is_of_the_script_as_it_stands(name: str) -> None:
    result = json.loads(results_path(claim_paths()[name]).read_text())
    assert result["claim"] == sentence(claim_paths()[name])
    assert result["command"] == f"zoo claims {name} --full"
    assert len(result["seeds"]) == load(name).FULL.num_seeds
    assert controls(name) <= of_columns(name, result["rows"])


def test_a_slope_is_the_factor_per_step() -> None:
    assert load("vanishing_gradients").slope(torch.arange(40.0) * math.log10(0.8)) == pytest.approx(0.8)


def test_gradients_by_lag_are_products_of_the_recurrent_weight() -> None:
    """For one linear unit with weight w, the gradient k steps back is w to the power of k."""
    module = load("vanishing_gradients")
    cell = module.LinearCell(1, 1)
    nn.init.constant_(cell.weight_hh, 0.7)
    logs = module.log_gradients(cell, torch.randn(3, 12, 1), num_lags=10)
    assert 10**logs == pytest.approx([0.7**lag for lag in range(11)])


def test_the_linear_orthogonal_network_keeps_gradients_and_its_tanh_loses_them() -> None:
    module = load("vanishing_gradients")
    torch.manual_seed(0)
    linear, x = module.LinearCell(8, 8), torch.randn(4, 60, 8)
    with_tanh = RNNCell(8, 8)
    with_tanh.load_state_dict(linear.state_dict())
    nn.init.orthogonal_(linear.weight_ih)  # so that it preserves norms too
    assert module.log_gradients(linear, x, 50) == pytest.approx([0.0] * 51, abs=1e-5)
    assert module.slope(module.log_gradients(with_tanh, x, 50)) < 0.95


def test_the_forget_gate_decides_how_long_an_lstm_remembers() -> None:
    rows = {row["network"]: row["per step"] for row in measured("vanishing_gradients").rows if row["start"] == "control"}
    assert rows["LSTM, forget gate shut"] < rows["LSTM, forget gate neutral"] < rows["LSTM, forget gate held open"]


def test_the_answer_is_the_sum_of_the_marked_values_and_markers_can_be_made_to_lie() -> None:
    adding = load("gates_on_adding").adding
    (told, y), (untold, same) = (adding(500, 11, torch.Generator().manual_seed(0), told=told) for told in (True, False))
    assert told.shape == (500, 11, 2)
    for x in (told, untold):
        assert x[:, :, 0].aminmax().min >= 0
        assert x[:, :5, 1].sum(1).eq(1).all()  # one marker in each half
        assert x[:, 5:, 1].sum(1).eq(1).all()
    assert torch.equal(y, same)
    assert torch.equal(told[:, :, 0], untold[:, :, 0])
    assert torch.allclose(y, (told[:, :, 0] * told[:, :, 1]).sum(1))
    assert torch.corrcoef(torch.stack([y, (untold[:, :, 0] * untold[:, :, 1]).sum(1)]))[0, 1] < 0.4


def test_gates_are_read_at_their_steps_and_the_carrier_is_the_unit_that_follows_the_answer() -> None:
    """An input gate whose weights are set by hand to follow the marker opens at the marked steps only."""
    module = load("gates_on_adding")
    torch.manual_seed(0)
    net, hidden_dim = module.Adder("lstm", 3), 3
    layers = net.recurrent.layers
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.zero_()
        layers.weight_ih_l0[1, 1] = 20.0  # the input gate of unit 1 opens at a marker
        layers.bias_ih_l0[1] = -10.0
        layers.bias_ih_l0[hidden_dim : 2 * hidden_dim] = 10.0  # nothing is forgotten
        layers.weight_ih_l0[2 * hidden_dim + 1, 0] = 0.1  # unit 1 writes the value
        layers.weight_ih_l0[2 * hidden_dim + 2, 0] = 0.1  # unit 2 writes it at every step
    x, y = module.adding(200, 12, torch.Generator().manual_seed(0))
    gates = module.read_gates(net, x, y)
    assert module.means(gates.input[:, :, 1], gates.marked) == pytest.approx([1.0, 0.0], abs=1e-3)
    assert module.means(gates.input[:, :, 2], gates.marked) == pytest.approx([0.5, 0.5])
    assert module.carrier(gates) == 1


@pytest.mark.parametrize("bidirectional", [True, False])
def test_padding_changes_unpacked_answers_only(bidirectional: bool) -> None:
    module = load("packing")
    data = module.made_up(40, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    net = module.train(data, 0, "zoo", bidirectional=bidirectional)
    alone = module.logits(net, data, 0, "unpacked")
    with torch.no_grad():
        assert torch.allclose(
            alone[7:8], net(data.x[7:8, : data.lengths[7]]), atol=1e-6
        )  # the logits are in the order of the sentences
        for mode in ("packed", "zoo"):  # also if sentences of all lengths share a batch
            assert torch.allclose(module.answer(net, data.x, data.lengths, mode), alone, atol=module.SAME)
            assert torch.allclose(module.logits(net, data, 100, mode), alone, atol=module.SAME)
    assert (module.logits(net, data, 100, "unpacked") - alone).abs().max() > 1e-3


def test_ways_to_make_batches_are_what_their_names_say() -> None:
    module = load("packing")
    data = module.made_up(64 * 20, torch.Generator().manual_seed(0))
    padding = {}
    for way in module.WAYS:
        widths = [(batch.x.shape[1], batch.lengths) for batch in module.batches(data, way)]
        padding[way] = sum(width * len(lengths) / int(lengths.sum()) for width, lengths in widths) / len(widths)
        assert (len({width for width, _ in widths}) == 1) == way.startswith("pad to max")
    assert padding["bucketed"] < 1.15 < padding["random"] < padding["pad to max"]
    assert padding["bucketed"] == padding["bucketed, packed"]


def test_sentences_are_real_where_there_are_any(mirror: Path) -> None:
    data, test, source = load("packing").sentences(100)
    assert (len(data.y), len(test.y), source) == (100, 872, "SST-2")
    assert data.x.shape == (100, int(data.lengths.max()))
    assert (data.x > 0).sum(1).equal(data.lengths)
    assert (data.x == 1).float().mean() < 0.01  # the vocabulary holds nearly all words of the training sentences


def test_without_them_they_are_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_DATA", raising=False)
    data, _, source = load("packing").sentences(200)
    assert source == "made-up sentences"
    assert (data.x > 0).sum(1).equal(data.lengths)
    for label in (0, 1):
        assert (data.x[data.y == label] == 2 + label).sum(1).eq(1).all()
        assert (data.x[data.y == label] != 3 - label).all()


def test_unrolling_by_no_steps_is_the_plain_game() -> None:
    """With equal weights the generator's losses are equal, so that the plain game is the control of unrolling."""
    module = load("mode_collapse")
    no_steps = module.Play(module.UnrolledGAN, {**module.UNROLLED, "unroll": 0})
    plain, control = (module.build(play) for play in (module.PLAYS["plain"], no_steps))
    control.load_state_dict(plain.state_dict())
    batch = module.draw(module.GaussianMixture(), 20)
    losses = []
    for model in (plain, control):
        torch.manual_seed(0)
        losses.append(model.g_step(batch, torch.tensor(0.0))[0].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_blind_discrimination_does_not_see_the_batch() -> None:
    module = load("mode_collapse")
    x = torch.randn(6, 2)
    for name, sees in (("minibatch discrimination", True), ("minibatch discrimination, blind", False)):
        discriminator = module.build(module.PLAYS[name]).discriminator
        assert torch.allclose(discriminator(x)[:1], discriminator(x[:1]), atol=1e-6) != sees


def test_all_games_are_played_by_the_same_networks() -> None:
    module = load("mode_collapse")
    shapes = [
        [p.shape for net in (model.generator, model.discriminator.features) for p in net.parameters()]
        for model in map(module.build, module.PLAYS.values())
    ]
    assert all(each == shapes[0] for each in shapes)


def test_the_matrix_of_a_layer_is_what_it_does() -> None:
    module = load("spectral_norm")
    conv, x = nn.Conv2d(2, 3, 4, stride=2, padding=1), torch.randn(1, 2, 6, 6)
    matrix = module.as_map(conv, x.shape[1:])
    assert torch.allclose(x.flatten(1) @ matrix, (conv(x) - conv(torch.zeros_like(x))).flatten(1), atol=1e-5)


def test_exact_estimates_make_every_flattened_weight_one() -> None:
    module = load("spectral_norm")
    torch.manual_seed(0)
    for architecture, widths in module.ARCHITECTURES.items():
        nets = module.build_networks(architecture, module.SHAPE, module.LATENT_DIM, widths, "spectral")
        module.make_exact(nets.discriminator, torch.zeros(1, *module.SHAPE))
        flattened, maps = module.norms_of_layers(nets.discriminator.eval())
        assert flattened == pytest.approx([1.0] * 3, abs=1e-3)
        assert (max(maps) > 1.2) == (architecture == "conv")


def test_gradients_of_the_losses_are_the_logits_times_what_each_lets_through() -> None:
    """Compare gradient norms with closed forms for a single sample.

    The derivative of log(1 - D) with respect to the logit is -D, that of -log D is D - 1.
    """
    module = load("minimax_gradient")
    torch.manual_seed(0)
    model = module.GAN((1, 8, 8), latent_dim=4, widths=(8,))
    z, p = model.noise(1), 0.1
    shift = math.log(p / (1 - p)) - model.discriminator(model.generator(z)).item()
    moment = module.observe(model, lambda x: model.discriminator(x) + shift, z)
    assert moment.p_fake == pytest.approx(p, rel=1e-4)
    assert moment.norms["minimax"] / moment.norms["logit"] == pytest.approx(p, rel=1e-3)
    assert moment.norms["non_saturating"] / moment.norms["logit"] == pytest.approx(1 - p, rel=1e-3)


def test_the_sliced_distance_of_a_shift_is_its_mean_projection() -> None:
    module = load("two_time_scales")
    x = torch.randn(100, 2)
    assert module.sliced_distance(x, x[torch.randperm(100)]) == pytest.approx(0, abs=1e-6)
    assert module.sliced_distance(x, x + torch.tensor([3.0, 4.0])) == pytest.approx(5 * 2 / math.pi, rel=1e-2)
