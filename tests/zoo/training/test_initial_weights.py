"""Initial weights: where files are found, which files are refused, and when nothing is read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from datamodules.core.batch import Batch
from zoo.cnn.cifar_resnet import CIFARResNetClassifier
from zoo.training.checkpoint import load_system
from zoo.training.exported import write_exported
from zoo.training.initial_weights import initial_weights_wanted, load_weights, without_initial_weights

Save = Callable[[dict[str, Tensor], Path], None]
WRITERS = {"weights.pth": torch.save, "weights.safetensors": save_file}


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.flag}",)


def small_net() -> nn.Module:
    """Build a network with weights, and with a BatchNorm layer's statistics and counter."""
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    net(torch.randn(8, 3))
    return net


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("ZOO_DATA", raising=False)


@pytest.mark.parametrize("filename", WRITERS)
@pytest.mark.parametrize("where", ["absolute", "here", "ZOO_DATA"])
def test_reads_files_of_torch_and_of_safetensors(
    filename: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, net = small_net(), small_net()
    folder = {"absolute": tmp_path / "elsewhere", "here": Path("sub"), "ZOO_DATA": tmp_path / "data" / "sub"}[where]
    folder.mkdir(parents=True)
    WRITERS[filename](source.state_dict(), folder / filename)
    if where == "ZOO_DATA":
        monkeypatch.setenv("ZOO_DATA", str(tmp_path / "data"))
    assert not same(net.state_dict(), source.state_dict())
    load_weights(net, str(folder / filename) if where == "absolute" else f"sub/{filename}")
    assert same(net.state_dict(), source.state_dict())


def test_the_working_directory_takes_precedence_over_zoo_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    mine, other, net = small_net(), small_net(), small_net()
    torch.save(mine.state_dict(), "weights.pth")
    torch.save(other.state_dict(), tmp_path / "weights.pth")
    load_weights(net, "weights.pth")
    assert same(net.state_dict(), mine.state_dict())


def test_a_missing_file_is_named_with_the_searched_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no weights file nowhere.pth in this directory or under ZOO_DATA \(not set\): give the path"
    ):
        load_weights(small_net(), "nowhere.pth")
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=rf"no weights file nowhere.pth in this directory or under ZOO_DATA \({tmp_path}\)"
    ):
        load_weights(small_net(), "nowhere.pth")
    with pytest.raises(FileNotFoundError, match=r"no weights file \."):  # a folder is not a file
        load_weights(small_net(), ".")


@pytest.mark.parametrize("filename", WRITERS)
@pytest.mark.parametrize(
    "content", [b"", b"hello", b"a.", b".", b"0", b"R", b"\x80\x02.", b"PK\x03\x04", b"version https://x", b"\xff" * 99]
)
def test_a_file_of_another_kind_is_refused(filename: str, content: bytes) -> None:
    Path(filename).write_bytes(content)
    with pytest.raises(ValueError, match=rf"cannot read weights {filename} \(\w+\): expected a file of named tensors"):
        load_weights(small_net(), filename)


@pytest.mark.parametrize("filename", WRITERS)
def test_a_file_cut_short_is_refused_and_changes_nothing(filename: str) -> None:
    net = small_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    WRITERS[filename](small_net().state_dict(), Path(filename))
    whole = Path(filename).read_bytes()
    for share in (0.1, 0.5, 0.99):
        Path(filename).write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=f"cannot read weights {filename}"):
            load_weights(net, filename)
    assert same(net.state_dict(), before)


def test_a_file_with_code_is_refused_and_the_code_does_not_run(tmp_path: Path) -> None:
    torch.save({"0.weight": Payload(tmp_path / "flag")}, "weights.pth")
    with pytest.raises(ValueError, match=r"cannot read weights weights.pth \(UnpicklingError\)"):
        load_weights(small_net(), "weights.pth")
    assert not (tmp_path / "flag").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: state.pop("1.weight"), r"it lacks 1\.weight"),
        (lambda state: (state.pop("0.weight"), state.pop("0.bias")), r"it lacks 0\.bias and 1 more"),
        (lambda state: state.pop("1.running_mean"), r"it lacks 1\.running_mean"),
        (lambda state: state.update({"0.gain": torch.ones(2)}), r"it has the unknown 0\.gain"),
        (lambda state: state.update({"0.weight": torch.ones(3, 2)}), r"it has a different shape for 0\.weight"),
        (lambda state: state.update({"0.bias": torch.ones(1)}), r"it has a different shape for 0\.bias"),  # would broadcast
    ],
)
def test_weights_of_another_network_are_refused_with_the_first_difference(
    change: Callable[[dict[str, Tensor]], Any], problem: str
) -> None:
    state, net = dict(small_net().state_dict()), small_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    change(state)
    torch.save(state, "weights.pth")
    with pytest.raises(ValueError, match=rf"weights.pth does not fit this Sequential: {problem}$"):
        load_weights(net, "weights.pth")
    assert same(net.state_dict(), before)


def test_an_older_file_without_batch_counters_is_accepted() -> None:
    source, net = small_net(), small_net()
    torch.save({name: value for name, value in source.state_dict().items() if "num_batches" not in name}, "weights.pth")
    load_weights(net, "weights.pth")
    assert same(net.state_dict(), source.state_dict())  # both counters are 1


@pytest.mark.parametrize("content", [[torch.ones(1)], torch.ones(1), {"0.weight": 1.0}, {"model": {"0.weight": torch.ones(1)}}])
def test_tensors_without_names_are_refused(content: Any) -> None:
    torch.save(content, "weights.pth")
    with pytest.raises(ValueError, match=r"weights.pth holds no weights: expected a file of named tensors"):
        load_weights(small_net(), "weights.pth")


def test_without_initial_weights_no_file_is_searched_or_read() -> None:
    net = small_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    torch.save(small_net().state_dict(), "weights.pth")
    with without_initial_weights():
        load_weights(net, "weights.pth")
        load_weights(net, "nowhere.pth")
    assert same(net.state_dict(), before)


def test_the_context_restores_the_state_also_if_nested_or_after_an_exception() -> None:
    assert initial_weights_wanted()
    with without_initial_weights():
        with without_initial_weights():
            assert not initial_weights_wanted()
        assert not initial_weights_wanted()
        with pytest.raises(KeyError), without_initial_weights():
            raise KeyError
        assert not initial_weights_wanted()
    assert initial_weights_wanted()
    with pytest.raises(KeyError), without_initial_weights():
        raise KeyError
    assert initial_weights_wanted()


def resnet(**arguments: Any) -> CIFARResNetClassifier:
    return CIFARResNetClassifier((1, 8, 8), 4, depth=8, width=2, **arguments)


@pytest.fixture
def trained_checkpoint(fit: Callable[..., Trainer], tmp_path: Path) -> tuple[CIFARResNetClassifier, Path]:
    """A system after one training step from the weights in start.pth, and its checkpoint."""
    torch.save(resnet().net.state_dict(), tmp_path / "start.pth")
    system = resnet(weights=str(tmp_path / "start.pth"))
    loader = DataLoader([Batch(torch.randn(4, 1, 8, 8), torch.arange(4), torch.arange(4))], batch_size=None)  # type: ignore[arg-type]
    fit(system, None, loader, loader, max_steps=1).save_checkpoint(tmp_path / "last.ckpt")
    return system, tmp_path / "last.ckpt"


def test_a_checkpoint_loads_without_the_file_of_initial_weights(
    trained_checkpoint: tuple[CIFARResNetClassifier, Path], tmp_path: Path
) -> None:
    system, checkpoint = trained_checkpoint
    start = torch.load(tmp_path / "start.pth")
    (tmp_path / "start.pth").unlink()
    loaded = load_system(checkpoint)
    assert loaded.hparams["weights"] == str(tmp_path / "start.pth")
    assert same(loaded.state_dict(), system.state_dict())
    assert not torch.equal(loaded.net.state_dict()["linear.weight"], start["linear.weight"])  # the training changed it
    with pytest.raises(FileNotFoundError, match="no weights"):
        resnet(weights=str(tmp_path / "start.pth"))


def test_a_checkpoint_and_an_exported_file_start_a_new_training(
    trained_checkpoint: tuple[CIFARResNetClassifier, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    system, checkpoint = trained_checkpoint
    exported = checkpoint.with_suffix(".safetensors")
    write_exported(system.state_dict(), exported, {"class_path": "zoo.CIFARResNetClassifier"})
    for path in (checkpoint, exported):
        assert same(resnet(weights=str(path)).net.state_dict(), system.net.state_dict())
    assert capsys.readouterr().out == ""


def test_the_head_for_other_classes_is_replaced_and_a_note_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = CIFARResNetClassifier((1, 8, 8), 1000, depth=8, width=2).net.state_dict()
    torch.save(many, "many.pth")
    net = resnet(weights="many.pth").net.state_dict()
    assert capsys.readouterr().out == (
        "many.pth has 1000 classes, not 4: linear.bias, linear.weight keep their initial values and have to be trained\n"
    )
    assert net["linear.weight"].shape == (4, 8)
    assert same({**net, **{name: many[name] for name in ("linear.weight", "linear.bias")}}, many)


def test_a_network_of_another_width_is_not_taken_for_one_with_another_head() -> None:
    torch.save(CIFARResNetClassifier((1, 8, 8), 9, depth=8, width=3).net.state_dict(), "wide.pth")
    with pytest.raises(ValueError, match=r"wide.pth does not fit this CIFARResNet: it has a different shape for \S+ and"):
        resnet(weights="wide.pth")


def test_a_flipped_bit_in_weights_is_found() -> None:
    torch.save(small_net().state_dict(), "weights.pth")
    content = bytearray(Path("weights.pth").read_bytes())
    content[content.index(torch.load("weights.pth")["0.weight"].numpy().tobytes()) + 3] ^= 1
    Path("weights.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot read weights.pth: its part \S+ is damaged"):
        load_weights(small_net(), "weights.pth")
