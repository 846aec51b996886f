"""The table of commands: what each refuses before a model is loaded, and which names it knows."""

from pathlib import Path

import pytest

from zoo.cli.commands import COMMANDS
from zoo.cli.main import build_parser, main


def test_every_command_is_there_once_and_documents_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    names = [command.name for command in COMMANDS]
    assert len(names) == len(set(names)) == 14
    for name in names:
        with pytest.raises(SystemExit):
            build_parser().parse_args([name, "--help"])
        assert "--traceback" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["sample", "interpolate"])
@pytest.mark.parametrize("output", ["name", "x.txt", "."])
def test_a_file_that_is_no_picture_is_refused_first(command: str, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "no_such_checkpoint", "-o", output]) == 2
    assert capsys.readouterr().err == f"zoo: --output {output} is not the name of a picture: end it in .png\n"


def test_published_weights_are_exported_by_name(
    small_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into the working directory: the installed package is no place to write to."""
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["export", "tiny_digits", "--format", "pt2"]) == 0
    assert capsys.readouterr().out.startswith("wrote tiny_digits.pt2 (")
    assert (tmp_path / "tiny_digits.pt2").is_file()


def test_a_file_is_shown_like_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("# größer\nmodel: {}\n", encoding="utf-8")
    assert main(["show", str(tmp_path / "mine.yaml")]) == 0
    assert capsys.readouterr().out == "# größer\nmodel: {}\n"
