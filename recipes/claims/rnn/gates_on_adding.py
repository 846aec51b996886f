"""When the gates of an LSTM open on the adding problem (Hochreiter & Schmidhuber, 1997), before and after training.

python recipes/claims/rnn/gates_on_adding.py [--full]        half a minute on one CPU core; --full about two

A sequence holds values in [0, 1]. Two of them are marked, and the target is the sum of these two. A trained network reads new
sequences, and each gate is averaged over the marked steps and over all other steps. The averages are taken over all units, and
for the single unit whose final cell state correlates most with the target, chosen on other sequences. Controls: the same
network before training, and a network trained with markers at random steps, so that opening at a marker is useless.

Shapes: B batch, T steps, H hidden size.
"""

import sys
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from zoo.cli.claims import Claim, Row, judge, main
from zoo.nn.cells import Kind, LSTMCell
from zoo.nn.recurrent import Recurrent, cells_of

CLAIM = "An LSTM's input gate learns to open at the steps that matter and to close elsewhere."
OPEN, CLOSED = 0.5, 0.25  # a gate counts as open if its mean is above 0.5, and as closed if it is below 0.25
BATCH_SIZE, LR = 64, 0.01
NETWORKS = ("trained", "untrained", "markers at random")


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_steps: int  # T
    hidden_dim: int
    num_updates: int
    num_tests: int  # number of sequences to average the gates over


FAST = Sizes(num_seeds=3, num_steps=30, hidden_dim=32, num_updates=1000, num_tests=500)
FULL = Sizes(num_seeds=5, num_steps=40, hidden_dim=32, num_updates=1500, num_tests=2000)
SMALLEST = FAST._replace(num_seeds=2, num_steps=10, hidden_dim=4, num_updates=2, num_tests=30)
CONTROLS = {"network": ["untrained", "markers at random"]}


class Adder(nn.Module):
    """A recurrent layer and a linear layer on its final state: x (B, T, 2) to (B,)."""

    def __init__(self, kind: Kind, hidden_dim: int) -> None:
        super().__init__()
        self.recurrent = Recurrent(kind, 2, hidden_dim)
        self.head = nn.Linear(hidden_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Predict the sum."""
        return self.head(self.recurrent(x)[1])[:, 0]


class Gates(NamedTuple):
    """Gates of an LSTM on sequences x with targets y."""

    x: Tensor  # (B, T, 2)
    y: Tensor  # (B,)
    input: Tensor  # (B, T, H)
    forget: Tensor  # (B, T, H)
    final: Tensor  # (B, H), cell state after the last step

    @property
    def marked(self) -> Tensor:
        """Return which steps are marked: (B, T) bool."""
        return self.x[:, :, 1] > 0


def adding(batch_size: int, num_steps: int, generator: torch.Generator, *, told: bool = True) -> tuple[Tensor, Tensor]:
    """Draw values and markers (B, T, 2), one marker in each half, and the sum of the marked values (B,).

    If `told` is false, values and sums are the same, but the visible markers are at other, random steps.
    """
    values, half = torch.rand(batch_size, num_steps, generator=generator), num_steps // 2

    def markers() -> Tensor:
        first = torch.randint(0, half, (batch_size,), generator=generator)
        second = torch.randint(half, num_steps, (batch_size,), generator=generator)
        return (F.one_hot(first, num_steps) + F.one_hot(second, num_steps)).float()

    true = markers()
    return torch.stack([values, true if told else markers()], dim=2), (values * true).sum(1)


def train(net: Adder, num_updates: int, num_steps: int, generator: torch.Generator, *, told: bool = True) -> None:
    """Train with Adam, a cosine schedule and squared error, on new sequences at every update."""
    optimizer = torch.optim.Adam(net.parameters(), LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_updates)
    for _ in range(num_updates):
        x, y = adding(BATCH_SIZE, num_steps, generator, told=told)
        optimizer.zero_grad()
        F.mse_loss(net(x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()


@torch.no_grad()
def read_gates(net: Adder, x: Tensor, y: Tensor) -> Gates:
    """Run the equations of the LSTM over x (B, T, 2) and record its gates."""
    cell = cells_of(net.recurrent.layers)[0][0]
    assert isinstance(cell, LSTMCell)
    projected, state = cell.project(x), cell.initial_state(x)
    inputs, forgets = [], []
    for t in range(x.shape[1]):
        i, f, _, _ = cell.gates(projected[:, t], state)
        state = cell.advance(projected[:, t], state)
        inputs.append(i)
        forgets.append(f)
    return Gates(x, y, torch.stack(inputs, dim=1), torch.stack(forgets, dim=1), state[1])


def carrier(gates: Gates) -> int:
    """Return the unit whose final cell state correlates most with the target."""
    c, y = gates.final - gates.final.mean(0), gates.y - gates.y.mean()
    return int(((c * y[:, None]).mean(0) / (c.std(0) * y.std()).clamp(min=1e-12)).abs().argmax())


def means(gate: Tensor, marked: Tensor) -> list[float]:
    """Average a gate (B, T) over the marked steps, and over the others."""
    return [gate[marked].mean().item(), gate[~marked].mean().item()]


def measure(full: bool) -> Claim:
    """Measure the gates at marked and other steps. The claim holds if the mean over all units is open and closed as stated."""
    sizes = FULL if full else FAST
    measured: dict[tuple[str, str], list[list[float]]] = {}
    for seed in range(sizes.num_seeds):
        for network in NETWORKS:
            torch.manual_seed(seed)
            generator, told = torch.Generator().manual_seed(seed), network != "markers at random"
            net = Adder("lstm", sizes.hidden_dim)
            if network != "untrained":
                train(net, sizes.num_updates, sizes.num_steps, generator, told=told)
            unit = carrier(read_gates(net, *adding(sizes.num_tests, sizes.num_steps, generator, told=told)))
            gates = read_gates(net, *adding(sizes.num_tests, sizes.num_steps, generator, told=told))
            with torch.no_grad():
                error = F.mse_loss(net(gates.x), gates.y).item()
            if seed == 0 and network == "trained":
                example = gates, unit
            for units, chosen in (("all", slice(None)), ("carrier", unit)):
                views = [gate[:, :, chosen].reshape(*gate.shape[:2], -1).mean(2) for gate in (gates.input, gates.forget)]
                both = [value for view in views for value in means(view, gates.marked)]
                measured.setdefault((network, units), []).append([error, *both])
    rows = [_row(network, units, torch.tensor(values)) for (network, units), values in measured.items()]
    of_carrier, of_all, before = (
        torch.tensor(measured[key])[:, 1:3] for key in (("trained", "carrier"), ("trained", "all"), ("untrained", "all"))
    )
    one, layer = (bool((each[:, 0] > OPEN).all() and (each[:, 1] < CLOSED).all()) for each in (of_carrier, of_all))
    shown = [value for each in (of_carrier, of_all, before) for value in each.mean(0).tolist()]
    found = "open at marked steps and elsewhere: {:.2f} and {:.2f} in the unit that carries the sum, ".format(*shown[:2])
    found += "{:.2f} and {:.2f} over all units, {:.2f} and {:.2f} before training".format(*shown[2:])
    if one and not layer:
        found += ". The one unit does as stated, the layer does not"
    return Claim(CLAIM, found, judge(layer), list(range(sizes.num_seeds)), rows, _draw(*example, rows))


def _row(network: str, units: str, values: Tensor) -> Row:
    """Average values (seeds, 5) over seeds, and compute the deviation of the difference between the input gate's two means."""
    names = ("squared error", "input marked", "input other", "forget marked", "forget other")
    row: Row = {"network": network, "units": units, **dict(zip(names, values.mean(0).tolist(), strict=True))}
    difference = values[:, 1] - values[:, 2]
    sd = difference.std().item() if len(values) > 1 else 0.0
    return {**row, "input difference": difference.mean().item(), "sd": sd}


def _draw(gates: Gates, unit: int, rows: list[Row]) -> Figure:
    """Draw the gates over the first sequence, and the means of all networks beside them."""
    figure = Figure(figsize=(12, 5.5), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=[1.7, 1])
    panels, axes, steps = halves[0].subplots(3, 1, sharex=True), halves[1].subplots(), torch.arange(gates.x.shape[1]).tolist()
    panels[0].bar(
        steps, gates.x[0, :, 0].tolist(), color=["tab:orange" if marked else "lightgrey" for marked in gates.marked[0]]
    )
    panels[0].set_ylabel("value")
    panels[0].set_title("One test sequence of a trained network: marked steps in orange", fontsize=10)
    for panel, name, gate in zip(panels[1:], ("input", "forget"), (gates.input, gates.forget), strict=True):
        panel.plot(steps, gate[0], color="lightgrey", linewidth=0.7)
        panel.plot(steps, gate[0].mean(1), color="black", label="mean of all units")
        panel.plot(steps, gate[0, :, unit], color="tab:blue", marker=".", label="unit that carries the sum")
        for step in gates.marked[0].nonzero()[:, 0].tolist():
            panel.axvline(step, color="tab:orange", alpha=0.4, linewidth=6, zorder=0)
        panel.set_ylim(-0.03, 1.03)
        panel.set_ylabel(f"{name} gate")
    panels[2].legend(loc="lower right", fontsize=8)  # the gates leave room there
    panels[2].set_xlabel("step")
    places = list(range(len(rows)))[::-1]
    for key, colour, label in (("input marked", "tab:orange", "at marked steps"), ("input other", "grey", "elsewhere")):
        axes.scatter([row[key] for row in rows], places, color=colour, label=label, zorder=2)
    for row, place in zip(rows, places, strict=True):
        axes.plot([row["input marked"], row["input other"]], [place] * 2, color="lightgrey", zorder=1)
    names = {"all": "mean of all units", "carrier": "unit that carries"}
    axes.set_yticks(places, [f"{row['network']}\n{names[row['units']]}" for row in rows], fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_xlabel("mean input gate, over sequences and seeds")
    axes.set_title("Against networks without the cause", fontsize=10)
    axes.legend(loc="lower right", fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
