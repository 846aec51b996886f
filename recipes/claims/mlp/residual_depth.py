"""What do skip connections change in a network of 50 layers? (He et al., 2015 and 2016; Q4 of the interview questions).

python recipes/claims/mlp/residual_depth.py [--full]        seconds on one CPU core; --full three minutes

Networks of 25 blocks with two linear layers of 32 units each are trained on Digits. The arms have equal weights and batches,
and F is the same two layers with a ReLU between them:

- plain: relu(F(x))
- post-activation: relu(F(x) + x), the block of the reference
- pre-activation: F(relu(x)) + x, so that nothing stands on the skip path

They are measured in three settings: with torch's default initialisation, with He's, and with batch norm (before each ReLU).
Before training, the gradient of the cross-entropy at the input of the first block is divided by that at the input of the last
block (the signal), and the same is done for the gradients of the first weights in these blocks; both as geometric means over
seeds. After training with Adam, the accuracy on the training images is measured, because the question is what can be trained.

The reference says that a block learns the identity by F = 0. The error column shows the largest |block(x) - x| for a block
whose parameters are all 0 and standard normal inputs. A post-activation block then computes relu(x). That is the identity for
outputs of another such block, which are not negative, but not for other inputs.

A gradient that grows is not one that vanishes, but no good either. With He's weights each residual block doubles the variance
of its input, because F(x) has as much of it as x. Therefore residual networks have norms, or start with F near 0.

Control: 2 blocks instead of 25.

Criterion, stated before the full measurement. A residual network does what is claimed in a setting if both ratios are above
0.1 and its mean training accuracy is at least 0.1 above the plain network's. The claim holds if both kinds do so in all
settings and are the identity for F = 0. It holds in part if the pre-activation network does so in the setting with torch's
default initialisation, where nothing else helps. If in any setting no control network reaches an accuracy of 0.9, the verdict
is "cannot tell".
"""

import sys
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from recipes.claims.mlp.linear_collapse import Data, accuracy, digits, fit
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "Skip connections keep the gradient over 50 layers and let them train; a block with F = 0 is the identity."
KEPT = 0.1  # least ratio
GAIN = 0.1  # accuracy over the plain network
TRAINED = 0.9  # accuracy of the control
LR = 3e-3
Kind = Literal["plain", "post-activation", "pre-activation"]
Setting = Literal["torch's init", "He's init", "batch norm"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SETTINGS: tuple[Setting, ...] = get_args(Setting)


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_blocks: tuple[int, int]  # of the deep networks, and of the control
    hidden_dim: int
    num_updates: int


class Found(NamedTuple):
    """A network: its gradients before training, and its accuracy after it."""

    signals: list[float]  # norms at the inputs of all blocks
    weights: float  # ratio of the norms, first / last block
    accuracy: float


FAST = Sizes(num_seeds=1, num_blocks=(25, 2), hidden_dim=32, num_updates=40)
FULL = FAST._replace(num_seeds=3, num_updates=120)
SMALLEST = FAST._replace(num_seeds=2, num_blocks=(3, 2), hidden_dim=8, num_updates=2)
CONTROLS = {"layers": [4], "network": ["plain"]}


class Block(nn.Module):
    """Two linear layers, with or without a skip connection: (B, H) to (B, H)."""

    def __init__(self, kind: Kind, hidden_dim: int, batch_norm: bool) -> None:
        super().__init__()
        self.kind = kind
        self.linear1, self.linear2 = nn.Linear(hidden_dim, hidden_dim), nn.Linear(hidden_dim, hidden_dim)
        self.norm1, self.norm2 = (nn.BatchNorm1d(hidden_dim) if batch_norm else nn.Identity() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output of the block."""
        if self.kind == "pre-activation":
            return x + self.linear2(F.relu(self.norm2(self.linear1(F.relu(self.norm1(x))))))
        residual = self.norm2(self.linear2(F.relu(self.norm1(self.linear1(x)))))
        return F.relu(residual + x if self.kind == "post-activation" else residual)


class DeepNet(nn.Module):
    """A linear layer, blocks, a ReLU and a linear output layer: (B, F) to (B, K)."""

    def __init__(self, kind: Kind, setting: Setting, input_dim: int, hidden_dim: int, num_blocks: int) -> None:
        super().__init__()
        self.input, self.output = nn.Linear(input_dim, hidden_dim), nn.Linear(hidden_dim, 10)
        self.blocks = nn.ModuleList(Block(kind, hidden_dim, setting == "batch norm") for _ in range(num_blocks))
        if setting == "He's init":
            for module in self.blocks.modules():
                if isinstance(module, nn.Linear):
                    nn.init.kaiming_normal_(module.weight)
                    nn.init.zeros_(module.bias)

    def states(self, x: Tensor) -> list[Tensor]:
        """Return the input of each block and the output of the last (B, H)."""
        states = [self.input(x)]
        for block in self.blocks:
            states.append(block(states[-1]))
        return states

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits."""
        return self.output(F.relu(self.states(x)[-1]))


def train(kind: Kind, setting: Setting, num_blocks: int, seed: int, data: Data, sizes: Sizes) -> Found:
    """Measure the gradients of a batch of 200 images, and train."""
    torch.manual_seed(seed)
    net = DeepNet(kind, setting, data.x.shape[1], sizes.hidden_dim, num_blocks).double()  # float32 would underflow
    states = net.states(data.x[:200].double())
    weights = [net.blocks[place].linear1.weight for place in (0, -1)]
    loss = F.cross_entropy(net.output(F.relu(states[-1])), data.y[:200])
    *signals, first, last = [gradient.norm().item() for gradient in torch.autograd.grad(loss, [*states[:-1], *weights])]
    net.float()
    fit(net, data, torch.optim.Adam(net.parameters(), lr=LR, fused=True), sizes.num_updates)
    return Found(signals, first / last, accuracy(net.eval(), data.x, data.y))


@torch.no_grad()
def identity_error(kind: Kind) -> float:
    """Return the largest |block(x) - x| of a block whose parameters are all 0, for 1000 standard normal inputs."""
    torch.manual_seed(0)
    block = Block(kind, 8, batch_norm=False)
    for parameter in block.parameters():
        parameter.zero_()
    x = torch.randn(1000, 8)
    return (block(x) - x).abs().max().item()


def measure(full: bool) -> Claim:
    """Train all networks, and judge them by the criterion above."""
    sizes = FULL if full else FAST
    data, deep = digits(), sizes.num_blocks[0]
    found = {
        (num, setting, kind): [train(kind, setting, num, seed, data, sizes) for seed in range(sizes.num_seeds)]
        for num in sizes.num_blocks
        for setting in SETTINGS
        for kind in KINDS
    }
    rows = {key: _row(*key, each) for key, each in found.items()}

    def does(setting: Setting, kind: Kind) -> bool:
        row, plain = rows[deep, setting, kind], rows[deep, setting, "plain"]
        return min(row["signal"], row["weights"]) > KEPT and row["accuracy"] >= plain["accuracy"] + GAIN

    residual = KINDS[1:]
    holds = all(does(setting, kind) for setting in SETTINGS for kind in residual)
    identity = all(rows[deep, "torch's init", kind]["error if F = 0"] == 0 for kind in residual)
    best = [max(rows[sizes.num_blocks[1], setting, kind]["accuracy"] for kind in KINDS) for setting in SETTINGS]
    measured = f"signal first / last, and training accuracy, of {2 * deep} layers: " + "; ".join(
        f"{setting}: "
        + ", ".join(
            f"{kind} {rows[deep, setting, kind]['signal']:.1g}, {rows[deep, setting, kind]['accuracy']:.2f}" for kind in KINDS
        )
        for setting in SETTINGS
    )
    verdict = judge(holds and identity, in_part=does("torch's init", "pre-activation"), trained=min(best) >= TRAINED)
    return Claim(CLAIM, measured, verdict, list(range(sizes.num_seeds)), list(rows.values()), _draw(found, deep))


def _row(num_blocks: int, setting: Setting, kind: Kind, found: list[Found]) -> Row:
    """Average over seeds: ratios as geometric means."""
    signals = torch.tensor([each.signals[0] / each.signals[-1] for each in found])
    scores = torch.tensor([each.accuracy for each in found])
    return {
        "layers": 2 * num_blocks,
        "setting": setting,
        "network": kind,
        "signal": signals.log().mean().exp().item(),
        "weights": torch.tensor([each.weights for each in found]).log().mean().exp().item(),
        "accuracy": scores.mean().item(),
        "lowest": scores.min().item(),
        "error if F = 0": identity_error(kind),
    }


def _draw(found: dict[tuple[int, Setting, Kind], list[Found]], deep: int) -> Figure:
    """Draw the signal at each block of the deep networks, relative to the last block, one panel per setting."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    for setting, axes in zip(SETTINGS, figure.subplots(1, 3), strict=True):
        for kind in KINDS:
            signals = torch.tensor([each.signals for each in found[deep, setting, kind]]).log10()
            score = sum(each.accuracy for each in found[deep, setting, kind]) / len(signals)
            axes.plot(range(1, deep + 1), (signals - signals[:, -1:]).mean(0), label=f"{kind}: accuracy {score:.2f}")
        axes.axhline(0, color="lightgrey", linewidth=0.8, zorder=0)
        axes.set_title(setting)
        axes.set_xlabel("block")
        axes.legend(fontsize=9)
    figure.axes[0].set_ylabel("gradient relative to the last block, powers of 10")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
