"""How fast gradients of recurrent networks vanish with the time lag (Bengio et al., 1994; Pascanu et al., 2013).

python recipes/claims/rnn/vanishing_gradients.py [--full]        seconds on one CPU core; --full some minutes: it trains

The last state is projected on a random direction. The gradient of this number with respect to the input k steps earlier has a
norm, which is measured relative to k = 0, as a geometric mean over sequences of standard normal inputs, in double precision.
The norm falls by a nearly constant factor per step. The slope of a line through its logarithm gives this factor.

Each network is measured with torch's initialisation (all weights uniform in 1/sqrt(H)) and with the zoo's (orthogonal recurrent
weights, forget bias 1). With --full it is also measured after training on the adding problem, on sequences of that problem.
Controls: an LSTM whose forget gate is shut, neutral or held open; and a linear RNN with orthogonal weights, which has no tanh
and keeps the norm.

Shapes: B batch, T steps, I input size, H hidden size.
"""

import sys
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from recipes.claims.rnn.gates_on_adding import Adder, adding, train
from zoo.cli.claims import Claim, Row, judge, main
from zoo.nn.cells import CELLS, Cell, Kind, RNNCell, State, scan
from zoo.nn.recurrent import Recurrent, cells_of

CLAIM = "A vanilla RNN's gradient vanishes with the time lag; an LSTM's and a GRU's do not."
VANISHED = 0.01  # a gradient has vanished if less than this share is left after LAG steps
LAG = 100
LEFT = f"left after {LAG}"
WARM_UP = 20  # steps that are read before the measured ones, because states start at 0
NAMES: dict[Kind, str] = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
TITLES = {
    "torch": "As torch starts them",
    "zoo": "As the zoo starts them",
    "trained": "Trained on the adding problem",
    "control": "Cause removed, or put in",
}
FORGET_BIASES = {"shut": -10.0, "neutral": 0.0, "held open": 3.0}


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_lags: int
    hidden_dim: int
    input_dim: int
    batch_size: int
    num_updates: int  # on the adding problem; 0 trains no network
    num_steps: int  # of the training sequences


FAST = Sizes(num_seeds=3, num_lags=100, hidden_dim=32, input_dim=16, batch_size=32, num_updates=0, num_steps=40)
FULL = FAST._replace(num_seeds=5, num_lags=200, num_updates=1000)
SMALLEST = FAST._replace(num_seeds=2, hidden_dim=8, batch_size=4)
CONTROLS = {"network": ["linear orthogonal RNN", "LSTM, forget gate held open", "LSTM, forget gate shut"]}


class LinearCell(RNNCell):
    """Linear cell h' = W_ih x + W_hh h + b with orthogonal W_hh, which preserves the norm of every gradient."""

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__(input_dim, hidden_dim)
        nn.init.orthogonal_(self.weight_hh)

    def advance(self, projected: Tensor, state: State) -> State:
        """Compute the next state, without a tanh."""
        return (projected + nn.functional.linear(state[0], self.weight_hh, self.bias_hh),)


def zoo_cell(kind: Kind, input_dim: int, hidden_dim: int, forget_bias: float | None = None) -> Cell:
    """Return a cell with the initialisation of `Recurrent`. `forget_bias` replaces an LSTM's 1."""
    cell = cells_of(Recurrent(kind, input_dim, hidden_dim).layers)[0][0]
    if forget_bias is not None:
        nn.init.constant_(cell.bias_ih.detach()[hidden_dim : 2 * hidden_dim], forget_bias)
    return cell


def trained_cell(kind: Kind, sizes: Sizes, seed: int) -> Cell:
    """Return a cell with the initialisation of `Recurrent`, trained on the adding problem."""
    net = Adder(kind, sizes.hidden_dim)
    train(net, sizes.num_updates, sizes.num_steps, torch.Generator().manual_seed(seed))
    return cells_of(net.recurrent.layers)[0][0]


def log_gradients(cell: Cell, x: Tensor, num_lags: int) -> Tensor:
    """Compute log10 of the gradient norm at lags 0 to `num_lags` relative to lag 0, for x (B, T, I)."""
    x = x.double().requires_grad_()
    outputs, _ = scan(cell.double(), x)
    direction = torch.randn_like(outputs[:, -1])
    (gradient,) = torch.autograd.grad((outputs[:, -1] * direction).sum(), x)
    logs = gradient.norm(dim=2).log10().mean(0).flip(0)[: num_lags + 1]
    return logs - logs[0]


def slope(logs: Tensor) -> float:
    """Fit a line to the logarithms, without the first lags, which depend on the last step, and return its factor per step."""
    lags = torch.arange(len(logs), dtype=logs.dtype)[5:]
    lags, logs = lags - lags.mean(), logs[5:] - logs[5:].mean()
    return 10 ** ((lags * logs).sum() / (lags * lags).sum()).item()


def curves(sizes: Sizes, seed: int) -> dict[tuple[str, str], Tensor]:
    """Compute the logarithms by lag, for each initialisation and network."""
    dims, steps = (sizes.input_dim, sizes.hidden_dim), sizes.num_lags + WARM_UP + 1
    torch.manual_seed(seed)
    cells: dict[tuple[str, str], Cell] = {}
    for kind, name in NAMES.items():
        cells["torch", name] = CELLS[kind](*dims)
        cells["zoo", name] = zoo_cell(kind, *dims)
    for how, bias in FORGET_BIASES.items():
        cells["control", f"LSTM, forget gate {how}"] = zoo_cell("lstm", *dims, forget_bias=bias)
    cells["control", "linear orthogonal RNN"] = LinearCell(*dims)
    x = torch.randn(sizes.batch_size, steps, sizes.input_dim)
    found = {key: log_gradients(cell, x, sizes.num_lags) for key, cell in cells.items()}
    if sizes.num_updates:
        x, _ = adding(sizes.batch_size, steps, torch.Generator().manual_seed(seed + 1000))
        for kind, name in NAMES.items():
            found["trained", name] = log_gradients(trained_cell(kind, sizes, seed), x, sizes.num_lags)
    return dict(sorted(found.items(), key=lambda item: list(TITLES).index(item[0][0])))


def measure(full: bool) -> Claim:
    """Measure the factor per step and the share left after LAG steps. The claim is judged with torch's initialisation."""
    sizes = FULL if full else FAST
    of_seeds = [curves(sizes, seed) for seed in range(sizes.num_seeds)]
    stacked = {key: torch.stack([each[key] for each in of_seeds]) for key in of_seeds[0]}
    rows = {key: _row(*key, logs) for key, logs in stacked.items()}

    def left(start: str) -> str:
        return ", ".join(f"{name} {rows[start, name][LEFT]:.0e}" for name in NAMES.values())

    found = f"share left after {LAG} steps as torch starts them: {left('torch')}; as the zoo does: {left('zoo')}"
    if sizes.num_updates:
        found += f"; trained on the adding problem: {left('trained')}"
    shut, opened = (rows["control", f"LSTM, forget gate {how}"]["per step"] for how in ("shut", "held open"))
    found += f". An LSTM keeps {shut:.2f} a step with its forget gate shut, {opened:.2f} with it held open"
    lost = {name: rows["torch", name]["vanishes"] == "yes" for name in NAMES.values()}
    holds = lost["RNN"] and not lost["LSTM"] and not lost["GRU"]
    verdict = judge(holds, in_part=lost["RNN"])
    return Claim(CLAIM, found, verdict, list(range(sizes.num_seeds)), list(rows.values()), _draw(stacked))


def _row(start: str, network: str, logs: Tensor) -> Row:
    """Compute the mean and deviation of the slope over seeds, and the share left, from logs (seeds, lags + 1)."""
    slopes = torch.tensor([slope(each) for each in logs])
    left = 10 ** logs[:, LAG].mean().item()
    return {
        "start": start,
        "network": network,
        "per step": slopes.mean().item(),
        "sd": slopes.std().item() if len(slopes) > 1 else 0.0,
        LEFT: left,
        "vanishes": "yes" if left < VANISHED else "no",
    }


def _draw(stacked: dict[tuple[str, str], Tensor]) -> Figure:
    """Draw one panel per initialisation: the mean over seeds and its range, by lag."""
    starts = list(dict.fromkeys(start for start, _ in stacked))
    figure = Figure(figsize=(4.2 * len(starts), 5), layout="constrained")
    panels = figure.subplots(1, len(starts), sharey=True, squeeze=False)[0]
    for start, axes in zip(starts, panels, strict=True):
        axes.set_title(TITLES[start], fontsize=11)
        axes.axhline(0, color="lightgrey", linewidth=0.8)
        if start == "control":  # these are other networks than in the other panels
            axes.set_prop_cycle(color=["tab:purple", "tab:brown", "tab:red", "black"])
        for (_, network), logs in ((key, logs) for key, logs in stacked.items() if key[0] == start):
            rate = torch.tensor([slope(each) for each in logs]).mean().item()
            (line,) = axes.plot(logs.mean(0), label=f"{network}: {rate:.2f} per step")
            axes.fill_between(range(logs.shape[1]), logs.amin(0), logs.amax(0), color=line.get_color(), alpha=0.25)
        axes.set_xlabel("lag $k$, in steps")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), fontsize=9, frameon=False)
    panels[0].set_ylabel(r"gradient at the input $k$ steps back, $\log_{10}$")
    panels[0].set_ylim(-0.3 * logs.shape[1], 0.03 * logs.shape[1])
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
