"""Tables: standardised by what may be seen, and clear about what is wrong with a file."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from datamodules import Tabular
from datamodules.tables.tabular import scale_of


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "table.csv"
        path.write_text(text)
        return str(path)

    return write


def rows_of(num: int, line: Callable[[int], str], header: str) -> str:
    return "\n".join([header, *map(line, range(num))]) + "\n"


def ready(**arguments: object) -> Tabular:
    data = Tabular(**arguments)  # type: ignore[arg-type]  # named by the test
    data.setup()
    return data


@pytest.mark.parametrize(
    ("source", "load", "num_features", "class_names"),
    [
        ("breast_cancer", load_breast_cancer, 30, ("malignant", "benign")),
        ("wine", load_wine, 13, ("class_0", "class_1", "class_2")),
    ],
)
def test_embedded_classification(source: str, load: Callable, num_features: int, class_names: tuple[str, ...]) -> None:
    data, original = Tabular(source), load()
    assert (data.input_shape, data.num_classes, data.num_targets) == ((num_features,), len(class_names), None)
    assert data.class_names == class_names == tuple(original.target_names)
    data.setup()
    x, y, _ = data.splits["train"].arrays
    seen = original.data[data.splits["train"].rows]
    np.testing.assert_allclose(x, (original.data - seen.mean(0)) / seen.std(0), rtol=1e-5, atol=1e-6)
    assert np.array_equal(y.numpy(), original.target)


def test_embedded_regression_keeps_the_targets_units() -> None:
    data, original = ready(source="diabetes"), load_diabetes()
    assert (data.input_shape, data.num_classes, data.num_targets) == ((10,), None, 1)
    (_, y, _), rows = data.splits["train"]
    assert (y.shape, y.dtype) == ((442, 1), torch.float32)
    assert np.array_equal(y[:, 0].numpy(), original.target.astype(np.float32))
    seen = original.target[rows]
    assert data.target_mean.item() == pytest.approx(seen.mean(), rel=1e-5)
    assert data.target_std.item() == pytest.approx(seen.std(), rel=1e-5)


@pytest.mark.parametrize("source", ["breast_cancer", "wine", "diabetes"])
def test_splits_are_disjoint_and_complete(source: str) -> None:
    data, other_seed, other_split = (ready(source=source, **extra) for extra in ({}, {"seed": 1}, {"split_seed": 1}))
    rows = {name: split.rows for name, split in data.splits.items()}
    num = len(data.splits["train"].arrays.y)
    assert sorted(torch.cat(list(rows.values())).tolist()) == list(range(num))
    assert len(rows["test"]) == pytest.approx(0.2 * num, abs=2)
    assert len(rows["val"]) == pytest.approx(0.2 * 0.8 * num, abs=2)
    for name in rows:
        assert torch.equal(other_seed.splits[name].rows, rows[name])
        assert not torch.equal(other_split.splits[name].rows, rows[name])


def test_standardised_by_the_training_rows_alone() -> None:
    data = ready(source="wine")
    (x, _, _), rows = data.splits["train"]
    assert x.dtype == torch.float32
    assert x[rows].mean(0).abs().max() < 1e-5
    assert (x[rows].std(0, correction=0) - 1).abs().max() < 1e-5
    assert x[data.splits["test"].rows].mean(0).abs().max() > 1e-2  # the test rows are not centred on themselves
    assert np.allclose(data.mean, load_wine().data[rows].mean(0))


def test_training_and_evaluation_transform_alike() -> None:
    data = ready()
    batch = next(iter(data.val_dataloader()))
    assert torch.equal(data.transform(batch, 0, True).x, data.transform(batch, 5, False).x)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3, 7.7, 1e6 + 0.1, -1e-20, 1e9 + 0.1])
@pytest.mark.parametrize("num", [3, 100, 1149])
def test_a_constant_feature_becomes_zero(constant: float, num: int) -> None:
    x = torch.stack([torch.full((num,), constant).double(), torch.arange(num).double()], dim=1)
    mean, std = scale_of(x)
    out = (x - mean) / std
    assert torch.equal(out[:, 0], torch.zeros(num).double())
    assert out[:, 1].std(correction=0).item() == pytest.approx(1, abs=1e-9)


def test_a_deviation_too_small_to_compute_divides_by_one() -> None:
    assert scale_of(torch.tensor([[1e-200], [2e-200]]))[1].item() == 1.0


def test_unix_times_of_one_day_stay_apart(csv: Callable[[str], str]) -> None:
    """In float32, 64 seconds are the smallest difference at this size."""
    path = csv(rows_of(200, lambda i: f"{1_700_000_000 + i},{['early', 'late'][i // 100]}", header="time,y"))
    data = ready(source=path, target="y")
    (x, _, _), rows = data.splits["train"]
    assert len(x.unique()) == 200
    times = np.arange(200.0)
    np.testing.assert_allclose(x[:, 0], (times - times[rows].mean()) / times[rows].std(), atol=1e-6)
    state = data.state_dict()
    for scale in ({}, {name: state[name].tolist() for name in ("mean", "std")}):  # an exported file holds lists
        again = ready(source=path, target="y", split_seed=1)
        again.load_state_dict({**state, **scale})
        assert torch.equal(again.splits["train"].arrays.x, x)


def test_a_target_that_float32_cannot_tell_apart_is_refused(csv: Callable[[str], str]) -> None:
    path = csv(rows_of(50, lambda i: f"{i},{1.7e9 + i * 0.5}", header="a,y"))
    with pytest.raises(ValueError, match=r"target 'y' of .* varies too little for its size: .*subtract 1700000000 in"):
        ready(source=path, target="y")
    ready(source=csv(rows_of(50, lambda i: f"{i},{1e5 + i * 0.5}", header="a,y")), target="y")


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1, 0.0])
def test_a_constant_target_is_refused(csv: Callable[[str], str], value: float) -> None:
    """Of 0.1 in every row, the computed deviation is not 0."""
    path = csv(rows_of(50, lambda i: f"{i},{value}", header="a,y"))
    with pytest.raises(ValueError, match=r"the target of .*table\.csv' is constant in the training rows"):
        ready(source=path, target="y", task="regression")


@pytest.mark.parametrize("value", ["fig", "1", "0.0"])
def test_one_class_is_refused_for_training(csv: Callable[[str], str], value: str) -> None:
    data = Tabular(csv(rows_of(50, lambda i: f"{i},{value}", header="a,y")), target="y")
    with pytest.raises(ValueError, match=rf"table\.csv has only one class for training, '{value}': add samples"):
        data.setup("fit")


@pytest.mark.parametrize(("num", "samples"), [(1, "1 sample"), (2, "2 samples")])
def test_a_class_with_too_few_rows_for_every_part_is_named(csv: Callable[[str], str], num: int, samples: str) -> None:
    path = csv(rows_of(40, lambda i: f"{i},{'odd' if i < num else 'even'}", header="x,y"))
    message = f"the class odd has {samples}, too few for training and test and val: add some, or leave the class out"
    with pytest.raises(ValueError, match=f"^{message}$"):
        ready(source=path, target="y")


def test_a_file_that_lacks_a_class_can_be_tested(csv: Callable[[str], str], tmp_path: Path) -> None:
    trained = ready(source=csv(rows_of(60, lambda i: f"{i},{['fig', 'kiwi', 'plum'][i % 3]}", header="a,y")), target="y")
    other = tmp_path / "other.csv"
    other.write_text(rows_of(20, lambda i: f"{i},plum", header="a,y"))
    data = Tabular(str(other), target="y")
    data.adopt(trained.describe())
    assert (data.class_names, data.num_classes) == (("fig", "kiwi", "plum"), 3)
    data.setup("test")
    data.load_state_dict(trained.state_dict())
    assert data.splits["test"].arrays.y.tolist() == [2] * 20


def test_other_classes_are_not_adopted(csv: Callable[[str], str]) -> None:
    data = Tabular(csv(rows_of(20, lambda i: f"{i},{['fig', 'pear'][i % 2]}", header="a,y")), target="y")
    data.adopt({"class_names": ["fig", "kiwi", "plum"]})
    assert data.class_names == ("fig", "pear")


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_a_column_without_a_name_is_no_feature(csv: Callable[[str], str], name: str) -> None:
    """pandas writes row numbers so. Sorted by class, they tell the class."""
    data = ready(source=csv(rows_of(30, lambda i: f"{i},{i % 7},{i // 15}", header=f"{name},a,y")), target="y")
    assert (data.feature_names, data.input_shape) == (("a",), (1,))
    assert "left out, because it has no name: column 1" in data.report()


def test_the_report_says_what_the_table_holds(csv: Callable[[str], str]) -> None:
    path = csv(rows_of(50, lambda i: f"{i},0.1,{['fig', 'plum'][i % 5 == 0]}", header="a,b,y"))
    assert ready(source=path, target="y").report() == [
        "Tabular: 32 train, 8 val, 10 test samples",
        "2 classes: fig (40), plum (10)",
        f"{path}: 50 rows of 2 features",
        "constant and so useless in train: b",
    ]


def test_csv_classification_by_text(csv: Callable[[str], str]) -> None:
    path = csv(rows_of(30, lambda i: f"{i},{['plum', 'fig'][i % 2]},{-i / 4}", header="a,kind,b"))
    data = Tabular(path, target="kind")
    assert (data.input_shape, data.feature_names) == ((2,), ("a", "b"))
    assert (data.class_names, data.num_classes, data.num_targets) == (("fig", "plum"), 2, None)
    data.setup()
    x, y, _ = data.splits["train"].arrays
    assert torch.equal(x[:, 0], -x[:, 1])
    assert torch.equal(x.argsort(dim=0)[:, 0], torch.arange(30))
    assert y.tolist() == [1, 0] * 15


def test_csv_classification_by_whole_numbers(csv: Callable[[str], str]) -> None:
    data = ready(source=csv(rows_of(30, lambda i: f"{i},{[10, 9, 2][i % 3]}", header="a,y")), target="y")
    assert data.class_names == ("2", "9", "10")  # in the order of numbers, not of their names
    assert data.splits["train"].arrays.y.tolist() == [2, 1, 0] * 10


@pytest.mark.parametrize(
    ("words", "class_names"),
    [
        (["0.0", "1.0"], ("0.0", "1.0")),
        (["01", "1", "2"], ("01", "1", "2")),  # read as integers, two classes
        (["3.0", "-1.0"], ("-1.0", "3.0")),
        (["true", "false"], ("false", "true")),
        (["2020-01-01", "2021-01-01"], ("2020-01-01", "2021-01-01")),
    ],
)
def test_csv_classes_are_text(csv: Callable[[str], str], words: list[str], class_names: tuple[str, ...]) -> None:
    data = ready(source=csv(rows_of(30, lambda i: f"{i},{words[i % len(words)]}", header="a,y")), target="y")
    assert (data.class_names, data.num_targets) == (class_names, None)
    assert data.splits["train"].arrays.y.tolist() == [class_names.index(words[i % len(words)]) for i in range(30)]


def test_many_whole_numbers_written_as_fractions_are_a_regression(csv: Callable[[str], str]) -> None:
    data = Tabular(csv(rows_of(60, lambda i: f"{i},{i % 21}.0", header="a,y")), target="y")
    assert (data.num_classes, data.num_targets) == (None, 1)


def test_a_target_with_about_one_class_per_row_is_refused(csv: Callable[[str], str]) -> None:
    path = csv(rows_of(60, lambda i: f"{i},id{i},{i % 2}", header="a,id,sold"))
    with pytest.raises(ValueError, match=r"column 'id' of .* has 60 classes in 60 rows, about one per row: .* such as sold,"):
        Tabular(path, target="id")


def test_csv_regression_by_fractions(csv: Callable[[str], str]) -> None:
    data = ready(source=csv(rows_of(20, lambda i: f"{i * 0.5},{i}", header="y,a")), target="y")
    assert (data.num_classes, data.num_targets, data.class_names) == (None, 1, ())
    assert torch.equal(data.splits["train"].arrays.y, torch.arange(20)[:, None] * 0.5)
    batch = next(iter(data.test_dataloader()))
    assert (batch.x.shape, batch.y.shape) == ((4, 1), (4, 1))


def test_csv_task_overrules_the_guess(csv: Callable[[str], str]) -> None:
    whole = csv(rows_of(20, lambda i: f"{i},{i % 4}", header="a,y"))
    data = ready(source=whole, target="y", task="regression")
    assert (data.num_classes, data.num_targets) == (None, 1)
    assert data.splits["train"].arrays.y[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0] * 5
    fractions = csv(rows_of(20, lambda i: f"{i},{i % 2 + 0.5}", header="a,y"))
    data = ready(source=fractions, target="y", task="classification")
    assert data.class_names == ("0.5", "1.5")
    assert data.splits["train"].arrays.y.tolist() == [0, 1] * 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", r"table\.csv has no column 'y': set target to one of a, b"),
        ("a,b,y\n1,red,0\n2,blue,1\n", r"column 'b' of .*table\.csv holds string, expected numbers"),
        ("a,b,y\n1,2,0\n,3,1\n,4,1\n", r"column 'a' of .*table\.csv has 2 empty cell\(s\)"),
        ("a,b,y\n1,,0\n2,,1\n", r"column 'b' of .*table\.csv holds null, expected numbers"),
        ("a,b,y\n1,2,\n3,4,1\n", r"column 'y' of .*table\.csv has 1 empty cell\(s\)"),
        ("a,b,y\n1,2,\n3,4,fig\n", r"column 'y' of .*table\.csv has 1 empty cell\(s\)"),
        ("a,b,y\n1,2,fig\n3,4,NaN\n", r"column 'y' of .*table\.csv has 1 empty cell\(s\)"),
        ("a,b,y\n1,1e200,0\n3,4,1\n", r"column 'b' of .*table\.csv holds numbers that are infinite or above 1e\+150"),
        (",y\n1,2\n", r"table\.csv has no column besides the target 'y'"),
        ("a,b,y\n1,2,0.5\n3,4,nan\n", r"column 'y' of .*table\.csv has 1 empty cell\(s\)"),
        ("a,b,y\n1,inf,0\n3,4,1\n", r"column 'b' of .*table\.csv holds numbers that are infinite"),
        ("a,a,y\n1,2,0\n3,4,1\n", r"table\.csv names a column twice: a, a, y"),
        ("y\n1\n2\n", r"table\.csv has no column besides the target 'y'"),
        ("a,y\n1,2\n1,2,3\n", r"cannot read .*table\.csv as CSV: .*Expected 2 columns, got 3"),
        ("", r"cannot read .*table\.csv as CSV: Empty CSV file"),
        ("a,y\n", r"table\.csv has a header but no rows: add samples"),
    ],
)
def test_names_the_file_and_the_column_at_fault(csv: Callable[[str], str], text: str, message: str) -> None:
    path = csv(text)
    with pytest.raises(ValueError, match=message):
        ready(source=path, target="y")


def test_a_regression_target_of_text_is_named(csv: Callable[[str], str]) -> None:
    path = csv("a,y\n1,tall\n2,short\n")
    with pytest.raises(ValueError, match=r"column 'y' of .*table\.csv holds string, expected numbers"):
        ready(source=path, target="y", task="regression")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no CSV file '.*none\.csv': give a path, or one of breast_cancer, wine, diabetes"
    ):
        Tabular(str(tmp_path / "none.csv"), target="y")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "wine", "target": "y"}, "target is for CSV files; 'wine' has its own"),
        ({"source": "wine", "task": "regression"}, "'wine' is a classification set, got task='regression'"),
        ({"source": "diabetes", "task": "classification"}, "'diabetes' is a regression set, got task='classification'"),
        ({"task": "ranking"}, "unknown task 'ranking': choose one of classification, regression"),
    ],
)
def test_refuses_what_contradicts_the_set(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tabular(**arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_a_constructor_reads_the_header_and_the_target_alone(csv: Callable[[str], str]) -> None:
    data = Tabular(csv("a,b,y\nred,1,fig\n,2,plum\n"), target="y")
    assert (data.input_shape, data.class_names, data.feature_names) == ((2,), ("fig", "plum"), ("a", "b"))
    with pytest.raises(ValueError, match=r"column 'a' of .*table\.csv holds string, expected numbers"):
        data.setup()


@pytest.mark.parametrize("text", ["na\xefve,y\n1,2\n", "a,y\n1,caf\xe9\n"])
def test_a_table_in_latin_1_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(ValueError, match=rf"^{path} is not UTF-8: byte 0xe[f9] at offset \d"):
        Tabular(str(path), target="y")


def test_a_compressed_table_that_is_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.csv.gz"
    whole = gzip.compress(rows_of(5000, lambda i: f"{i * 7919 % 5003},{i % 2}", header="a,y").encode())
    path.write_bytes(whole)
    assert Tabular(str(path), target="y").class_names == ("0", "1")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf"^cannot read {path} as CSV: "):
        Tabular(str(path), target="y")


def test_a_part_of_one_row_is_refused_for_regression(csv: Callable[[str], str]) -> None:
    """Before the training, at whose end r2 would need at least two samples."""
    path = csv(rows_of(7, lambda i: f"{i},{i * 0.5}", header="a,y"))
    with pytest.raises(ValueError, match=r"table\.csv leaves 1 row for (test|val), regression needs 2 or more: add rows"):
        ready(source=path, target="y")


def test_a_regression_has_no_classes_to_balance() -> None:
    assert Tabular("wine", balance=True).balance
    with pytest.raises(ValueError, match="balance is for classes, but the target of a regression has none"):
        Tabular("diabetes", balance=True)
