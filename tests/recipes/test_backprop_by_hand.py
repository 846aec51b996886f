"""The script that prints backpropagation step by step shows right numbers, and notices wrong ones."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from zoo.cli.names import ROOT
from zoo.nn import backprop

SCRIPT = ROOT / "mlp" / "backprop_by_hand.py"


def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    picture = folder / "graph.png"
    monkeypatch.setattr("sys.argv", [str(SCRIPT), "--picture", str(picture)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    return picture


def test_every_line_holds_by_arithmetic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python computes the product or sum that each line states, such as `4 * 0.5 + -2 * -1 = 4`."""
    picture = run(tmp_path, monkeypatch)
    text = capsys.readouterr().out
    stated = re.findall(r"= ([-\d. *+]+[*+-][-\d. *+]+) = (\S+)", text)
    assert len(stated) == 3 + 2 + 2 + 4 + 2 + 9  # z1, z2, o; dv; dh; dw; dx; the updates of all parameters
    for terms, result in stated:
        assert eval(terms) == pytest.approx(float(result), abs=5e-5)
    assert "The loss falls from 1 to 0.1286." in text
    with Image.open(picture) as image:
        assert image.size[0] > 1000


def test_a_wrong_backward_pass_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(z: Any, name: Any) -> Any:
        return 0.9 * right(z, name)

    right = backprop.slope
    monkeypatch.setattr(backprop, "slope", wrong)
    with pytest.raises(SystemExit, match="the gradients differ by"):
        run(tmp_path, monkeypatch)
