"""Files: text in UTF-8, errors that name the file, and writes that are all or nothing."""

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from datamodules.core.files import decode, file_sha256, reading, replacing, utf8
from zoo.errors import ZooError


def test_text_with_and_without_a_mark_in_front(tmp_path: Path) -> None:
    assert decode(b"\xef\xbb\xbfe\xcc\x81", "here") == "e\u0301"
    (tmp_path / "a.txt").write_bytes("ö".encode())
    assert utf8(tmp_path / "a.txt") == "ö"


@pytest.mark.parametrize(
    ("content", "byte", "offset"), [(b"\xff\xfea\x00", "ff", 0), (b"na\xefve", "ef", 2), ("ok ü".encode() + b"\xc3", "c3", 5)]
)
def test_the_first_byte_that_is_none_is_named(content: bytes, byte: str, offset: int) -> None:
    with pytest.raises(ValueError, match=rf"^here is not UTF-8: byte 0x{byte} at offset {offset}; convert it \(iconv"):
        decode(content, "here")


def test_a_folder_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=rf"cannot read {tmp_path} as text: .*Is a directory"):
        utf8(tmp_path)


@pytest.mark.parametrize(
    "error", [OSError("a\nb"), EOFError("a b"), ValueError("a b"), zipfile.BadZipFile("a b"), NotImplementedError("a b")]
)
def test_what_a_library_raises_becomes_one_line(error: Exception) -> None:
    with (
        pytest.raises(ZooError, match=r"^cannot read x\.npz as npz: a b; fetch it again$") as raised,
        reading("x.npz", "npz", "fetch it again"),
    ):
        raise error
    assert raised.value.__cause__ is error


def test_a_reason_without_a_text_is_its_class() -> None:
    with pytest.raises(ZooError, match=r"^cannot read x as CSV: EOFError; check the file"), reading("x", "CSV"):
        raise EOFError


@pytest.mark.parametrize("error", [ZooError("line 3 is wrong"), TypeError("a mistake of ours")])
def test_everything_else_stays_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, reading("x", "CSV"):
        raise error
    assert raised.value is error


def test_real_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"{}" * 1000)[:-5])
    with pytest.raises(ZooError, match=r"cannot read .*a\.gz as JSON: Compressed file ended"), reading(path, "JSON"):
        json.loads(gzip.decompress(path.read_bytes()))


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "below" / "a.json"
    with replacing(path) as partial:
        partial.write_text("old")
        assert not path.exists()
    with pytest.raises(FileNotFoundError), replacing(path) as partial:
        partial.with_suffix(".other").rename(partial)  # never written
    with pytest.raises(TypeError), replacing(path) as partial:
        partial.write_bytes("half")  # type: ignore[arg-type]  # a mistake within the block, after the file was opened
    assert path.read_text() == "old"
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]  # nothing half-written beside it


def test_the_checksum_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # the example of FIPS 180-2
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
