"""The catalog lists all models and published weights."""

import json
from pathlib import Path

import pytest

from zoo.cli.catalog import INDEX, Reference, digits, entries, reference_value
from zoo.cli.generate import generate
from zoo.cli.main import main


def listed(pattern: str, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Return the first word of each line, per section."""
    capsys.readouterr()
    assert main(["list", pattern]) == 0
    sections = capsys.readouterr().out.split("\n\n")
    return [[line.split()[0] for line in section.splitlines()[1:] if line[0] != " "] for section in sections]


def test_every_model_is_listed_in_the_order_of_the_index(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed("*", capsys)[0] == [entry["name"] for entry in entries()]
    assert [entry["name"] for entry in entries()] == [model["name"] for model in json.loads(INDEX.read_text())["models"]]


def test_a_pattern_chooses_variants_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed("vgg*", capsys) == [["vgg11", "vgg13", "vgg16", "vgg19"]]
    assert listed("*net5?", capsys)[0] == ["cifar_resnet56", "resnet50"]
    main(["list", "resnet152"])
    assert capsys.readouterr().out.splitlines()[1].split() == ["resnet152", "classification", "60,192,808", "no", "recipe"]


def test_weights_have_a_section_of_their_own(small_zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate(check_only=False)
    models = ["cifar_resnet20", "cifar_resnet32", "cifar_resnet56", "perceptron"]
    assert listed("*", capsys) == [models, ["tiny_digits"]]
    assert listed("*digits", capsys) == [["tiny_digits"]]
    assert listed("p*", capsys) == [["perceptron"]]
    main(["list", "tiny*"])
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["weights", "(zoo.load)", "data", "params", "score"]
    score = json.loads((small_zoo / "zoo" / "catalog.json").read_text())["weights"][0]["results"]["test/acc"]
    assert line.split()[:2] == ["tiny_digits", "Digits"]
    assert f"test/acc {score:.4f}" in line
    assert "val/acc" not in line


def test_of_weights_the_card_is_shown_with_how_to_load_them(small_zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate(check_only=False)
    capsys.readouterr()
    assert main(["info", "tiny_digits"]) == 0
    shown = capsys.readouterr().out
    num_bytes = (small_zoo / "zoo" / "pretrained" / "weights" / "tiny_digits.safetensors").stat().st_size
    assert shown.startswith("zoo.MLPClassifier  ")
    assert shown.splitlines()[0].endswith(f" parameters, {num_bytes:,} bytes: zoo.load('tiny_digits')")
    assert "Of two epochs." in shown
    assert "| trained by | `zoo fit -c mlp_digits" in shown
    assert "<!--" not in shown


@pytest.mark.parametrize(
    ("name", "count", "fields"),
    [("resnet18", "11,689,512", [7, 43, 99, 211, 435]), ("resnet50", "25,557,032", [7, 35, 91, 267, 427])],
)
def test_of_a_variant_its_own_count_and_fields_are_shown(
    name: str, count: str, fields: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Receptive fields computed by hand: a 3x3 convolution adds twice the jump before it, the stem 6, its pool 4."""
    assert main(["info", name]) == 0
    card, table = capsys.readouterr().out.split(
        f"\nReceptive field of {name} at 224x224 pixels, at the last layer of each resolution:\n\n"
    )
    counted_at = f"input_shape=[3, 224, 224], num_classes=1000, backbone={name}"
    assert card.startswith(f"{name}: zoo.ImageClassifier  {count} parameters ({counted_at})\n\n# ResNet\n")
    head, *lines = (line.split()[1:] for line in table.splitlines())
    assert head == ["output", "jump", "field"]
    expected = zip((112, 56, 28, 14, 7), (2, 4, 8, 16, 32), fields, strict=True)
    assert lines == [[f"{maps}x{maps}", f"{jump}x{jump}", f"{field}x{field}"] for maps, jump, field in expected]


def test_a_network_without_convolutions_has_no_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "mlp"]) == 0
    assert "Receptive field" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "name", "nearest"),
    [
        ("info", "resnet5", "resnet50"),
        ("info", "vgg166", "vgg16"),
        ("list", "*conv_next*", "convnext_"),
        ("info", "tiny_digit", "tiny_digits"),
        ("list", "tiny_digts", "tiny_digits"),
    ],
)
def test_a_mistyped_name_gets_the_nearest(
    command: str, name: str, nearest: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    if nearest == "tiny_digits":
        request.getfixturevalue("small_zoo")
        generate(check_only=False)
    capsys.readouterr()
    assert main([command, name]) == 2
    out, err = capsys.readouterr()
    assert f"did you mean '{nearest}" in err
    assert not out


def test_a_card_s_name_means_its_first_variant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "resnet"]) == 0
    by_card = capsys.readouterr().out
    assert main(["info", "resnet18"]) == 0
    assert capsys.readouterr().out == by_card


@pytest.mark.parametrize(
    ("mean", "sd", "num_seeds", "text"),
    [
        (0.98892, 0.00281, 3, "0.989 ± 0.003"),
        (0.95278, 0.01603, 3, "0.953 ± 0.016"),
        (54.711, 19.6752, 3, "55 ± 20"),
        (-691.5262, 0.96, 3, "-691.5 ± 1.0"),
        (1234.5, 321.0, 3, "1200 ± 300"),
        (0.010412, 0.0000021, 3, "0.010412 ± 0.000002"),
        (0.9459, 0.0, 1, "≈ 0.95"),
        (-691.5262, 0.0, 1, "≈ -690"),
        (25.0, 0.0, 1, "≈ 25"),
        (0.0048123, 0.0, 1, "≈ 0.0048"),
        (0.91731, 0.0, 3, "0.9173"),
        (0.0, 0.0, 3, "0"),
    ],
)
def test_digits_follow_the_deviation_and_one_seed_has_two(mean: float, sd: float, num_seeds: int, text: str) -> None:
    assert digits(mean, sd, num_seeds) == text


def test_a_reference_in_another_metric_is_not_mistaken_for_ours() -> None:
    reference: Reference = {"value": 24.6, "metric": "test/modes", "about": "VEEGAN", "ours": "24 ± 2"}
    assert reference_value(reference) == "24.6 test/modes, ours 24 ± 2"
    assert reference_value({**reference, "ours": ""}) == "24.6"
    assert reference_value(None) == ""
