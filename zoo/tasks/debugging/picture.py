"""Picture of the gradients, updates, dead units and activations of all layers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from zoo.tasks.debugging.activations import Statistics, bin_edges
from zoo.tasks.debugging.updates import Norms

USUAL_RATIO = 1e-3  # of an update
_MOST_NAMES = 6  # in a legend
_MOST_LAYERS = 24  # rows of histograms
_TICKS = (-100.0, -1.0, 0.0, 1.0, 100.0)


class Measurement(NamedTuple):
    """What one measurement has found."""

    step: int  # optimizer steps before it
    norms: list[dict[str, Norms]]  # by layer, for each optimizer
    activations: dict[str, Statistics]  # by layer, in the order of their first calls


def gradients_figure(measured: Sequence[Measurement]) -> Figure:
    """Draw gradient norms, update ratios and dead units over the steps, and the last histograms; a row for each optimizer."""
    num = max(len(one.norms) for one in measured)
    figure = Figure(figsize=(17, 3.9 * max(1, num)), layout="constrained")
    axes = figure.subplots(max(1, num), 4, squeeze=False)
    for number in range(max(1, num)):
        norms = [(one.step, one.norms[number]) for one in measured if number < len(one.norms)]
        names = list(dict.fromkeys(name for _, found in norms for name in found))
        prefix = common_prefix(names)
        title = f" of {prefix.partition('.')[0]}" if num > 1 and prefix else ""
        lines = {name: [(step, found[name]) for step, found in norms if name in found] for name in names}
        gradients = {name: [(step, one.gradient) for step, one in points] for name, points in lines.items()}
        ratios = {name: [(step, one.ratio) for step, one in points] for name, points in lines.items()}
        _draw_lines(axes[number, 0], gradients, f"gradient norm{title}", prefix, log=True)
        _draw_lines(axes[number, 1], ratios, f"update ratio{title}", prefix, log=True)
        axes[number, 1].axhline(USUAL_RATIO, color="black", linestyle=":", linewidth=1)
        activations = [(one.step, _of_player(one, number)) for one in measured]
        dead: dict[str, list[tuple[int, float]]] = {}
        for step, found in activations:
            for name, layer in found.items():
                if layer.dead is not None:
                    dead.setdefault(name, []).append((step, 100 * layer.dead))
        _draw_lines(axes[number, 2], dead, f"dead units{title} (%)", prefix, log=False)
        _draw_histograms(axes[number, 3], activations[-1][1], f"activations{title} at step {activations[-1][0]}", prefix)
    return figure


def _of_player(measured: Measurement, number: int) -> dict[str, Statistics]:
    """Return the activations of the network that an optimizer trains."""
    return {name: found for name, found in measured.activations.items() if player_of(name, measured.norms) == number}


def player_of(layer: str, norms: Sequence[dict[str, Norms]]) -> int:
    """Return the number of the optimizer that trains the layers closest to a layer: those that share most parts of its name."""
    shared = [max((len(_shared([layer, other])) for other in found), default=0) for found in norms]
    return shared.index(max(shared)) if shared else 0


def common_prefix(names: Sequence[str]) -> str:
    """Return the name of the innermost module that contains all layers; empty if there is none."""
    return ".".join(_shared(names))


def _shared(names: Sequence[str]) -> list[str]:
    """Return the parts at which all dotted names begin, without the last part of any of them."""
    found: list[str] = []
    for parts in zip(*(name.split(".")[:-1] for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        found.append(parts[0])
    return found


def _short(name: str, prefix: str) -> str:
    return name.removeprefix(f"{prefix}.") if prefix else name


def _draw_lines(axes: Axes, lines: dict[str, list[tuple[int, float]]], title: str, prefix: str, log: bool) -> None:
    """Draw a line for each layer, coloured by depth: the first layers dark, the last ones light."""
    axes.set_title(title, fontsize=10, parse_math=False)
    if not lines:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no ReLU layers", transform=axes.transAxes, ha="center", va="center", color="0.4")
        return
    axes.set_xlabel("training step")
    axes.grid(alpha=0.25)
    named = set(np.linspace(0, len(lines) - 1, min(_MOST_NAMES, len(lines))).round().astype(int).tolist())
    for place, (name, points) in enumerate(lines.items()):
        colour = colormaps["viridis"](0.92 * place / max(1, len(lines) - 1))
        steps, values = zip(*points, strict=True)
        label = _short(name, prefix) if place in named else None
        axes.plot(steps, values, color=colour, linewidth=1.1, marker="." if len(points) < 20 else "", label=label)
    if log and any(value > 0 for points in lines.values() for _, value in points):
        axes.set_yscale("log")
    if not log:
        axes.set_ylim(-3, 103)
    for text in axes.legend(fontsize=7).get_texts():
        text.set_parse_math(False)


def _draw_histograms(axes: Axes, activations: dict[str, Statistics], title: str, prefix: str) -> None:
    """Draw the histogram of each layer as a row, from the first layer on top to the last. Of many layers, some are left out."""
    axes.set_title(title, fontsize=10, parse_math=False)
    if not activations:
        axes.set_axis_off()
        return
    chosen = np.linspace(0, len(activations) - 1, min(_MOST_LAYERS, len(activations))).round().astype(int)
    names = [list(activations)[place] for place in chosen]
    shares = np.array([activations[name].histogram for name in names])
    axes.imshow(shares, aspect="auto", cmap="magma_r", norm=PowerNorm(0.5, vmin=0), interpolation="nearest")
    edges = np.array(bin_edges())
    places = [float(np.interp(tick, edges, np.arange(len(edges)))) - 0.5 for tick in _TICKS]
    axes.set_xticks(places, [f"{tick:g}" for tick in _TICKS])
    shown = [f"{_short(name, prefix)} {activations[name].kind}" for name in names]
    labels = axes.set_yticks(range(len(names)), shown, fontsize=7)
    for label in labels:
        label.label1.set_parse_math(False)
    axes.set_xlabel("output of the layer")
