"""The cache of decoded data: read back exactly, tied to its sources, never trusted unseen."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from datamodules.core.cache import cache_folder, cached

TENSORS = {"x": torch.arange(12, dtype=torch.uint8).view(2, 2, 3), "y": torch.tensor([1, -5])}


class Decoder:
    """Counts how often it has to work."""

    def __init__(self, tensors: dict[str, Tensor] = TENSORS) -> None:
        self.tensors, self.calls = tensors, 0

    def __call__(self) -> dict[str, Tensor]:
        self.calls += 1
        return self.tensors


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(b"first")
    return path


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert torch.equal(a[name], b[name])


def test_decodes_once_and_reads_the_same_back(folder: Path, source: Path) -> None:
    decode = Decoder()
    assert_same(cached("set", [source], decode), TENSORS)
    assert_same(cached("set", [source], decode), TENSORS)
    assert decode.calls == 1
    (file,) = folder.iterdir()  # and nothing half-written beside it
    assert file.name.startswith("set-")
    assert file.stat().st_mode == source.stat().st_mode  # others can read it too, if the user lets them read files


def test_keeps_an_empty_set(folder: Path, source: Path) -> None:
    empty = {"x": torch.empty(0, 1, 1, 1, dtype=torch.uint8), "y": torch.empty(0, dtype=torch.long)}
    for _ in range(2):
        assert_same(cached("set", [source], Decoder(empty)), empty)


def test_decodes_again_when_a_source_changes_but_not_when_it_moves(folder: Path, source: Path) -> None:
    decode = Decoder()
    cached("set", [source], decode)
    moved = source.rename(source.with_name("elsewhere"))
    cached("set", [moved], decode)
    assert decode.calls == 1
    moved.write_bytes(b"other")
    assert_same(cached("set", [moved], Decoder({"y": torch.ones(3)})), {"y": torch.ones(3)})
    cached("set", [moved, moved], decode)  # two sources are not one
    cached("another", [moved], decode)
    assert decode.calls == 3


def cut_short(raw: bytes, place: int) -> bytes:
    return raw[:place]


def one_byte_changed(raw: bytes, place: int) -> bytes:
    return raw[:place] + bytes([raw[place] ^ 0x41]) + raw[place + 1 :]


@pytest.mark.parametrize("damage", [cut_short, one_byte_changed])
def test_any_damage_is_noticed(folder: Path, source: Path, damage: Callable[[bytes, int], bytes]) -> None:
    cached("set", [source], Decoder())
    (file,) = folder.iterdir()
    raw = file.read_bytes()
    for place in range(len(raw)):
        file.write_bytes(damage(raw, place))
        with pytest.raises(ValueError, match=r"damaged cache .*: delete the file") as caught:
            cached("set", [source], Decoder())
        assert str(file) in str(caught.value)


def test_deleting_the_damaged_file_helps(folder: Path, source: Path) -> None:
    cached("set", [source], Decoder())
    (file,) = folder.iterdir()
    file.write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="delete the file"):
        cached("set", [source], Decoder())
    file.unlink()
    decode = Decoder()
    assert_same(cached("set", [source], decode), TENSORS)
    assert decode.calls == 1


def test_goes_on_where_it_cannot_write(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(source / "below" / "a" / "file"))
    decode = Decoder()
    for calls in (1, 2):
        with pytest.warns(UserWarning, match=r"cannot cache decoded data in .*below.* Set ZOO_CACHE to a writable folder"):
            assert_same(cached("set", [source], decode), TENSORS)
        assert decode.calls == calls


def test_the_folder_is_the_users_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZOO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "lightning-model-zoo"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "lightning-model-zoo"
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
