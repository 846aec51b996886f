"""Generated files follow cards, published files and results; inconsistencies are reported."""

import json
import re
import shutil
from pathlib import Path

import pytest

from zoo.cli.catalog import Entry, Weights, entries, weights
from zoo.cli.claims import claim_paths, sentence
from zoo.cli.generate import generate, generated_files
from zoo.cli.main import main
from zoo.training.checkpoint import load_system

BACKBONES = """---
name: nets
class_path: zoo.ImageClassifier
task: classification
{argument}
counted_at: {{input_shape: [3, 32, 32], num_classes: 10}}
variants:
  {variants}
---
# Nets

<!-- scores -->
<!-- /scores -->
"""


def nets(home: Path, variants: str, argument: str = "argument: backbone") -> Path:
    card = home / "zoo" / "cnn" / "nets.md"
    card.write_text(BACKBONES.format(argument=argument, variants=variants))
    return card


def named(name: str) -> Entry:
    return next(entry for entry in entries() if entry["name"] == name)


def test_a_second_look_finds_everything_up_to_date(small_zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert generate(check_only=False) == 0
    written = {line.removeprefix("wrote ") for line in capsys.readouterr().out.splitlines()}
    assert {"zoo/catalog.json", "zoo/pretrained/weights/tiny_digits.md", "README.md", "docs/cnn.md"} <= written
    assert generate(check_only=True) == 0
    assert generate(check_only=False) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("zoo/cnn/cifar_resnet.md", "| `cifar_resnet32` | 464,154 |", "| `cifar_resnet32` | 464,155 |"),
        ("zoo/cnn/cifar_resnet.md", "| `cifar_resnet56` | 853,018 |\n", ""),
        ("zoo/pretrained/weights/tiny_digits.md", "| trained by | `zoo fit ", "| trained by | `zoo guess "),
        (
            "docs/results.md",
            "| [`tiny_digits`](../zoo/pretrained/weights/tiny_digits.md) | Digits |",
            "| [`tiny_digits`](x.md) | Digits |",
        ),
        ("docs/results.md", "[cifar_resnet20](../zoo/cnn/cifar_resnet.md)", "[cifar_resnet20](../zoo/cnn/resnet.md)"),
        (
            "README.md",
            "| [CNN](docs/cnn.md) | `resnet20_cifar10_published` | test/acc",
            "| [CNN](docs/cnn.md) | `resnet20` | test/acc",
        ),
        ("docs/cnn.md", "[cifar_resnet20](../zoo/cnn/cifar_resnet.md)", "cifar_resnet20"),
        ("zoo/catalog.json", '"num_params": 464154', '"num_params": 464155'),
    ],
    ids=["count", "variant", "facts", "weights", "catalog", "families", "page", "index"],
)
def test_what_was_changed_by_hand_is_named_and_put_right(
    path: str, old: str, new: str, small_zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate(check_only=False)
    text = (small_zoo / path).read_text()
    assert old in text
    (small_zoo / path).write_text(text.replace(old, new))
    capsys.readouterr()
    assert generate(check_only=True) == 1
    assert capsys.readouterr().err == f"out of date: {path} (run: zoo generate)\n"
    assert (small_zoo / path).read_text() != text  # a check only looks
    assert generate(check_only=False) == 0
    assert (small_zoo / path).read_text() == text


def test_a_card_of_variants_gives_a_model_each(small_zoo: Path) -> None:
    """Table 6 of He et al. states 0.27 M, 0.46 M and 0.85 M parameters; fields are sums of (k - 1) * jump."""
    generate(check_only=False)
    assert [entry["name"] for entry in entries()] == ["cifar_resnet20", "cifar_resnet32", "cifar_resnet56", "perceptron"]
    for depth, millions in {20: 0.27, 32: 0.46, 56: 0.85}.items():
        entry, num_blocks = named(f"cifar_resnet{depth}"), (depth - 2) // 6
        assert round(entry["num_params"] / 1e6, 2) == millions
        assert entry["counted_at"] == {"input_shape": [3, 32, 32], "num_classes": 10, "depth": depth}
        assert entry["tested_at"] == {"input_shape": [3, 16, 16], "num_classes": 10, "depth": 8, "width": 8}
        first = 3 + 2 * 2 * num_blocks
        second = first + 2 + 4 * (2 * num_blocks - 1)
        third = second + 4 + 8 * (2 * num_blocks - 1)
        assert [(row["maps"], row["jump"], row["field"]) for row in entry["fields"]] == [
            ("32x32", "1x1", f"{first}x{first}"),
            ("16x16", "2x2", f"{second}x{second}"),
            ("8x8", "4x4", f"{third}x{third}"),
        ]
    assert named("perceptron")["fields"] == []


def test_recipes_stand_once_with_their_own_variant(small_zoo: Path) -> None:
    generate(check_only=False)
    of = {depth: {score["recipe"] for score in named(f"cifar_resnet{depth}")["scores"]} for depth in (20, 32, 56)}
    assert of == {20: {"resnet20_fashion_mnist", "resnet20_cifar10_published"}, 32: set(), 56: {"resnet56_cifar10_published"}}
    recipes = of[20] | of[56]
    table = (small_zoo / "docs" / "cnn.md").read_text()
    assert all(table.count(f"`{recipe}`") == 1 for recipe in recipes)
    assert "mlp" not in table  # another family's page


def test_a_page_shows_the_metrics_it_names(small_zoo: Path) -> None:
    page = small_zoo / "docs" / "cnn.md"
    markers = [f"<!-- metrics {names} -->\n<!-- /metrics -->\n" for names in ("acc loss kl", "kl acc")]
    page.write_text(page.read_text() + "".join(markers))
    generate(check_only=False)
    first, second = re.findall(r"<!-- metrics [\w ]+ -->\n(.*?)<!-- /metrics -->", page.read_text(), re.DOTALL)
    assert "| `resnet20_cifar10_published` | 0.9173 | 0.3727 |  |" in first.splitlines()
    assert second.splitlines() == ["| recipe | `kl` | `acc` |", "|---|---|---|"]  # of those that have the first: none


def test_a_page_shows_the_last_calibration_of_a_network(small_zoo: Path) -> None:
    results = small_zoo / "benchmarks" / "calibrate_fd.results.jsonl"
    results.parent.mkdir()
    scores = [{"real": {"fd": 0.1, "modes": 10}}, {"real": {"fd": 0.15384, "modes": 10}, "blur": {"fd": 11.1, "modes": 9}}]
    results.write_text("".join(json.dumps({"extractor": "cnn", "scores": score}) + "\n" for score in scores))
    page = small_zoo / "docs" / "metrics.md"
    page.write_text("# Metrics\n\n<!-- calibration cnn -->\n<!-- /calibration -->\n")
    generate(check_only=False)
    (table,) = re.findall(r"<!-- calibration cnn -->\n(.*?)<!-- /calibration -->", page.read_text(), re.DOTALL)
    assert table.splitlines() == [
        "| images | `fd` | `modes` |",
        "|---|---|---|",
        "| real | 0.154 | 10 |",
        "| blur | 11.1 | 9 |",
    ]
    page.write_text("<!-- calibration other -->\n<!-- /calibration -->\n")
    with pytest.raises(ValueError, match="has no results for other: run benchmarks/calibrate_fd"):
        generate(check_only=False)


def test_a_page_shows_its_own_familys_claims(small_zoo: Path) -> None:
    page = small_zoo / "docs" / "cnn.md"
    page.write_text("<!-- claims -->\n<!-- /claims -->\n")
    generate(check_only=False)
    (table,) = re.findall(r"<!-- claims -->\n(.*?)<!-- /claims -->", page.read_text(), re.DOTALL)
    rows = [row.split(" | ")[0].removeprefix("| ") for row in table.splitlines()[2:]]
    own = [path for path in claim_paths().values() if path.parent.name == "cnn"]
    assert rows == [sentence(path) for path in own]
    assert len(own) < len(claim_paths())


def test_where_cards_share_a_class_each_has_the_recipes_of_its_variants(small_zoo: Path) -> None:
    nets(small_zoo, "tiny: {backbone: resnet18}")
    generate(check_only=False)
    assert "resnet18_image_folder" in {score["recipe"] for score in named("tiny")["scores"]}
    nets(small_zoo, "tiny: {backbone: resnet34}")
    generate(check_only=False)
    assert "resnet18_image_folder" not in {score["recipe"] for score in named("tiny")["scores"]}


@pytest.mark.parametrize(
    ("variants", "argument", "message"),
    [
        ("tiny: {bckbone: resnet18}", "argument: bckbone", r"cannot build zoo.ImageClassifier .*bckbone"),
        ("tiny: {backbone: resnet18}", "", r"`variants` need an `argument`"),
        ("tiny: {backbone: resnet17}", "argument: backbone", r"cannot build zoo.ImageClassifier .*no backbone 'resnet17'"),
        ("tiny: {backbone: resnet18, stem: big}", "argument: backbone", r"unknown stem 'big'"),
        ("tiny: {backbone: resnet18}", "argument: bckbone", r"variant tiny has no 'bckbone'"),
        ("perceptron: {backbone: resnet18}", "argument: backbone", r"two cards share a name: .*perceptron"),
    ],
    ids=["misspelt", "untold", "unknown", "refused", "argument", "twice"],
)
def test_a_card_that_does_not_fit_is_named(variants: str, argument: str, message: str, small_zoo: Path) -> None:
    card = nets(small_zoo, variants, argument)
    about = "" if "share" in message else re.escape(f"{card}: ")
    with pytest.raises(ValueError, match=about + ".*" + message):
        generated_files()


def test_a_card_without_a_place_for_its_scores_is_named(small_zoo: Path) -> None:
    card = nets(small_zoo, "tiny: {backbone: resnet18}")
    card.write_text(card.read_text().replace("<!-- /scores -->", ""))
    with pytest.raises(ValueError, match=rf"{card} lacks the lines <!-- scores --> and <!-- /scores -->"):
        generated_files()


def test_published_weights_say_what_their_run_said(small_zoo: Path, run: Path) -> None:
    generate(check_only=False)
    (item,) = weights()
    path = small_zoo / "zoo" / "pretrained" / "weights" / "tiny_digits.safetensors"
    facts = json.loads((run / "run.json").read_text())
    assert item == Weights(
        name="tiny_digits",
        class_path="zoo.MLPClassifier",
        card="pretrained/weights/tiny_digits.md",
        num_params=sum(parameter.numel() for parameter in load_system(path).parameters()),
        num_bytes=path.stat().st_size,
        recipe="mlp_digits",
        data="Digits",
        results=facts["results"],
    )
    card = path.with_suffix(".md").read_text()
    score = f"test/acc {facts['results']['test/acc']:.4f}"
    for fact in (
        score,
        facts["commands"][0],
        facts["hardware"],
        facts["versions"]["torch"],
        "hidden_dims=[256, 256]",
        "[0.3053]",
    ):
        assert fact in card
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in card
    assert "Of two epochs." in card  # written by hand
    assert score in (small_zoo / "docs" / "results.md").read_text()


def test_weights_without_a_card_are_refused(small_zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (small_zoo / "zoo" / "pretrained" / "weights" / "tiny_digits.md").unlink()
    assert main(["generate", "--check"]) == 1
    message = "tiny_digits.safetensors: expected a card tiny_digits.md next to it, and an export from a finished run"
    assert message in capsys.readouterr().err
    assert not (small_zoo / "zoo" / "catalog.json").exists()


def test_weights_of_no_finished_run_are_refused(small_zoo: Path, run: Path, tmp_path: Path) -> None:
    alone, published = tmp_path / "alone.ckpt", small_zoo / "zoo" / "pretrained" / "weights" / "tiny_digits.safetensors"
    shutil.copy(run / "checkpoints" / "best.ckpt", alone)
    assert main(["export", str(alone), "--format", "safetensors", "-o", str(published)]) == 0
    with pytest.raises(ValueError, match=r"tiny_digits.safetensors: expected .* an export from a finished run"):
        generated_files()


def test_weights_of_a_recipe_that_is_not_the_zoos_are_refused(small_zoo: Path, painted: Path) -> None:
    published = small_zoo / "zoo" / "pretrained" / "weights" / "colours.safetensors"
    assert main(["export", str(painted / "checkpoints" / "best.ckpt"), "--format", "safetensors", "-o", str(published)]) == 0
    published.with_suffix(".md").write_text("---\nname: colours\n---\n# Colours\n\n<!-- facts -->\n<!-- /facts -->\n")
    with pytest.raises(ValueError, match=r"colours.safetensors: the zoo has no recipe 'colours'"):
        generated_files()


def test_a_page_whose_best_recipe_does_not_exist_is_named(small_zoo: Path) -> None:
    page = small_zoo / "docs" / "cnn.md"
    page.write_text(page.read_text().replace("best: resnet20_cifar10_published", "best: resnet2000"))
    with pytest.raises(ValueError, match=r"cnn.md names the recipe 'resnet2000', which does not exist"):
        generate(check_only=True)
