"""The header of a recipe ends with data about its score."""

from pathlib import Path

import pytest

from zoo.cli.headers import read_header
from zoo.cli.settings import read_settings

PUBLISHED = """# published:
#   value: 86.76
#   metric: test/nll
#   protocol: VAE, 5,000 samples
#   source: Burda et al., 2016
"""


def recipe(folder: Path, header: str) -> Path:
    path = folder / "net.yaml"
    path.write_text(
        f"# A network.\n#\n#   zoo fit -c net    seconds\n#\n# Expected: nothing.\n{header}seed_everything: 0\n# seeds: 7\n"
    )
    return path


def test_the_data_are_read_and_the_settings_do_not_see_them(tmp_path: Path) -> None:
    path = recipe(tmp_path, PUBLISHED + "# baseline: pca\n# explanation: >\n#   Because\n#   of this.\n# seeds: 5\n")
    published = {"value": 86.76, "metric": "test/nll", "protocol": "VAE, 5,000 samples", "source": "Burda et al., 2016"}
    # A comment after the first setting is not part of the header.
    assert read_header(path) == {"published": published, "baseline": "pca", "explanation": "Because of this.\n", "seeds": 5}
    assert read_settings(path) == {"seed_everything": 0}


def test_a_header_without_data_is_empty(tmp_path: Path) -> None:
    assert read_header(recipe(tmp_path, "")) == {}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("# baseline: pca\n# explanaton: x\n", "no field 'explanaton': did you mean 'explanation'"),
        ("# seeds: many\n", "expected int for 'seeds' in its header, got 'many'"),
        ("# baseline:\n", "expected str for 'baseline' in its header, got None"),
        ("# published:\n#   value: 1\n", "needs the fields value, metric, protocol, source, got value"),
        (PUBLISHED.replace("86.76", "86,76"), "published.value in its header must be float, got '86,76'"),
        (PUBLISHED.replace("Burda et al., 2016", "2016"), "published.source in its header must be str, got 2016"),
        ("# baseline: pca: 5\n", "the data in its header are not valid YAML"),
        ("# seeds: 1\n# as for the others\n", "not valid YAML"),
    ],
)
def test_what_does_not_fit_is_named(header: str, message: str, tmp_path: Path) -> None:
    path = recipe(tmp_path, header)
    with pytest.raises(ValueError, match=message) as caught:
        read_header(path)
    assert str(path) in str(caught.value)
