"""recipes/claims/assertions.yaml covers the reference, and names only claims, recipes and tests that exist."""

import re
from typing import Any

import pytest
import yaml

from zoo.cli.claims import CLAIMS, claim_paths
from zoo.cli.names import ROOT, recipe_paths

ASSERTIONS = [
    (chapter["chapter"], assertion)
    for chapter in yaml.safe_load((CLAIMS / "assertions.yaml").read_text(encoding="utf-8"))
    for assertion in chapter["assertions"]
]
REFERENCE = ROOT.parents[1] / "shared" / "reference" / "deep-learning.md"  # only where the zoo is developed
CHAPTERS = {
    "Neural network fundamentals": "## Neural Network Fundamentals",
    "Core architectures": "## Core Architectures",
    "Training techniques": "## Training Techniques",
    "Transfer learning": "## Transfer Learning",
}
each = pytest.mark.parametrize("assertion", [assertion for _, assertion in ASSERTIONS], ids=lambda each: each["says"][:40])


@each
def test_an_assertion_is_decided_by_what_exists(assertion: dict[str, Any]) -> None:
    assert set(assertion) <= {"says", "names", "claims", "recipes", "tests", "reason"}
    assert set(assertion) & {"claims", "recipes", "tests", "reason"}
    assert set(assertion.get("claims", [])) <= claim_paths().keys()
    assert set(assertion.get("recipes", [])) <= recipe_paths().keys()
    for test in assertion.get("tests", []):
        path, _, name = test.partition("::")
        text = (ROOT.parent / path).read_text(encoding="utf-8")
        assert f"def {name}" in text


def test_every_claim_decides_an_assertion() -> None:
    assert {name for _, assertion in ASSERTIONS for name in assertion.get("claims", [])} == claim_paths().keys()


@pytest.mark.skipif(not REFERENCE.exists(), reason="needs the reference, which is not a part of the zoo")
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_name_of_a_chapter_is_left_out(chapter: str) -> None:
    """Names are the bold words outside code, which include the first cells of tables."""
    text = REFERENCE.read_text(encoding="utf-8").split(f"{CHAPTERS[chapter]}\n")[1].split("\n## ")[0]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    bold = {name.rstrip(":") for name in re.findall(r"\*\*(.+?)\*\*", prose)}
    covered = {name for held, assertion in ASSERTIONS if held == chapter for name in assertion.get("names", [])}
    known = {name.lower() for name in covered}
    assert not {name for name in bold if name.lower() not in known}


@pytest.mark.skipif(not REFERENCE.exists(), reason="needs the reference, which is not a part of the zoo")
def test_every_interview_question_is_answered() -> None:
    asked = set(re.findall(r"^\*\*(Q\d+):", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert asked
    assert asked <= {name for _, assertion in ASSERTIONS for name in assertion.get("names", [])}
