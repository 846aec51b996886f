"""What is missing, and how a score is checked."""

from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch

from zoo.cli import reproduce
from zoo.cli.main import main
from zoo.cli.measure import Measurement
from zoo.cli.names import find_recipe, recipe_paths
from zoo.cli.reproduce import missing, wants_gpu
from zoo.cli.results import current_results, results_path
from zoo.errors import UsageError

MANY = 99


def test_what_is_measured_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = find_recipe("mlp_digits")
    for done, owed in (({0, 1, 2}, []), ({0}, [1, 2]), (set[int](), [0, 1, 2])):
        monkeypatch.setattr(reproduce, "measured_seeds", lambda path, done=done: done)
        assert [seed for path, seed in missing("*", MANY) if path == digits] == owed
    assert missing("mlp_dig*", 2) == [Measurement(digits, 0), Measurement(digits, 1)]
    with pytest.raises(UsageError, match="no recipe 'mlp_digit': did you mean 'mlp_digits'"):
        missing("mlp_digit", 2)


def test_recipes_of_a_gpu_are_missing_only_where_there_is_one() -> None:
    large = {path for path in recipe_paths().values() if wants_gpu(path)}
    assert find_recipe("stylegan_cifar10") in large
    assert find_recipe("stylegan_fashion_mnist") not in large
    assert (large <= {path for path, _ in missing("*", MANY)}) == torch.cuda.is_available()


def test_what_is_missing_is_listed_with_its_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    digits, imdb = find_recipe("mlp_digits"), find_recipe("bilstm_imdb")
    owed = [Measurement(digits, 1), Measurement(digits, 2), Measurement(imdb, 0)]
    monkeypatch.setattr(reproduce, "missing", lambda pattern, most: [one for one in owed if fnmatch(one.recipe.stem, pattern)])
    monkeypatch.setattr(reproduce, "expected_seconds", lambda path: 3600.0 if path == digits else None)
    assert main(["reproduce", "--missing", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "mlp_digits: seeds 1,2, 7200 s",
        "bilstm_imdb: seeds 0, time unknown",
        "3 runs of 2 recipes, 2.0 hours one at a time",
    ]
    assert main(["reproduce", "bilstm*", "--missing", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 runs of 1 recipes, 0.0 hours one at a time"


def test_a_recipe_without_a_time_runs_once_before_its_other_seeds_are_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    digits, done = find_recipe("mlp_digits"), []

    def measure_all(todo: list[Measurement], jobs: int) -> int:
        done.append([seed for _, seed in todo])
        return 0

    monkeypatch.setattr(reproduce, "missing", lambda *_: [Measurement(digits, seed) for seed in (range(1, 3) if done else [0])])
    monkeypatch.setattr(reproduce, "measure_all", measure_all)
    monkeypatch.setattr(reproduce, "_regenerate", lambda: None)
    assert main(["reproduce", "--missing"]) == 0
    assert done == [[0], [1, 2]]  # and no run is tried twice, even if it left no result


@pytest.mark.parametrize(
    ("arguments", "seeds"),
    [([], [0, 1, 2]), (["--seeds", "2"], [0, 1]), (["--seeds", "1,2"], [1, 2]), (["--seeds", "4,"], [4])],
)
def test_seeds_are_a_number_or_a_list_which_has_a_comma(
    arguments: list[str], seeds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []
    monkeypatch.setattr(reproduce, "reproduce", lambda recipe, seeds, jobs: asked.append(seeds) or 0)
    assert main(["reproduce", "mlp_digits", *arguments]) == 0
    assert asked == [seeds]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mlp_digits", "--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["mlp_digits", "--seeds", "1,-2"], "--seeds must be at least 0, got -2"),
        (["mlp_digits", "--seeds", "one"], "argument --seeds: invalid"),
        (["mlp_digits", "--seeds", "1,,2"], "argument --seeds: invalid"),
        (["mlp_digits", "--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["mlp_digits", "--dry-run"], "--dry-run needs --missing"),
        (["--missing", "--seeds", "1,2"], "--missing takes a maximum number of seeds, not a list"),
        (["--check"], "reproduce needs the name of a recipe, --missing or --behaviour"),
        (["mlp_digits", "--check", "--behaviour"], "not allowed with argument"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("off", "code"), [(0.001, 0), (0.5, 1)])
def test_a_check_compares_and_writes_nothing(
    off: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = find_recipe("mlp_digits")
    before = results_path(recipe).read_bytes()
    mean = sum(result["metrics"]["test/acc"] for result in current_results(recipe).results) / 3
    monkeypatch.setattr(reproduce, "run_zoo", lambda arguments: None)
    monkeypatch.setattr(reproduce, "read_run", lambda folder: {"results": {"test/acc": mean - off}})
    assert main(["reproduce", "mlp_digits", "--check", "--seeds", "5,"]) == code
    verdict = "differs" if code else "agrees"
    assert f"mlp_digits, seed 5: test/acc {mean - off:.4f}, recorded {mean:.4f} (n=3): {verdict}" in capsys.readouterr().out
    assert results_path(recipe).read_bytes() == before


def test_a_recipe_without_a_score_cannot_be_checked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["reproduce", "bilstm_imdb", "--check"]) == 1
    assert "bilstm_imdb has no score to compare with" in capsys.readouterr().err
