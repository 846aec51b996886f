"""Lines of a file or of standard input: each a text, named by its number, tokenised as a checkpoint says."""

import io
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from datamodules import TextLines
from datamodules.text.tokenization import train

TOKENIZER = train(["a dull film", "the great film!"], {"vocab_size": 50, "min_frequency": 1}).to_str()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lines.txt"


def lines(source: Path | str, **arguments: int) -> TextLines:
    return TextLines(str(source), ["bad", "good"], TOKENIZER, **arguments)


def ready(source: Path | str, **arguments: int) -> TextLines:
    data = lines(source, **arguments)
    data.setup("predict")
    return data


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\ntwo", ["one", "two"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"\xef\xbb\xbfone\n", ["one"]),
        (b" one \n\ttwo\n", [" one ", "\ttwo"]),
        ("ä 😀\n日本\n".encode(), ["ä 😀", "日本"]),
        ("one\u2028half\ntwo\x85half\x0chalf\n".encode(), ["one\u2028half", "two\x85half\x0chalf"]),  # as `wc -l` counts
    ],
)
def test_a_line_is_a_text(path: Path, content: bytes, expected: list[str]) -> None:
    path.write_bytes(content)
    assert ready(path).texts == expected


def test_they_are_read_as_the_checkpoint_says(path: Path) -> None:
    path.write_text("A GREAT, great film!\nwhat a film\n")
    data = ready(path, max_length=3, vocab_size=8)
    assert (data.input_shape, data.class_names, data.num_classes) == ((3,), ("bad", "good"), 2)
    assert data.tokenizer_json == TOKENIZER
    assert [data.tokens_of(i) for i in range(2)] == [["a", "great", "[UNK]"], ["[UNK]", "a", "film"]]


def test_all_lines_are_predicted_once(path: Path) -> None:
    path.write_text("".join("film " * (1 + 7 * i % 10) + "\n" for i in range(25)))
    data = ready(path, batch_size=4)
    assert data.splits.keys() == {"test"}
    served = list(data.predict_dataloader())
    assert sorted(place for batch in served for place in batch.position.tolist()) == list(range(25))
    for batch in served:
        assert batch.lengths.tolist() == [1 + 7 * i % 10 for i in batch.position.tolist()]


def test_what_was_cut_is_said(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("a film\na great film\n")
    ready(path, max_length=2)
    assert capsys.readouterr().out == f"{path}: 2 texts of 2 tokens on average, 1 were longer than max_length 2 and cut\n"
    ready(path, max_length=3)
    assert not capsys.readouterr().out


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the terminal's encoding is another."""
    stdin = io.TextIOWrapper(io.BytesIO("größer\nfilm\n".encode()), encoding="ascii")
    monkeypatch.setattr("sys.stdin", stdin)
    assert ready("-").texts == ["größer", "film"]


def test_a_pipe_is_read_as_well(path: Path) -> None:
    """As in --text <(grep film reviews.txt)."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=("one\ntwo\n",))
    writer.start()
    assert ready(path).texts == ["one", "two"]
    writer.join()


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_nothing_to_read(path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{path} is empty: give one text per line$"):
        ready(path)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    with pytest.raises(ValueError, match=r"^standard input is empty: give one text per line$"):
        ready("-")


@pytest.mark.parametrize(
    ("content", "number", "shown"), [("film\n\nfilm\n", 2, "''"), ("film\nfilm\n  \t\n", 3, r"'  \\t'"), ("\n", 1, "''")]
)
def test_an_empty_line_is_named_by_its_number(path: Path, content: str, number: int, shown: str) -> None:
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"^line {number} of {path} has no token: {shown}; leave it out$"):
        ready(path)


def test_a_byte_that_is_no_utf8_is_named(path: Path) -> None:
    path.write_bytes(b"film\nna\xefve\n")
    with pytest.raises(ValueError, match=rf"^{path} is not UTF-8: byte 0xef at offset 7; convert it"):
        ready(path)


def test_nothing_is_read_before_setup(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a command that is refused for another reason would have swallowed its standard input."""
    stdin = io.BytesIO(b"one\n")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=stdin))
    data = lines("-")
    assert stdin.tell() == 0
    data.setup()
    assert data.texts == ["one"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for source in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(FileNotFoundError, match=rf"no file {source}: give a file with a text per line, or - for standard"):
            lines(source)
