"""Texts in a file of one's own: by any of four formats, its columns found, and clear about what is wrong with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from datamodules import TextFile

ROWS = [(f"text {i}, {['dull', 'fine'][i % 2]} {'and long ' * (i % 3)}", ["blame", "praise"][i % 2]) for i in range(40)]
WHOLE = "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in ROWS)
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def run(content: str | bytes, name: str = "notes.csv") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return run


def ready(*arguments: Any, **settings: Any) -> TextFile:
    data = TextFile(*arguments, **settings)
    data.setup()
    return data


def texts_of(data: TextFile, part: str) -> list[str]:
    return [data.texts[row] for row in data.splits[part].rows.tolist()]


@pytest.mark.parametrize("name", ["notes.csv", "notes.tsv", "notes.jsonl", "notes.ndjson", "notes.parquet", "NOTES.CSV"])
def test_every_format_holds_the_same(write: Write, tmp_path: Path, name: str) -> None:
    texts, labels = ([row[column] for row in ROWS] for column in (0, 1))
    match Path(name).suffix.lower():
        case ".csv":
            path = write(WHOLE, name)
        case ".tsv":
            path = write("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS), name)
        case ".parquet":
            path = str(tmp_path / name)
            pq.write_table(pa.table({"text": texts, "label": labels}), path)
        case _:
            path = write("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS), name)
    data = ready(path)
    assert (data.class_names, data.num_classes, data.input_shape) == (("blame", "praise"), 2, (64,))
    assert data.texts == texts
    assert data.y.tolist() == [i % 2 for i in range(40)]
    assert {part: len(split.rows) for part, split in data.splits.items()} == {"test": 8, "val": 4, "train": 28}
    for split in data.splits.values():
        assert torch.bincount(data.y[split.rows]).unique().numel() == 1


def test_signs_within_cells_stay(write: Write) -> None:
    content = 'text,label\n"a, b",x\n"two\nlines",y\n"say ""no""",x\nÜmlaut 😀 NA,y\nnull,x\n'
    assert TextFile(write(content)).read().texts == ["a, b", "two\nlines", 'say "no"', "Ümlaut 😀 NA", "null"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(write: Write) -> None:
    assert TextFile(write(b"\xef\xbb\xbftext,label\nfine,1\ndull,0\n")).class_names == ("0", "1")


def test_columns_by_type_and_by_name(write: Write) -> None:
    path = write("id,note,class,stars\n1,fine,up,5\n2,dull,down,1\n")
    assert TextFile(path).read().texts == ["fine", "dull"]
    data = TextFile(path, label="stars", text="class")
    assert (data.class_names, data.read().texts) == (("1", "5"), ["up", "down"])


def test_words_for_numbers(write: Write) -> None:
    assert TextFile(write("text,label,label_text\nfine,7,praise\ndull,3,blame\n")).class_names == ("blame", "praise")


def test_files_for_validation_and_test(write: Write) -> None:
    source = write(WHOLE)
    val, test = write("text,label\nv0,praise\nv1,blame\n", "v.csv"), write("text,label\nt0,blame\n", "t.csv")
    both = ready(source, val_source=val, test_source=test)
    assert [len(texts_of(both, part)) for part in ("train", "val", "test")] == [40, 2, 1]
    assert (texts_of(both, "val"), texts_of(both, "test")) == (["v0", "v1"], ["t0"])
    assert both.class_names == ("blame", "praise")
    only_test = ready(source, test_source=test)
    assert texts_of(only_test, "test") == ["t0"]
    assert [len(texts_of(only_test, part)) for part in ("train", "val")] == [36, 4]


def test_a_file_given_for_validation_validates(write: Write) -> None:
    """And is no test part: that is held out from the rest, although a set on the hub with two parts has no other test."""
    data = ready(write(WHOLE), val_source=write("text,label\nv0,praise\nv1,blame\n", "v.csv"))
    assert texts_of(data, "val") == ["v0", "v1"]
    assert [len(texts_of(data, part)) for part in ("train", "test")] == [32, 8]
    assert not {"v0", "v1"} & {*texts_of(data, "train"), *texts_of(data, "test")}


def test_formats_may_differ(write: Write) -> None:
    test = write('{"label": "praise", "text": "new"}\n', "t.jsonl")
    assert texts_of(ready(write(WHOLE), test_source=test), "test") == ["new"]


def test_a_file_is_found_below_zoo_data(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(WHOLE)
    monkeypatch.delenv("ZOO_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"no file notes\.csv, here or under ZOO_DATA \(not set\)"):
        TextFile("notes.csv")
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert len(TextFile("notes.csv").read().texts) == 40


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text,mood\nfine,up\n",
            r"notes\.csv has 0 columns that could be the label: choose one by data\.label, it has text, mood",
        ),
        ("text,label,class\na,1,2\n", r"notes\.csv has 2 columns that could be the label: .* it has text, label, class"),
        (
            "a,b,label\nx,y,0\n",
            r"notes\.csv has 2 columns that could be the text: choose one by data\.text, it has a, b, label",
        ),
        ("size,label\n1,0\n", r"notes\.csv has 0 columns that could be the text: .* it has size, label"),
        ("text,label,label\na,0,1\n", r"notes\.csv has 2 columns 'label': it has text, label, label"),
        ("text,label\nfine,1\ndull,\n", r"row 1 of notes\.csv has no label: expected one class"),
        ("text,label\nfine,up\ndull,\nbleak,down\n", r"row 1 of notes\.csv has no label: expected one class"),
        ("text,label\nfine,1\nodd, one,0\n", r"cannot read .*/notes\.csv as CSV: .*Expected 2 columns, got 3: odd, one,0"),
        ("", r"cannot read .*/notes\.csv as CSV: Empty CSV file"),
        ("text,label\n", r"notes\.csv has 0 columns that could be the text"),
        ("text,label\nf\xe9,1\n".encode("latin1"), r"/notes\.csv is not UTF-8: byte 0xe9 at offset 12; convert it \(iconv -f"),
        (b"text,label\nfine,1\n\xff,0\n", r"/notes\.csv is not UTF-8: byte 0xff at offset 18"),
    ],
)
def test_names_the_file_and_what_is_wrong_with_it(write: Write, content: str | bytes, message: str) -> None:
    path = write(content)
    with pytest.raises(ValueError, match=message):
        TextFile(path).setup()


def test_a_header_alone_is_no_text(write: Write) -> None:
    path = write("text,label\n")
    with pytest.raises(ValueError, match=r"notes\.csv has no text for training: notes\.csv has no rows"):
        TextFile(path, text="text").setup()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"text": "a", "label": 0}\n{"text": "b", label: 1}\n',
            r"line 2 of .*/notes\.jsonl is not JSON: Expecting property name",
        ),
        ('\n\n["a", 0]\n', r"line 3 of .*/notes\.jsonl holds list, expected an object with named columns"),
        ('{"text": "a", "label": 0}\n{"text": "b"}\n', r"row 1 of notes\.jsonl has no label: expected one class"),
        ('{"label": 0}\n{"text": "b", "label": 1}\n', r"row 0 of notes\.jsonl has None for text: expected a text"),
        (
            '{"text": "a", "label": 0}\n{"text": "b", "label": "x"}\n',
            r"cannot read .*/notes\.jsonl: a name has values of several kinds \(.*'x'",
        ),
        ("", r"notes\.jsonl has 0 columns that could be the label"),
    ],
)
def test_names_the_line_of_json(write: Write, content: str, message: str) -> None:
    path = write(content, "notes.jsonl")
    with pytest.raises(ValueError, match=message):
        TextFile(path).setup()


@pytest.mark.parametrize("name", ["notes.txt", "notes.json", "notes"])
def test_another_kind_of_file_is_refused(write: Write, name: str) -> None:
    path = write(WHOLE, name)
    ending = Path(name).suffix or "nothing"
    with pytest.raises(ValueError, match=rf"/{name} ends in {ending}: expected \.csv, \.tsv, \.jsonl or \.parquet"):
        TextFile(path)


def test_no_parquet_despite_its_name(write: Write) -> None:
    path = write(WHOLE, "notes.parquet")
    with pytest.raises(ValueError, match=rf"cannot read {path} as parquet"):
        TextFile(path)


@pytest.mark.parametrize("argument", ["source", "val_source", "test_source"])
def test_a_file_that_is_not_there(write: Write, tmp_path: Path, argument: str) -> None:
    files = {"source": write(WHOLE), argument: str(tmp_path / "none.csv")}
    with pytest.raises(FileNotFoundError, match=rf"no file {tmp_path}/none\.csv"):
        TextFile(**files)


def test_a_source_has_to_be_given() -> None:
    with pytest.raises(ValueError, match=r"source is not given: name a file .*--data\.source FILE"):
        TextFile()


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_class_that_is_new_in_another_part_is_named(write: Write, part: str) -> None:
    other = write("text,label\nfine,praise\nhm,doubt\n", "other.csv")
    source = write(WHOLE)
    with pytest.raises(ValueError, match=r"label 'doubt' of row 1 of other\.csv is in no training text: correct it, or"):
        TextFile(source, **{f"{part}_source": other}).setup()


def test_a_tsv_file_is_not_quoted(write: Write) -> None:
    """A quotation mark is a character. Read as quoted, rows 10 to 30 would be one text."""
    rows = [f"{'ab'[i % 2]}\t{'' if i not in (10, 30) else chr(34)}text {i}" for i in range(60)]
    data = TextFile(write("\n".join(["label\ttext", *rows]) + "\n", "notes.tsv"))
    assert data.read().texts == [row.split("\t")[1] for row in rows]


@pytest.mark.parametrize("label", ["nan", "NA", "NaN", "null", ""])
def test_a_missing_class_is_missing(write: Write, label: str) -> None:
    with pytest.raises(ValueError, match=r"row 1 of notes\.csv has no label: expected one class"):
        TextFile(write(f"text,label\nfine,1.0\ndull,{label}\n"))


def test_a_quoted_na_is_a_class(write: Write) -> None:
    assert TextFile(write('text,label\nfine,"NA"\ndull,DE\n')).class_names == ("DE", "NA")


def test_a_column_with_about_one_class_per_row_is_refused(write: Write) -> None:
    lines = [f"text {i},{i * 7919 % 1000},{['up', 'down'][i % 2]}" for i in range(1000)]
    path = write("\n".join(["text,label,mood", *lines]) + "\n")
    with pytest.raises(ValueError, match=r"has 1,000 classes in 1,000 rows, about one per row: .*, such as mood, or"):
        TextFile(path)
    assert TextFile(path, label="mood").num_classes == 2


def test_a_class_with_too_few_texts_for_every_part_is_named(write: Write) -> None:
    """Copies of a text stay together, so they count once."""
    rows = [f"text number {i},{'ab'[i % 2]}" for i in range(40)]
    alone = write("\n".join(["text,label", *rows, "lonely,c", "lonely,c", "lonely,c"]) + "\n", "one.csv")
    message = "the class c has 1 different sample, too few for training and test and val: add some, or leave the class out"
    with pytest.raises(ValueError, match=f"^{message}$"):
        ready(alone)
    three = write("\n".join(["text,label", *rows, "lonely,c", "alone,c", "by itself,c"]) + "\n", "three.csv")
    assert "c" in ready(three).class_names


def test_a_file_that_lacks_a_class_can_be_tested(write: Write) -> None:
    trained = ready(write(WHOLE))
    other = TextFile(write("text,label\n" + "".join(f"text {i},praise\n" for i in range(10)), "other.csv"))
    other.adopt(trained.describe())
    assert (other.class_names, other.num_classes) == (trained.class_names, 2)
    other.setup("test")
    other.load_state_dict(trained.state_dict())
    assert other.y.tolist() == [1] * 10


def test_an_empty_text_is_named_before_it_meets_a_model(write: Write) -> None:
    data = TextFile(write(WHOLE + ",praise\n"))
    with pytest.raises(ValueError, match=r"text 40 of .*/notes\.csv has no token: ''; leave it out"):
        data.setup()


def test_balanced_texts_are_served_equally_often(write: Write) -> None:
    rows = "".join(f"text {i},{'rare' if i % 10 == 0 else 'usual'}\n" for i in range(200))
    data = ready(write("text,label\n" + rows), batch_size=10, balance=True)
    rare, usual = torch.bincount(torch.cat([batch.y for batch in data.train_dataloader()])).tolist()
    assert rare + usual == len(data.order("train")) * 10
    assert abs(rare - usual) <= 10  # the last, short batch is left out
