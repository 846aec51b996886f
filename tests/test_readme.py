"""Every command of the README and of the pages on your own data and on training is run as it stands there."""

import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from zoo.cli.main import main

# Warnings are not errors here, as for a user.
pytestmark = [pytest.mark.early, pytest.mark.filterwarnings("default")]

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = [(ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("your_data.md", "training.md")]
SET_UP = [block for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) if "-m venv" in block]  # .ci/run runs the second


def commands(text: str) -> list[str]:
    """The commands of a page's bash blocks, without those that set up an environment."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks if block not in SET_UP for line in block.splitlines() if line]


COMMANDS = list(dict.fromkeys(commands("\n".join([TEXT, *GUIDES]))))  # in order; what stands on two pages runs once


def shell(command: str, folder: Path, **more: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **more}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def run(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command in a folder.

    Commands of the zoo run in this process, because a process of its own takes 9 s to import the libraries. A shell runs the
    script and the command that starts a second process.
    """
    if command.startswith("python") or "trainer/ddp" in command:
        shell(command, folder)
        return
    monkeypatch.chdir(folder)
    for part in command.split(" && "):
        *before, own = part.split(" | ")
        piped = shell(before[0], folder) if before else ""
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(piped.encode())))
        program, *arguments = shlex.split(own)
        assert program == "zoo"
        assert main(arguments) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with their own data, the zoo's recipes as in a checkout, and a finished run for RUN."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    rows = [f"{i % 7},{i % 3},{'yes' if (i % 7) > 3 else 'no'}" for i in range(200)]
    (folder / "mine.csv").write_text("\n".join(["height,width,label", *rows]) + "\n")
    for name, colour in {"red": (220, 30, 30), "blue": (30, 30, 220)}.items():
        (folder / "PICTURES" / name).mkdir(parents=True)
        for number in range(20):
            picture = Image.new("RGB", (40 + number, 50), tuple(value + number for value in colour))
            picture.save(folder / "PICTURES" / name / f"{number}.jpg")
    (folder / "NEW_PICTURES").symlink_to(folder / "PICTURES" / "red")
    for part, num in {"train": 20, "test": 5}.items():
        (folder / "PAIRS" / part).mkdir(parents=True)
        for number in range(num):
            pair = Image.new("RGB", (128, 64), (30, 30, 220))
            pair.paste((220, 30 + number, 30), (64, 0, 128, 64))
            pair.save(folder / "PAIRS" / part / f"{number}.png")
    lines = [f"{word} {i},{word}" for i in range(30) for word in ("praise", "blame")]
    (folder / "TEXTS.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    (folder / "NEW_TEXTS.txt").write_text("praise for this\nblame for that\n")
    months = [f"{1990 + i // 12}-{i % 12 + 1:02},{100 + i + 20 * (i % 12)}" for i in range(400)]
    (folder / "SERIES.csv").write_text("\n".join(["month,sold", *months]) + "\n")
    start = SET_UP[0].strip().split("&&")[-1].replace(".venv/bin/", "")
    (folder / "output.txt").write_text(shell(start + " --run_dir RUN", folder, WANDB_MODE="offline"))
    return folder


def test_there_are_two_set_up_commands_and_each_is_one_line() -> None:
    start, test = SET_UP
    assert start.count("\n") == test.count("\n") == 1
    assert test.split("&&")[-1].split() == [".venv/bin/python", "-m", "pytest", "-n", "2"]


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(command, folder, monkeypatch)


def test_the_python_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "example.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    runpy.run_path("example.py", run_name="__main__")
    assert "test/acc" in capsys.readouterr().out


def test_the_prediction_shown_is_what_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = re.findall(r"<!-- predicted -->\n```text\n(.*?)```", TEXT, re.DOTALL)
    (command,) = [command for command in COMMANDS if command.startswith("echo")]
    run(command, tmp_path, monkeypatch)
    assert capsys.readouterr().out.startswith(shown)


def test_the_output_shown_is_what_the_command_prints(folder: Path) -> None:
    """The same rows and scores; times and the run's directory differ."""
    (shown,) = re.findall(r"<!-- output -->\n```text\n(.*?)```", TEXT, re.DOTALL)
    printed = (folder / "output.txt").read_text()

    def rows(text: str) -> list[tuple[str, str]]:
        found = re.findall(r"^  (\S.*?)  +(.*)$", text, re.MULTILINE)
        return [(name, value if "/" in name else "") for name, value in found]

    assert [name for name, _ in rows(shown)] == [name for name, _ in rows(printed)]
    for (name, a), (_, b) in zip(rows(shown), rows(printed), strict=True):
        if name.endswith("/acc"):
            assert float(a) == pytest.approx(float(b), abs=0.02)
    first_lines = [[line.split(";")[0] for line in text.splitlines()[:2]] for text in (shown, printed)]
    assert first_lines[0] == first_lines[1]
