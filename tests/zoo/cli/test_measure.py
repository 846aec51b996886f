"""Results are appended, interrupted runs are resumed, and runs can be parallel."""

import json
import threading
import time
from pathlib import Path

import pytest
import torch

from zoo.cli import measure
from zoo.cli.measure import Measurement, few_steps, measure_all, note_behaviour, run_zoo
from zoo.cli.names import find_recipe
from zoo.cli.results import settings_checksum
from zoo.errors import UsageError, ZooError
from zoo.training.run_dir import RunDirectory

RECORD = {
    "results": {"test/acc": 0.5},
    **{"seconds": 7.0, "epochs": 1, "num_params": 3, "precision": "32-true", "hardware": "a computer", "versions": {}},
}


class Runs:
    """Takes the place of `run_zoo`: notes the commands, and leaves what a run would leave."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.fail: str | None = None  # "early" or "late": before or after the first checkpoint
        self.one_thread: list[bool] = []

    def __call__(self, arguments: list[str], log: Path | None = None, one_thread: bool = False) -> None:
        self.commands.append(arguments)
        self.one_thread.append(one_thread)
        folder = Path(arguments[arguments.index("--resume" if "--resume" in arguments else "--run_dir") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        if self.fail != "early":
            (folder / "checkpoints").mkdir(exist_ok=True)
            torch.save({"global_step": 1, "state_dict": {}}, folder / "checkpoints" / "last.ckpt")
        if self.fail:
            raise ZooError("stopped")
        (folder / "run.json").write_text(json.dumps(RECORD))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Fake runs in an empty working directory; results and behaviours are written there too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "behaviour.json").write_text('{"other": {"train/loss": [1.0]}}')
    for module in ("measure", "results"):
        monkeypatch.setattr(f"zoo.cli.{module}.BEHAVIOURS", tmp_path / "behaviour.json")
    monkeypatch.setattr(measure, "results_path", lambda recipe: tmp_path / f"{recipe.stem}.results.jsonl")
    monkeypatch.setattr(measure, "_behaviour", lambda recipe: {"train/loss": [0.5]})
    monkeypatch.setattr(measure, "run_zoo", fake := Runs())
    return fake


DIGITS = find_recipe("mlp_digits")


def results() -> list[dict[str, object]]:
    path = Path("mlp_digits.results.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_result_is_appended_with_what_it_measured(runs: Runs) -> None:
    assert measure_all([Measurement(DIGITS, 4)], jobs=1) == 0
    (result,) = results()
    assert {name: result[name] for name in ("recipe", "seed", "metrics", "seconds", "behaviour", "config", "command")} == {
        "recipe": "mlp_digits",
        "seed": 4,
        "metrics": {"test/acc": 0.5},
        "seconds": 7.0,
        "behaviour": {"train/loss": [0.5]},
        "config": settings_checksum(DIGITS),
        "command": "zoo fit -c mlp_digits --seed_everything 4",
    }
    assert json.loads(Path("behaviour.json").read_text()) == {
        "mlp_digits": {"train/loss": [0.5]},
        "other": {"train/loss": [1.0]},
    }
    assert runs.one_thread == [False]
    assert measure_all([Measurement(DIGITS, 4)], jobs=1) == 0  # a recorded run is not taken for an interrupted one
    assert len(results()) == 2
    assert [command[:3] for command in runs.commands] == [["fit", "-c", "mlp_digits"]] * 2


def test_an_interrupted_run_is_resumed_and_its_time_counts(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.fail = "late"
    start = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: start - 100)
        patch.setattr(measure, "commit_of", lambda recipe: "abc")
        assert measure_all([Measurement(DIGITS, 0)], jobs=1) == 1
    assert not results()
    runs.fail = None
    monkeypatch.setattr(measure, "commit_of", lambda recipe: "def")
    assert measure_all([Measurement(DIGITS, 1), Measurement(DIGITS, 0)], jobs=1) == 0
    assert [result["commit"] for result in results()] == ["def", "abc"]  # where the training started
    folder = runs.commands[0][-1]
    assert runs.commands[1][:3] == ["fit", "-c", "mlp_digits"]  # the run of another seed
    assert runs.commands[2] == ["fit", "--resume", folder]
    assert [(result["seed"], round(float(str(result["seconds"])))) for result in results()] == [(1, 7), (0, 107)]


def test_a_session_without_a_checkpoint_does_not_shorten_the_time(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.fail, start = "late", time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: start - 100)
        measure_all([Measurement(DIGITS, 0)], jobs=1)
        runs.fail = "early"
        patch.setattr(time, "time", lambda: start + 1000)
        measure_all([Measurement(DIGITS, 0)], jobs=1)
    runs.fail = None
    assert measure_all([Measurement(DIGITS, 0)], jobs=1) == 0
    assert [round(float(str(result["seconds"]))) for result in results()] == [107]


def test_a_run_that_another_process_trains_is_not_removed(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.fail = "early"
    measure_all([Measurement(DIGITS, 0)], jobs=1)
    folder = Path(runs.commands[0][-1])
    with RunDirectory(folder).held():
        assert measure_all([Measurement(DIGITS, 0)], jobs=1) == 1
    assert folder.exists()
    assert "another process is training in" in capsys.readouterr().err
    assert len(runs.commands) == 1


@pytest.mark.parametrize("change", ["behaviour", "settings", "no checkpoint"])
def test_a_run_of_something_else_is_not_resumed(change: str, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.fail = "early" if change == "no checkpoint" else "late"
    measure_all([Measurement(DIGITS, 0)], jobs=1)
    runs.fail = None
    if change == "behaviour":
        monkeypatch.setattr(measure, "_behaviour", lambda recipe: {"train/loss": [0.6]})
    if change == "settings":
        monkeypatch.setattr(measure, "settings_checksum", lambda recipe: "another")
    assert measure_all([Measurement(DIGITS, 0)], jobs=1) == 0
    assert [command[:2] for command in runs.commands] == [["fit", "-c"]] * 2


def test_a_run_that_ended_before_it_was_recorded_is_recorded(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(measure, "read_run", lambda folder: {})  # as if the process died here
        with pytest.raises(KeyError):
            measure_all([Measurement(DIGITS, 0)], jobs=1)
    assert measure_all([Measurement(DIGITS, 0)], jobs=1) == 0
    assert len(runs.commands) == 1
    assert [result["metrics"] for result in results()] == [{"test/acc": 0.5}]


def test_two_run_at_a_time_with_one_thread_each(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=20)  # the first would wait in vain for a second that starts after it

    def run(arguments: list[str], log: Path | None, one_thread: bool) -> None:
        assert log is not None  # what they print would be mixed
        both.wait()
        runs(arguments, log, one_thread)

    monkeypatch.setattr(measure, "run_zoo", run)
    assert measure_all([Measurement(DIGITS, 0), Measurement(DIGITS, 1)], jobs=2) == 0
    assert runs.one_thread == [True, True]
    assert {result["seed"] for result in results()} == {0, 1}


def test_a_run_that_fails_is_named_and_the_others_are_kept(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(arguments: list[str], log: Path | None, one_thread: bool) -> None:
        if "0" in arguments:
            raise ZooError("the loss is NaN")
        runs(arguments, log, one_thread)

    monkeypatch.setattr(measure, "run_zoo", run)
    assert measure_all([Measurement(DIGITS, seed) for seed in range(3)], jobs=1) == 1
    assert [result["seed"] for result in results()] == [1, 2]
    assert "failed: mlp_digits, seed 0: the loss is NaN" in capsys.readouterr().err


def test_a_recipe_without_its_data_does_not_stop_the_others(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def behaviour(recipe: Path) -> dict[str, list[float]]:
        if recipe != DIGITS:
            raise ZooError("no file here")
        return {"train/loss": [0.5]}

    monkeypatch.setattr(measure, "_behaviour", behaviour)
    assert measure_all([Measurement(find_recipe("mlp_wine"), 0), Measurement(DIGITS, 0)], jobs=1) == 1
    assert len(results()) == 1
    assert "failed: mlp_wine: no file here" in capsys.readouterr().err


def test_a_run_uses_this_checkout_wherever_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "__init__.py").write_text("raise SystemExit('another checkout')")
    monkeypatch.chdir(tmp_path)
    run_zoo(["list", "mlp"], log=tmp_path / "log")
    assert "mlp_digits" in (tmp_path / "log").read_text()
    with pytest.raises(ZooError, match=r"zoo list nothing failed with exit code 2: zoo: no model matches 'nothing'"):
        run_zoo(["list", "nothing"], log=tmp_path / "log")


def test_from_within_another_checkout_nothing_is_measured(runs: Runs) -> None:
    Path("recipes").mkdir()
    Path("recipes/__init__.py").touch()
    with pytest.raises(UsageError, match=r"this command would measure .*, but the working directory is in the checkout"):
        measure_all([Measurement(DIGITS, 0)], jobs=1)
    assert not runs.commands


def test_few_steps_are_small() -> None:
    steps = few_steps(DIGITS)
    for name, value in {"data.batch_size": "8", "trainer.precision": "32-true", "trainer.limit_train_batches": "3"}.items():
        assert steps[steps.index(f"--{name}") + 1] == value


def test_the_behaviour_is_computed_on_one_thread_and_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("measure", "results"):
        monkeypatch.setattr(f"zoo.cli.{module}.BEHAVIOURS", tmp_path / "behaviour.json")
    (tmp_path / "behaviour.json").write_text("{}")
    recipe = find_recipe("mlp_wine")
    torch.set_num_threads(2)
    try:
        first, second = (note_behaviour(recipe) for _ in range(2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert first == second
    assert len(first["train/loss"]) == 3
    assert first["distance"][0] > 0
    assert not capsys.readouterr().out
