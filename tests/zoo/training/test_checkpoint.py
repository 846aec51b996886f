"""Checkpoint files are written atomically, and read without running code in them."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from safetensors import safe_open
from safetensors.torch import save_file

from zoo.cli.export import export
from zoo.mlp.mlp import MLPClassifier
from zoo.training.checkpoint import AtomicCheckpointIO, latest_checkpoint, load_system, read_checkpoint

CHECKPOINT = {"state_dict": {"w": torch.ones(4)}, "hyper_parameters": {"shape": (1, 2), "name": "a"}, "epoch": 3}


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.flag}",)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    AtomicCheckpointIO().save_checkpoint(CHECKPOINT, tmp_path / "run" / "last.ckpt")
    return tmp_path / "run" / "last.ckpt"


def only_file(path: Path) -> bool:
    return list(path.parent.iterdir()) == [path]


def test_a_written_checkpoint_is_read_back(saved: Path) -> None:
    assert only_file(saved)
    for read in (read_checkpoint, AtomicCheckpointIO().load_checkpoint):
        checkpoint = read(saved)
        assert torch.equal(checkpoint.pop("state_dict")["w"], torch.ones(4))
        assert checkpoint == {name: value for name, value in CHECKPOINT.items() if name != "state_dict"}


def test_writing_again_replaces_the_file(saved: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({**CHECKPOINT, "epoch": 4}, saved)
    assert read_checkpoint(saved)["epoch"] == 4
    assert only_file(saved)


def test_a_full_disk_leaves_the_older_file_and_no_partial_one(saved: Path) -> None:
    script = """
import resource, signal, sys, torch
from zoo.training.checkpoint import AtomicCheckpointIO
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"w": torch.zeros(1_000_000)}}, sys.argv[1])
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, str(saved)], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.startswith(f"cannot write checkpoint {saved}: ")
    assert "Free some space, or choose another --run_dir" in done.stdout
    assert read_checkpoint(saved)["epoch"] == 3
    assert only_file(saved)


def test_a_checkpoint_that_cannot_be_pickled_leaves_the_older_file(saved: Path) -> None:
    with pytest.raises(Exception, match="lambda"):
        AtomicCheckpointIO().save_checkpoint({**CHECKPOINT, "hook": lambda: None}, saved)
    assert read_checkpoint(saved)["epoch"] == 3
    assert only_file(saved)


def test_a_folder_that_cannot_be_created_is_named(saved: Path) -> None:
    with pytest.raises(OSError, match=rf"cannot write checkpoint {saved}/checkpoints/last.ckpt"):
        AtomicCheckpointIO().save_checkpoint(CHECKPOINT, saved / "checkpoints" / "last.ckpt")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_file_cut_short_is_named(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"cannot read checkpoint {saved}: it is cut short, or not a checkpoint \(.+\)"):
        read_checkpoint(saved)


@pytest.mark.parametrize(
    "text", ["hello\n", "model:\n  lr: 0.1\n", "position,target\n1,2\n", "<html>", "# Title\n", "version https://git-lfs"]
)
def test_a_text_file_is_not_a_checkpoint(saved: Path, text: str) -> None:
    saved.write_text(text)  # the unpickler raises a different exception for each
    with pytest.raises(ValueError, match=rf"cannot read checkpoint {saved}: it is cut short, or not a checkpoint"):
        read_checkpoint(saved)


def refusal(path: Path) -> str:
    """Return the message with which reading a file fails, or an empty string."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that the pickle protocol is unknown
            read_checkpoint(path)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_wrong_byte_raises_no_other_exception(saved: Path, legacy: bool) -> None:
    torch.save(CHECKPOINT, saved, _use_new_zipfile_serialization=not legacy)
    content, generator = saved.read_bytes(), torch.Generator().manual_seed(0)
    refusals = []
    for place, byte in torch.randint(2**31, (150, 2), generator=generator).tolist():
        at = place % len(content)
        saved.write_bytes(content[:at] + bytes([byte % 256]) + content[at + 1 :])
        refusals.append(refusal(saved))
    told = list(filter(None, refusals))  # a wrong byte in a number or a name leaves a valid checkpoint
    assert len(told) > 10
    assert all(str(saved) in reason for reason in told)


def test_a_pickled_function_is_named_and_never_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, flag = tmp_path / "evil.ckpt", tmp_path / "was_run"
    torch.save({**CHECKPOINT, "callbacks": Payload(flag)}, path)
    for force in ("0", "1"):
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", force)
        with pytest.raises(ValueError, match=rf"cannot read checkpoint {path}: it contains posix.system, but only tensors"):
            read_checkpoint(path)
        assert not flag.exists()
    with pytest.warns(UserWarning, match="forcing weights_only=False"):
        torch.load(path)
    assert flag.exists()  # the variable has an effect, and so has the payload


def test_a_class_in_a_checkpoint_is_refused_and_named(saved: Path) -> None:
    torch.save({**CHECKPOINT, "net": torch.nn.Linear(1, 1)}, saved)
    with pytest.raises(ValueError, match=r"it contains torch.nn.modules.linear.Linear, but only tensors and plain values"):
        read_checkpoint(saved)


@pytest.mark.parametrize("content", [{"w": torch.ones(1)}, [1, 2]])
def test_a_torch_file_without_weights_is_not_a_checkpoint(saved: Path, content: Any) -> None:
    torch.save(content, saved)
    with pytest.raises(ValueError, match=rf"{saved} is not a Lightning checkpoint, because it has no state_dict"):
        read_checkpoint(saved)


def test_a_missing_file_is_named_with_the_checkpoints_in_its_folder(saved: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"{saved.parent}/lost.ckpt does not exist: this folder has {saved}"):
        read_checkpoint(saved.with_name("lost.ckpt"))
    with pytest.raises(FileNotFoundError, match=r"checkpoint /nowhere/last.ckpt does not exist$"):
        read_checkpoint("/nowhere/last.ckpt")


def test_the_latest_checkpoint_has_the_most_steps(tmp_path: Path) -> None:
    """Steps decide, because copying a folder changes the dates of its files."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name, step, time in [("best.ckpt", 5, 40), ("step=9.ckpt", 9, 10), ("step=10.ckpt", 10, 20), ("last.ckpt", 7, 30)]:
        torch.save({"state_dict": {}, "global_step": step}, folder / name)
        os.utime(folder / name, (time, time))
    assert latest_checkpoint(tmp_path).name == "step=10.ckpt"
    torch.save({"state_dict": {}, "global_step": 10}, folder / "last.ckpt")
    assert latest_checkpoint(tmp_path).name == "last.ckpt"
    for path in folder.glob("[ls]*.ckpt"):
        path.unlink()
    assert latest_checkpoint(tmp_path).name == "best.ckpt"


def test_a_run_without_checkpoints_says_how_to_start_again(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path} has no checkpoint in checkpoints/: start a new run with zoo fit"):
        latest_checkpoint(tmp_path)


@pytest.fixture
def trained(tmp_path: Path, fit: Callable[..., Trainer], blobs: Callable[..., Any]) -> Path:
    """Checkpoint of a trained system, written by a trainer."""
    model = MLPClassifier((4,), 3, hidden_dims=(8,), dropout=0.3, optim={"name": "lion"})
    fit(model, blobs(), max_steps=2, plugins=[AtomicCheckpointIO()]).save_checkpoint(tmp_path / "mlp.ckpt")
    return tmp_path / "mlp.ckpt"


def edit(path: Path, **changes: Any) -> None:
    torch.save({**read_checkpoint(path), **changes}, path)


def flip_a_bit(path: Path, weight: torch.Tensor) -> None:
    """Flip the lowest bit of the exponent of the first number of a weight in a file."""
    content = bytearray(path.read_bytes())
    content[content.index(weight.numpy().tobytes()) + 2] ^= 0x80
    path.write_bytes(content)


def test_a_flipped_bit_of_a_weight_is_found(trained: Path, exported: Path) -> None:
    weights = read_checkpoint(trained)["state_dict"]
    for path, reason in ((trained, r"its part \S+ is damaged"), (exported, r"it is damaged \(checksum differs\)")):
        flip_a_bit(path, next(iter(weights.values())))
        with pytest.raises(ValueError, match=rf"cannot read {path}: {reason}"):
            load_system(path)


def test_a_changed_argument_in_an_exported_file_is_found(exported: Path) -> None:
    exported.write_bytes(exported.read_bytes().replace(b"0.3", b"0.4"))
    with pytest.raises(ValueError, match=r"it is damaged \(checksum differs\)"):
        load_system(exported)


def test_a_loaded_system_has_its_arguments_and_weights_and_is_in_evaluation_mode(trained: Path) -> None:
    system = load_system(trained)
    assert type(system) is MLPClassifier
    assert not system.training
    assert (system.hparams["dropout"], system.hparams["optim"]) == (0.3, {"name": "lion"})
    for name, weight in system.state_dict().items():
        assert torch.equal(weight, read_checkpoint(trained)["state_dict"][name])


@pytest.mark.parametrize("class_path", ["subprocess.Popen", "builtins.exec", "zoology.Cat", ""])
def test_a_class_outside_the_zoo_is_not_imported(trained: Path, class_path: str) -> None:
    edit(trained, class_path=class_path)
    with pytest.raises(
        ValueError, match=rf"{trained} holds a {class_path or 'model of unknown class'}: name its package in ZOO"
    ):
        load_system(trained)


@pytest.mark.parametrize(
    ("class_path", "arguments"),
    [("zoo.cli.main.main", {"argv": ["list"]}), ("zoo.mlp.mlp.MLPNet", {}), ("zoo.cli.main.sys", {})],
)
def test_only_systems_are_called(
    trained: Path, class_path: str, arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    edit(trained, class_path=class_path, hyper_parameters=arguments)
    with pytest.raises(ValueError, match=rf"{trained} holds {class_path}, which is not a System"):
        load_system(trained)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"class_path": "zoo.GoneClassifier"}, r"it holds a zoo.GoneClassifier, which cannot be imported"),
        ({"hyper_parameters": {"input_shape": [4], "number": 3}}, r"zoo.MLPClassifier takes other arguments"),
        ({"hyper_parameters": {"input_shape": [4], "num_classes": 3}}, r"zoo.MLPClassifier has other weights"),
    ],
    ids=["class", "argument", "weight"],
)
def test_a_checkpoint_of_another_version_is_named(trained: Path, changes: dict[str, Any], what: str) -> None:
    edit(trained, **changes)
    with pytest.raises(ValueError, match=rf"^{trained} was made by another version of the zoo, .*: {what}[^\n]*$"):
        load_system(trained)


def test_a_class_of_the_user_loads_if_its_package_is_allowed(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_models.py").write_text("from zoo import MLPClassifier\nclass Mine(MLPClassifier):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    edit(trained, class_path="my_models.Mine")
    with pytest.raises(ValueError, match=r"holds a my_models.Mine: name its package in ZOO_IMPORTS"):
        load_system(trained)
    monkeypatch.setenv("ZOO_IMPORTS", "other,my_models")
    assert type(load_system(trained)).__name__ == "Mine"


@pytest.fixture
def exported(trained: Path) -> Path:
    export(trained, "safetensors")
    return trained.with_suffix(".safetensors")


def rewrite(path: Path, **changes: str | None) -> None:
    """Write the same tensors with other metadata, and without a checksum, as earlier versions did. None removes an entry."""
    with safe_open(path, "pt") as file:
        metadata = {name: value for name, value in {**file.metadata(), "sha256": None, **changes}.items() if value is not None}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # safe_open is not a mapping
    save_file(tensors, path, metadata=metadata)


def test_an_exported_file_holds_the_model_of_the_checkpoint(trained: Path, exported: Path) -> None:
    checkpointed, from_file = read_checkpoint(trained), read_checkpoint(exported)
    assert from_file["class_path"] == checkpointed["class_path"] == "zoo.MLPClassifier"
    assert from_file["data"] == checkpointed["data"] == {"class_names": ["ant", "bee", "cat"]}
    assert from_file["Blobs"] == checkpointed["Blobs"]  # the state of the datamodule, which a test compares
    assert from_file["run"] == {}  # the checkpoint does not lie in a run directory
    assert from_file["state_dict"].keys() == checkpointed["state_dict"].keys()
    assert not from_file.keys() & {"optimizer_states", "loops", "callbacks", "epoch", "global_step"}
    for name, weight in checkpointed["state_dict"].items():
        assert torch.equal(from_file["state_dict"][name], weight)


def test_a_system_is_loaded_from_an_exported_file(trained: Path, exported: Path) -> None:
    system, same = load_system(exported), load_system(trained)
    assert type(system) is MLPClassifier
    assert not system.training
    assert (system.hparams["dropout"], system.hparams["optim"]) == (0.3, {"name": "lion"})
    x = torch.rand(5, 4)
    assert torch.equal(system(x), same(x))


def test_a_trainer_tests_an_exported_file(
    trained: Path, exported: Path, fit: Callable[..., Trainer], blobs: Callable[..., Any]
) -> None:
    fresh, data = MLPClassifier((4,), 3, hidden_dims=(8,), dropout=0.3, optim={"name": "lion"}), blobs()
    trainer = fit(fresh, data, max_steps=1, plugins=[AtomicCheckpointIO()])
    scores = [
        trainer.test(fresh, datamodule=data, ckpt_path=path, weights_only=True, verbose=False)[0]
        for path in (None, trained, exported)
    ]
    assert scores[2] == scores[1] != scores[0]


@pytest.mark.parametrize("missing", ["class_path", "hyper_parameters", "data"])
def test_a_safetensors_file_of_another_program_is_refused(exported: Path, missing: str) -> None:
    rewrite(exported, **{missing: None})
    with pytest.raises(
        ValueError, match=rf"cannot read {exported}: expected a file written by zoo export --format safetensors \(KeyError\)"
    ):
        read_checkpoint(exported)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_an_exported_file_cut_short_is_named(exported: Path, share: float) -> None:
    content = exported.read_bytes()
    exported.write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        ValueError, match=rf"cannot read {exported}: expected a file written by zoo export --format safetensors"
    ):
        read_checkpoint(exported)


def test_metadata_that_is_not_json_is_refused(exported: Path) -> None:
    rewrite(exported, hyper_parameters="{'dropout': 0.3}")
    with pytest.raises(ValueError, match=rf"cannot read {exported}: expected a file written by zoo export"):
        read_checkpoint(exported)


def test_an_exported_file_with_a_class_outside_the_zoo_is_refused(exported: Path) -> None:
    rewrite(exported, class_path="subprocess.Popen")
    with pytest.raises(ValueError, match=rf"{exported} holds a subprocess.Popen: name its package in ZOO_IMPORTS"):
        load_system(exported)
    rewrite(exported, class_path="zoo.cli.main.main", hyper_parameters='{"argv": ["list"]}')
    with pytest.raises(ValueError, match=rf"{exported} holds zoo.cli.main.main, which is not a System"):
        load_system(exported)


def test_an_older_exported_file_has_no_facts_about_its_run(exported: Path) -> None:
    rewrite(exported, run=None)
    assert read_checkpoint(exported)["run"] == {}


def test_a_missing_exported_file_is_named_with_the_checkpoints_in_its_folder(trained: Path) -> None:
    lost = trained.with_name("lost.safetensors")
    with pytest.raises(FileNotFoundError, match=rf"checkpoint {lost} does not exist: this folder has {trained}"):
        read_checkpoint(lost)


def test_a_wrong_byte_in_the_head_of_an_exported_file_raises_no_other_exception(exported: Path) -> None:
    content, generator = exported.read_bytes(), torch.Generator().manual_seed(0)
    head = 8 + int.from_bytes(content[:8], "little")
    told = []
    for place, byte in torch.randint(2**31, (300, 2), generator=generator).tolist():
        at = place % head
        exported.write_bytes(content[:at] + bytes([byte % 256]) + content[at + 1 :])
        told.append(refusal(exported))
    told = list(filter(None, told))  # a wrong byte in a number or a name leaves a valid file
    assert len(told) > 10
    assert all(str(exported) in reason for reason in told)


def test_facts_about_a_run_that_are_not_json_are_refused(exported: Path) -> None:
    rewrite(exported, run="{'recipe': 'mine'}")
    with pytest.raises(ValueError, match=rf"cannot read {exported}: expected a file written by zoo export"):
        read_checkpoint(exported)
