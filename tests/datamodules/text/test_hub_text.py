"""Sets of texts on the hub: which files, which columns, which classes; in a mirror, as on the hub."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from datamodules import SST2, HubText

REPO = "someone/notes"
NOTES = {"text": ["fine", "dull", "great", "bleak"], "label": [1, 0, 1, 0]}


def write(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None) -> None:
    """A file as the hub has it: parquet with what the `datasets` library writes about its columns, or JSON lines, or CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    match path.suffix:
        case ".parquet":
            table = pa.table(columns)
            if features is not None:
                table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
            pq.write_table(table, path)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ending:
            sign = {".csv": ",", ".tsv": "\t"}[ending]
            lines = [columns.keys(), *(row.values() for row in rows)]
            path.write_text("".join(sign.join(map(str, line)) + "\n" for line in lines))


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a repository in a mirror; its tests fill it."""
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    (tmp_path / REPO).mkdir(parents=True)
    return tmp_path / REPO


def module(**arguments: Any) -> HubText:
    return HubText(**{"source": REPO, "tokenizer": {"min_frequency": 1}, **arguments})


def found(data: HubText) -> list[tuple[str, str]]:
    """Each text with the name of its class, those for training first."""
    texts, y, parts, _ = data.read()
    rows = [row for part in ("train", "val", "test") if part in parts for row in parts[part].tolist()]
    assert sorted(rows) == list(range(len(texts)))
    return [(texts[row], data.class_names[y[row]]) for row in rows]


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".csv", ".tsv"])
def test_files_of_every_format(notes: Path, ending: str) -> None:
    write(notes / f"train{ending}", NOTES)
    write(notes / f"test{ending}", {"text": ["dull"], "label": [0]})
    data = module()
    assert (data.class_names, data.num_classes) == (("0", "1"), 2)
    assert found(data) == [("fine", "1"), ("dull", "0"), ("great", "1"), ("bleak", "0"), ("dull", "0")]


def test_the_schema_names_the_classes(notes: Path) -> None:
    features = {"text": {"_type": "Value"}, "label": {"_type": "ClassLabel", "names": ["blame", "praise", "neither"]}}
    write(notes / "data" / "train-00000-of-00001.parquet", NOTES, features)
    data = module()
    assert (data.class_names, data.num_classes) == (("blame", "praise", "neither"), 3)  # also those that no text shows
    assert found(data)[:2] == [("fine", "praise"), ("dull", "blame")]


def test_a_column_of_words_names_the_numbers(notes: Path) -> None:
    """As SetFit's sets have it."""
    write(notes / "train.jsonl", {**NOTES, "label_text": ["praise", "blame", "praise", "blame"]})
    write(notes / "test.jsonl", {"text": ["dull"], "label": [0]})
    assert found(module()) == [
        ("fine", "praise"),
        ("dull", "blame"),
        ("great", "praise"),
        ("bleak", "blame"),
        ("dull", "blame"),
    ]


def test_words_that_name_two_numbers_alike_name_none(notes: Path) -> None:
    write(notes / "train.jsonl", {"text": ["a", "b", "c"], "label": [1, 2, 0], "label_text": ["yes", "yes", "no"]})
    assert module().class_names == ("0", "1", "2")


def test_classes_may_be_words(notes: Path) -> None:
    write(notes / "train.parquet", {"text": ["a", "b", "c", "d"], "label": ["soft", "hard", "soft", "even"]})
    data = module()
    assert data.class_names == ("even", "hard", "soft")
    assert data.read().y.tolist() == [2, 1, 2, 0]


def test_labels_are_text_in_all_files(notes: Path) -> None:
    write(notes / "train.parquet", NOTES)
    write(notes / "test.parquet", {"text": ["a", "b"], "label": ["0", "1"]})
    assert found(module())[-2:] == [("a", "0"), ("b", "1")]


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_01_and_1_are_two_classes(notes: Path, ending: str) -> None:
    write(notes / f"train{ending}", {"text": ["a", "b", "c"], "label": ["01", "1", "1.0"]})
    assert found(module()) == [("a", "01"), ("b", "1"), ("c", "1.0")]


def test_a_file_may_name_its_classes_in_another_order(notes: Path) -> None:
    features = [{"label": {"names": names}} for names in (["blame", "praise"], ["praise", "blame"])]
    write(notes / "train.parquet", NOTES, features[0])
    write(notes / "test.parquet", {"text": ["great", "bleak"], "label": [0, 1]}, features[1])
    data = module()
    assert data.class_names == ("blame", "praise")
    assert found(data) == [
        *(("fine", "praise"), ("dull", "blame"), ("great", "praise"), ("bleak", "blame")),
        *(("great", "praise"), ("bleak", "blame")),
    ]


def test_a_column_of_words_may_number_them_in_another_order(notes: Path) -> None:
    write(notes / "train.jsonl", {**NOTES, "label_text": ["praise", "blame", "praise", "blame"]})
    write(notes / "test.jsonl", {"text": ["great", "bleak"], "label": [0, 1], "label_text": ["praise", "blame"]})
    assert found(module())[-2:] == [("great", "praise"), ("bleak", "blame")]


def test_a_file_without_a_schema_is_numbered_as_the_first(notes: Path) -> None:
    write(notes / "train.parquet", NOTES, {"label": {"names": ["blame", "praise"]}})
    write(notes / "test.parquet", {"text": ["great", "bleak"], "label": [1, 0]})
    assert found(module())[-2:] == [("great", "praise"), ("bleak", "blame")]


def test_numbers_are_sorted_as_numbers(notes: Path) -> None:
    write(notes / "train.parquet", {"text": ["a", "b", "c"], "label": [10, 9, 2]})
    assert module().class_names == ("2", "9", "10")


@pytest.mark.parametrize("label", ["label", "labels", "class", "target", "category"])
def test_the_usual_columns_are_found(notes: Path, label: str) -> None:
    write(notes / "train.parquet", {"id": [1, 2], label: [1, 0], "sentence": ["fine", "dull"]})
    assert found(module()) == [("fine", "1"), ("dull", "0")]


def test_of_several_columns_of_strings_text_is_the_text(notes: Path) -> None:
    write(notes / "train.parquet", {"author": ["x", "y"], "text": ["fine", "dull"], "label": [1, 0]})
    assert found(module()) == [("fine", "1"), ("dull", "0")]


def test_columns_may_be_chosen(notes: Path) -> None:
    columns = {"text": ["a", "b"], "title": ["fine", "dull"], "label": [0, 1], "mood": ["up", "down"]}
    write(notes / "train.parquet", columns)
    assert found(module(text="title", label="mood")) == [("fine", "up"), ("dull", "down")]


@pytest.mark.parametrize(
    ("columns", "arguments", "message"),
    [
        (
            {"front": ["a"], "back": ["b"], "label": [0]},
            {},
            r"train\.parquet has 2 columns that could be the text: choose one by data\.text, it has front, back, label",
        ),
        ({"size": [3], "label": [0]}, {}, r"train\.parquet has 0 columns that could be the text: .* it has size, label"),
        (
            {"text": ["a"], "label": [0], "target": [1]},
            {},
            r"train\.parquet has 2 columns that could be the label: choose one by data\.label, it has text, label, target",
        ),
        ({"text": ["a"], "mood": ["up"]}, {}, r"train\.parquet has 0 columns that could be the label: .* it has text, mood"),
        ({"text": ["a"], "label": [0]}, {"text": "title"}, r"train\.parquet has no column 'title': it has text, label"),
        ({"text": ["a"], "label": [0]}, {"label": "mood"}, r"train\.parquet has no column 'mood': it has text, label"),
        (
            {"text": [["a", "b"]], "label": [0]},
            {"text": "text"},
            r"row 0 of train\.parquet has \['a', 'b'\] for text: expected",
        ),
        ({"text": ["a", None], "label": [0, 1]}, {}, r"row 1 of train\.parquet has None for text: expected a text"),
        ({"text": ["a", "b"], "label": [0, None]}, {}, r"row 1 of train\.parquet has no label: expected one class"),
        ({"text": ["a", "b"], "label": ["up", ""]}, {}, r"row 1 of train\.parquet has no label: expected one class"),
        ({"text": ["a", "b"], "label": [[0, 1], [1]]}, {}, r"row 0 of train\.parquet has \[0, 1\] for label: expected one"),
    ],
)
def test_columns_that_do_not_fit_are_named(
    notes: Path, columns: dict[str, Any], arguments: dict[str, str], message: str
) -> None:
    write(notes / "train.parquet", columns)
    with pytest.raises(ValueError, match=message):
        module(**arguments).setup()


@pytest.mark.parametrize(
    ("columns", "features", "message"),
    [
        (
            {"text": ["a", "b"], "label": [0, 7]},
            None,
            r"label '7' of row 1 of test\.parquet is in no training text: correct it, or leave the row out",
        ),
        ({"text": ["a", "b"], "label": [-1, -1]}, None, r"label '-1' of row 0 of test\.parquet is in no training text"),
        (
            {"text": ["a", "b"], "label": [0, -1]},
            {"label": {"names": ["down", "up"]}},
            r"label must lie in 0\.\.1, found -1 in row 1 of test\.parquet: some sets hide the labels of their test part",
        ),
        ({"text": ["a", "b"], "label": ["0", "2"]}, None, r"label '2' of row 1 of test\.parquet is in no training text"),
        ({"text": ["a"], "labels": [0]}, None, r"test\.parquet has no column 'label': it has text, labels"),
    ],
)
def test_a_test_part_that_does_not_fit_is_named(
    notes: Path, columns: dict[str, Any], features: dict[str, Any] | None, message: str
) -> None:
    write(notes / "train.parquet", NOTES, features)
    write(notes / "test.parquet", columns, features)
    data = module()  # what belongs to the training part is known, and the test part is read by `setup`
    with pytest.raises(ValueError, match=message):
        data.setup()


def test_a_class_that_the_schema_names_but_no_training_text_has(notes: Path) -> None:
    features = {"label": {"names": ["down", "up", "even"]}}
    write(notes / "train.parquet", NOTES, features)
    write(notes / "test.parquet", {"text": ["a", "b"], "label": [1, 2]}, features)
    with pytest.raises(ValueError, match=r"label 'even' of row 1 of test\.parquet is in no training text"):
        module().setup()


@pytest.mark.parametrize("word", ["validation", "dev", "test"])
def test_the_one_part_beside_training_is_the_test(notes: Path, word: str) -> None:
    write(notes / "train.jsonl", {"text": [f"text {i}" for i in range(20)], "label": [1, 0] * 10})
    write(notes / f"{word}.jsonl", {"text": ["new", "old", "odd"], "label": [1, 0, 0]})
    data = module()
    data.setup()
    assert [data.texts[row] for row in data.splits["test"].rows.tolist()] == ["new", "old", "odd"]
    assert {part: len(split.rows) for part, split in data.splits.items()} == {"train": 18, "val": 2, "test": 3}


def test_three_parts_and_their_shards(notes: Path) -> None:
    texts = {
        "train-00000-of-00002": ["a", "b"],
        "train-00001-of-00002": ["c", "d"],
        "validation-0": ["e"],
        "test-0": ["f", "g"],
    }
    for name, found_texts in texts.items():
        write(notes / "data" / f"{name}.parquet", {"text": found_texts, "label": [0, 1][: len(found_texts)]})
    data = module()
    data.setup()
    parts = {part: [data.texts[row] for row in split.rows.tolist()] for part, split in data.splits.items()}
    assert parts == {"train": ["a", "b", "c", "d"], "val": ["e"], "test": ["f", "g"]}


def test_a_set_in_two_formats_is_read_once(notes: Path) -> None:
    """Else every text would stand twice, and often in training and validation."""
    for ending in (".csv", ".parquet"):
        write(notes / f"train{ending}", NOTES)
        write(notes / f"test{ending}", NOTES)
    write(notes / "validation.csv", NOTES)
    texts, _, parts, _ = module().read()
    assert texts == NOTES["text"] * 2
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 4, "test": 4}


def test_one_of_several_sets_is_chosen_by_its_folder(notes: Path) -> None:
    for folder, text in (("long", "much"), ("short", "less")):
        write(notes / folder / "train-0.parquet", {"text": [text] * 2, "label": [0, 1]})
    with pytest.raises(ValueError, match=rf"{REPO} holds several sets, choose one by data\.config: long, short"):
        module()
    assert module(config="short").read().texts == ["less", "less"]
    with pytest.raises(ValueError, match=rf"{REPO} has no parquet or jsonl .* files for training under broad: it has long/"):
        module(config="broad")


def test_a_repository_without_tables_says_what_it_has(notes: Path) -> None:
    (notes / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match=r"has no parquet or jsonl or csv or tsv files for training: it has README\.md"):
        module()


def test_a_source_has_to_be_given() -> None:
    with pytest.raises(ValueError, match=r"source is not given: .*--data\.source OWNER/NAME"):
        HubText()


def test_a_set_that_is_nowhere_is_named(notes: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no data set no/such/set: no such folder under ZOO_DATA \(/.*\), and the hub"):
        HubText("no/such/set")  # no id that the hub could have: it is not asked


def test_a_text_that_needs_a_sign_json_allows(notes: Path) -> None:
    """Unicode has more line ends than JSON lines do, and a text may hold them."""
    text = "one\u2028two\x85three\x0cfour"
    (notes / "train.jsonl").write_text(json.dumps({"text": text, "label": 0}, ensure_ascii=False) + "\n" * 2)
    assert found(module()) == [(text, "0")]


def test_a_bad_line_is_named_by_its_number(notes: Path) -> None:
    (notes / "train.jsonl").write_text('{"text": "a", "label": 0}\n\n{"text": "b", "lab\n')
    with pytest.raises(ValueError, match=rf"line 3 of {notes}/train\.jsonl is not JSON: Unterminated string"):
        module()


def test_imdb_7500_out_of_the_mirror(mirror: Path) -> None:
    data = HubText("imdb-7500", max_length=20, tokenizer={"vocab_size": 1000})
    assert (data.class_names, data.num_classes) == (("neg", "pos"), 2)
    data.setup()
    assert {part: len(split.rows) for part, split in data.splits.items()} == {"train": 4500, "val": 500, "test": 2500}
    for split in data.splits.values():  # balanced
        assert torch.bincount(data.y[split.rows]).unique().numel() == 1
    position = next(
        place for place, text in enumerate(data.texts) if text.startswith("I saw this movie twice. I can't believe")
    )
    assert data.class_names[data.y[position]] == "neg"


def test_sst2_comes_out_as_it_is(mirror: Path) -> None:
    """The whole way, against the module of its own."""
    data, known = HubText("SetFit/sst2"), SST2()
    data.setup()
    known.setup()
    assert (data.class_names, data.num_classes) == (known.class_names, known.num_classes)
    texts = {}
    for name, module_ in (("hub", data), ("own", known)):
        texts[name] = {
            part: [(module_.texts[row], int(module_.y[row])) for row in split.rows.tolist()]
            for part, split in module_.splits.items()
        }
    assert texts["hub"] == texts["own"]
    assert data.tokenizer_json == known.tokenizer_json
