"""`zoo claims` on two small scripts: one claim holds, the other is refuted."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from zoo.cli.claims import judge
from zoo.cli.main import main
from zoo.cli.names import ROOT

SCRIPT = '''\
"""A claim about a number."""

import sys

from matplotlib.figure import Figure

from zoo.cli.claims import Claim, judge, main

CLAIM = (
    "Two is more "
    "than {other}."
)


def measure(full):
    """Compare."""
    rows = [
        {{"network": "two", "value": 2.0, "spread": 0.123456789}},
        {{"network": "control", "value": {other}.0, "spread": None}},
    ]
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot([2, {other}])
    return Claim(CLAIM, f"2 against {other}, full: {{full}}", judge(2 > {other}), [0, 1] if full else [0], rows, figure)


if __name__ == "__main__":
    sys.exit(main(__file__))
'''


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a claim that holds and a nested one that is refuted; runs are written to the parent folder."""
    folder = tmp_path / "claims"
    (folder / "deeper").mkdir(parents=True)
    (folder / "more_than_one.py").write_text(SCRIPT.format(other=1))
    (folder / "deeper" / "more_than_three.py").write_text(SCRIPT.format(other=3))
    monkeypatch.setattr("zoo.cli.claims.CLAIMS", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_all_are_listed_with_their_sentences(scripts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "--list"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["claim", "asserts"]
    assert [line.split(maxsplit=1) for line in lines] == [
        ["more_than_three", "Two is more than 3."],
        ["more_than_one", "Two is more than 1."],
    ]


def test_listing_needs_no_torch() -> None:
    program = "import sys; from zoo.cli.main import main\nassert main(['claims', '--list']) == 0\n"
    program += "sys.exit(any(name in sys.modules for name in ('torch', 'lightning', 'matplotlib', 'wandb', 'numpy')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    names = {path.stem for path in (ROOT / "claims").rglob("*.py")}
    assert {line.split()[0] for line in done.stdout.splitlines()[1:]} == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["more_then_one"], "no claim 'more_then_one': did you mean 'more_than_one'?"),
        (["xyz"], "no claim 'xyz': there is more_than_three, more_than_one"),
        (["--list", "--full"], "claims --list takes no other arguments: it lists all claims and measures none"),
        (["--ful"], "claims does not take '--ful': see zoo claims --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("scripts")
def test_what_makes_no_sense_is_said_in_a_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["claims", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"zoo: {message}\n")
    assert not (tmp_path / "runs").exists()


def test_what_holds_and_what_does_not_are_both_said(scripts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims"]) == 0
    out = capsys.readouterr().out
    of_three, of_one, summary = out.split("\n\n")
    assert of_three.startswith("more_than_three: Two is more than 3.\n")
    assert "\nmeasured  2 against 3, full: False\nverdict   does not hold (seeds 0)\n" in of_three
    assert "\nmeasured  2 against 1, full: False\nverdict   holds (seeds 0)\n" in of_one
    assert [line.split()[:3] for line in of_one.splitlines()[1:4]] == [
        ["network", "value", "spread"],
        ["two", "2", "0.123"],
        ["control", "1"],
    ]
    head, *lines = [line.split() for line in summary.splitlines()]
    assert head == ["claim", "verdict", "time"]
    assert [line[:-2] for line in lines] == [["more_than_three", "does", "not", "hold"], ["more_than_one", "holds"]]


def test_a_claim_whose_arms_do_not_train_is_neither_upheld_nor_refuted() -> None:
    assert judge(True) == judge(True, in_part=True) == "holds"
    assert judge(False) == "does not hold"
    assert judge(False, in_part=True) == "holds in part"
    assert judge(True, trained=False) == judge(False, in_part=True, trained=False) == "cannot tell"


def test_everything_is_written_to_a_folder_of_its_own(scripts: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert main(["claims", "more_than_three"]) == 0
    assert [path.name for path in (tmp_path / "runs" / "claims").iterdir()] == ["more_than_three"]
    first, second = sorted((tmp_path / "runs" / "claims" / "more_than_three").iterdir())
    for folder in (first, second):
        with (folder / "table.csv").open() as file:
            assert list(csv.DictReader(file)) == [
                {"network": "two", "value": "2.0", "spread": "0.123456789"},
                {"network": "control", "value": "3.0", "spread": ""},
            ]
        with Image.open(folder / "picture.png") as picture:
            assert picture.size == (240, 240)
        result = json.loads((folder / "result.json").read_text())
        assert (result["claim"], result["verdict"], result["seeds"]) == ("Two is more than 3.", "does not hold", [0])
        assert result["rows"][0]["spread"] == 0.123457
        assert result["command"] == "zoo claims more_than_three"
        assert result["hardware"]
    assert not list(scripts.rglob("*.json"))  # only a full measurement is kept


def test_a_full_one_is_kept_beside_its_script(scripts: Path, tmp_path: Path) -> None:
    assert main(["claims", "more_than_three", "--full"]) == 0
    kept = scripts / "deeper" / "more_than_three.results.json"
    assert list(scripts.rglob("*.json")) == [kept]
    result = json.loads(kept.read_text())
    assert result["measured"] == "2 against 3, full: True"
    assert result["seeds"] == [0, 1]
    assert result["command"] == "zoo claims more_than_three --full"
    assert result["commit"]
    (folder,) = (tmp_path / "runs" / "claims" / "more_than_three").iterdir()
    assert (folder / "result.json").read_text() == kept.read_text()


def test_a_script_without_a_sentence_is_named(scripts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (scripts / "silent.py").write_text("def measure(full): ...\n")
    assert main(["claims", "--list"]) == 1
    assert 'silent.py states no claim: add a line CLAIM = "..."' in capsys.readouterr().err


def test_a_script_runs_by_itself_and_is_tracked_offline(scripts: Path, tmp_path: Path) -> None:
    """W&B's own reader finds the settings once and nested, the table, the picture and the verdict."""
    # Without the service of W&B that another test may have started in this process: it works in that test's folder.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment = {**clean, "WANDB_MODE": "offline"}
    command = [sys.executable, str(scripts / "more_than_one.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "\nverdict   holds (seeds 0)\n" in done.stdout
    assert "look at it: wandb leet runs/claims/more_than_one/" in done.stdout
    (folder,) = (tmp_path / "runs" / "claims" / "more_than_one").iterdir()
    (logged,) = folder.glob("wandb/offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(next(logged.glob("*.wandb")))]
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert shown.returncode == 0, shown.stderr
    for text in ("Two is more than 1.", "zoo claims more_than_one", "2 against 1", "picture", "table"):
        assert text in shown.stdout
