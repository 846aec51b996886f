"""Each run has its own directory, and a run that cannot start leaves none behind."""

import json
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from zoo.errors import FileError, UsageError, ZooError
from zoo.training.run_dir import RunDirectory, check_holds_no_run, is_first_process, new_run_dir, read_run, run_of


def test_runs_that_start_at_the_same_time_get_different_directories(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: new_run_dir("recipe", tmp_path), range(64)))
    assert len(set(folders)) == 64
    assert all(folder.is_dir() and folder.parent == tmp_path / "recipe" for folder in folders)


def test_a_new_directory_is_discarded_with_its_new_parents(tmp_path: Path) -> None:
    directory = RunDirectory.new("recipe", tmp_path / "runs")
    (directory.path / "logs").mkdir()
    (directory.path / "logs" / "metrics.csv").touch()
    directory.discard()
    assert not list(tmp_path.iterdir())


def test_the_directory_of_another_run_is_kept(tmp_path: Path) -> None:
    other = RunDirectory.new("recipe", tmp_path / "runs")
    directory = RunDirectory.new("recipe", tmp_path / "runs")
    directory.discard()
    assert not directory.path.exists()
    assert other.path.is_dir()


def test_a_directory_that_existed_is_emptied_but_not_removed(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    (tmp_path / "config.yaml").touch()
    directory.discard()
    assert not list(tmp_path.iterdir())


def test_a_directory_that_was_not_empty_is_left_unchanged(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    directory = RunDirectory(tmp_path)
    (tmp_path / "config.yaml").touch()
    directory.discard()
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt", "config.yaml"}


def test_a_path_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="choose another with --run_dir"):
        RunDirectory(tmp_path / "file" / "run")


def test_facts_of_a_run(tmp_path: Path) -> None:
    assert read_run(tmp_path) == {}
    (tmp_path / "run.json").write_text(json.dumps({"recipe": "mlp"}))
    assert read_run(tmp_path) == {"recipe": "mlp"}


@pytest.mark.parametrize("text", ["{", "[]", "", "\ud800"])
def test_damaged_facts_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ZooError, match=r"run\.json is damaged"):
        read_run(tmp_path)


def test_the_run_of_a_checkpoint_is_found(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoints" / "best.ckpt"
    assert run_of(checkpoint) is None
    (tmp_path / "config.yaml").touch()
    assert run_of(checkpoint) == tmp_path


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_the_first_process_is_recognised_without_a_trainer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "0")
    assert is_first_process()
    monkeypatch.setenv(name, "1")
    assert not is_first_process()


def test_a_directory_is_held_by_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = RunDirectory(tmp_path), RunDirectory(tmp_path)
    with first.held():
        with pytest.raises(ZooError, match=r"^another process is training in"), second.held():
            pass
        monkeypatch.setenv("LOCAL_RANK", "1")
        with second.held():  # another rank of the same run
            pass
        monkeypatch.delenv("LOCAL_RANK")
    with second.held():
        pass


def test_the_lock_of_a_killed_process_does_not_count(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    directory = RunDirectory(tmp_path)
    with directory.held():
        directory.discard()
    assert not list(tmp_path.iterdir())


def test_a_directory_with_a_run_says_how_to_continue(tmp_path: Path) -> None:
    check_holds_no_run(tmp_path)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(UsageError, match=r"already holds a run: choose another --run_dir$"):
        check_holds_no_run(tmp_path)  # it was killed before its first checkpoint
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(UsageError, match=f"continue it with --resume {tmp_path}, or choose another --run_dir"):
        check_holds_no_run(tmp_path)


def test_a_full_disk_is_noticed_before_the_run(tmp_path: Path) -> None:
    """Files are limited to 1 kB, which fails like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(FileError, match=r"^cannot write to the run directory .*choose another with --run_dir"):
            RunDirectory(tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "run").exists()
