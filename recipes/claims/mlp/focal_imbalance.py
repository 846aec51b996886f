"""Does focal loss help where one class is rare? (Lin et al., 2017; Mukhoti et al., 2020).

python recipes/claims/mlp/focal_imbalance.py [--full]        seconds on one CPU core; --full four minutes

MLPs separate two classes in the plane whose four normal clusters lie as in XOR and overlap. In the training and in the test
data 2 % of the points are positive. The arms are the losses, from equal weights and with the same batches:

- cross-entropy
- focal loss with gamma = 2: each point's cross-entropy times (1 - p_t)^2, where p_t is the probability of its class
- focal loss with alpha = 0.25 for positives and 0.75 for negatives, as in the paper. The formula of the reference has one
  alpha for all points, which only scales the loss, and p where p_t is meant
- cross-entropy with class weights, so that both classes weigh the same
- cross-entropy, but a point counts as positive from a probability of 0.02, the share of positives, instead of 0.5

Measured are the recall of positives, the mean recall of both classes (macro), the average precision, which does not depend on
a threshold, and the expected calibration error over 15 bins.

Control: balanced data, 50 % positives.

Criterion, stated before the full measurement. Focal loss with gamma = 2 helps if its mean macro recall is at least 0.02 above
that of cross-entropy, and its average precision at most 0.01 below. The claim holds if it helps with 2 % of positives and not
in the control, and in part if instead the average precision is at least 0.01 above cross-entropy's with 2 %. If the macro
recall of cross-entropy on balanced data is below 0.85, the verdict is "cannot tell".

Where focal loss is smallest: at a probability that is a rising function of the true one and equal to it at 0.5. So with enough
data neither the order of points nor the decision at 0.5 changes; predictions only become less certain.
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision, binary_calibration_error

from zoo.cli.claims import Claim, Row, judge, main
from zoo.mlp.mlp import MLPNet

CLAIM = "Focal loss helps where classes are imbalanced."
MORE = 0.02  # macro recall
LESS = 0.01  # average precision
TRAINED = 0.85  # macro recall of cross-entropy on balanced data
RARE = 0.02  # share of positives
GAMMA = 2.0
NUM_BINS = 15
MOVED = "cross-entropy, threshold moved"
SPREAD = 0.6  # of each cluster
Loss = Callable[[Tensor, Tensor], Tensor]  # logits (B,) and classes (B,) in {0., 1.} to a mean


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_train: int
    num_test: int
    num_updates: int


class Arm(NamedTuple):
    """A loss, and the probability from which a point counts as positive."""

    loss: Loss
    threshold: float = 0.5


FAST = Sizes(num_seeds=1, num_train=5000, num_test=20_000, num_updates=300)
FULL = FAST._replace(num_seeds=5, num_test=50_000, num_updates=1500)
SMALLEST = FAST._replace(num_seeds=2, num_train=300, num_test=500, num_updates=3)
CONTROLS = {"positives": [0.5]}


def focal(logits: Tensor, y: Tensor, alpha: float | None = None, gamma: float = GAMMA) -> Tensor:
    """Compute the mean of -alpha_t (1 - p_t)^gamma log(p_t); without `alpha`, alpha_t is 1."""
    signed = torch.where(y > 0, logits, -logits)  # p_t is its sigmoid
    alpha_t = torch.ones_like(y) if alpha is None else torch.where(y > 0, alpha, 1 - alpha)
    return -(alpha_t * torch.sigmoid(-signed) ** gamma * F.logsigmoid(signed)).mean()


def arms(share: float) -> dict[str, Arm]:
    """Return all arms for a share of positives."""
    weight = torch.tensor((1 - share) / share)
    return {
        "cross-entropy": Arm(F.binary_cross_entropy_with_logits),
        "focal": Arm(focal),
        "focal, alpha 0.25": Arm(lambda logits, y: focal(logits, y, alpha=0.25)),
        "class weights": Arm(lambda logits, y: F.binary_cross_entropy_with_logits(logits, y, pos_weight=weight)),
        MOVED: Arm(F.binary_cross_entropy_with_logits, threshold=share),
    }


def draw(num: int, share: float) -> tuple[Tensor, Tensor]:
    """Draw points (num, 2) and classes (num,): positives around (1, 1) and (-1, -1), negatives around (1, -1) and (-1, 1)."""
    y = (torch.rand(num) < share).float()
    side = torch.randint(2, (num,)) * 2.0 - 1
    centre = torch.stack([side, torch.where(y > 0, side, -side)], 1)
    return centre + SPREAD * torch.randn(num, 2), y


def predict(arm: Arm, share: float, seed: int, sizes: Sizes) -> tuple[Tensor, Tensor]:
    """Train a network; return its probabilities for test points (N,) and their classes (N,)."""
    torch.manual_seed(seed)
    (x, y), (x_test, y_test) = draw(sizes.num_train, share), draw(sizes.num_test, share)
    net = MLPNet((2,), 1, [32, 32])
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, sizes.num_updates)
    for _ in range(sizes.num_updates):
        rows = torch.randint(len(x), (250,))
        loss = arm.loss(net(x[rows])[:, 0], y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return torch.sigmoid(net(x_test)[:, 0]), y_test


def scores(probabilities: Tensor, y: Tensor, threshold: float) -> dict[str, float]:
    """Compute recalls, average precision and calibration error."""
    positive = probabilities > threshold
    recall, specificity = positive[y > 0].float().mean().item(), (~positive[y == 0]).float().mean().item()
    return {
        "recall": recall,
        "macro recall": (recall + specificity) / 2,
        "average precision": binary_average_precision(probabilities, y.long()).item(),
        "ece": binary_calibration_error(probabilities, y.long(), NUM_BINS).item(),
    }


def measure(full: bool) -> Claim:
    """Train all arms, and judge them by the criterion above."""
    sizes = FULL if full else FAST
    rows: dict[tuple[float, str], Row] = {}
    predicted: dict[str, tuple[Tensor, Tensor]] = {}
    for share in (RARE, 0.5):
        found: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for name, arm in arms(share).items():
            if name != MOVED:  # it has the probabilities of cross-entropy
                found[name] = [predict(arm, share, seed, sizes) for seed in range(sizes.num_seeds)]
            of_seeds = found["cross-entropy" if name == MOVED else name]
            rows[share, name] = _row(share, name, [scores(*each, arm.threshold) for each in of_seeds])
        if share == RARE:
            predicted = {
                name: (torch.cat([p for p, _ in each]), torch.cat([y for _, y in each])) for name, each in found.items()
            }

    def gain(share: float, column: str) -> float:
        return rows[share, "focal"][column] - rows[share, "cross-entropy"][column]

    helps = {share: gain(share, "macro recall") >= MORE and gain(share, "average precision") >= -LESS for share in (RARE, 0.5)}
    in_part = gain(RARE, "average precision") >= LESS
    names = ("macro recall", "average precision", "ece")
    measured = f"macro recall, average precision and calibration error with {RARE:.0%} positives: " + "; ".join(
        f"{name} " + ", ".join(f"{row[column]:.3f}" for column in names) for (share, name), row in rows.items() if share == RARE
    )
    trained = rows[0.5, "cross-entropy"]["macro recall"] >= TRAINED
    verdict = judge(helps[RARE] and not helps[0.5], in_part=in_part, trained=trained)
    return Claim(CLAIM, measured, verdict, list(range(sizes.num_seeds)), list(rows.values()), _draw(rows, predicted))


def _row(share: float, name: str, values: list[dict[str, float]]) -> Row:
    """Average over seeds, with the standard deviation of the macro recall."""
    columns = {column: torch.tensor([each[column] for each in values]) for column in values[0]}
    row: Row = {"positives": share, "loss": name, **{column: value.mean().item() for column, value in columns.items()}}
    row["sd"] = columns["macro recall"].std().item() if len(values) > 1 else 0.0
    return row


def _draw(rows: dict[tuple[float, str], Row], predicted: dict[str, tuple[Tensor, Tensor]]) -> Figure:
    """Draw the scores with rare positives, and how often points of a predicted probability are positive."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    bars, reliability = figure.subplots(1, 2)
    columns = ("recall", "macro recall", "average precision", "ece")
    for place, name in enumerate(arms(RARE)):
        values = [rows[RARE, name][column] for column in columns]
        bars.bar([number + 0.16 * (place - 2) for number in range(len(columns))], values, width=0.16, label=name)
    bars.set_xticks(range(len(columns)), [*columns[:3], "calibration error"])
    bars.set_ylim(0, 1)
    bars.set_ylabel(f"with {RARE:.0%} positives")
    bars.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    reliability.plot([0, 1], [0, 1], color="lightgrey")
    for name, (probabilities, y) in predicted.items():
        number = (probabilities * NUM_BINS).long().clamp(max=NUM_BINS - 1)
        counts = number.bincount(minlength=NUM_BINS)
        enough = counts >= 50  # fewer points say little about their class
        means = [number.bincount(value, minlength=NUM_BINS) / counts.clamp(min=1) for value in (probabilities, y)]
        reliability.plot(*(mean[enough] for mean in means), "o-", markersize=4, label=name)
    reliability.set_xlabel("predicted probability of the rare class")
    reliability.set_ylabel("share that is of the rare class")
    reliability.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
