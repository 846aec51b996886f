"""Series: windows whose targets never cross a boundary of time, scaled by what may be seen."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import Series
from datamodules.core.batch import SequenceBatch
from datamodules.series.series import StandardizeSteps, instant, mackey_glass

Csv = Callable[[str], str]


@pytest.fixture
def csv(tmp_path: Path) -> Csv:
    def write(text: str) -> str:
        path = tmp_path / "series.csv"
        path.write_text(text)
        return str(path)

    return write


def years(num: int, line: Callable[[int], str], header: str = "year,a") -> str:
    return "\n".join([header, *(f"{1900 + i},{line(i)}" for i in range(num))]) + "\n"


def ready(**arguments: object) -> Series:
    data = Series(**arguments)  # type: ignore[arg-type]  # named by the test
    data.setup()
    return data


def test_a_window_is_its_context_and_the_values_after_it(csv: Csv) -> None:
    data = ready(source=csv(years(50, lambda i: f"{i},{100 * i}", "year,a,b")), context=4, horizon=2, batch_size=3)
    assert (data.columns, data.input_shape, data.num_targets) == (("a", "b"), (4, 2), 4)
    assert data.target_names == ("a+1", "b+1", "a+2", "b+2")
    batch = next(iter(data.loader("val")))
    for x, length, y, position in zip(*batch, strict=True):
        now = int(position)
        assert x.tolist() == [[i, 100 * i] for i in range(now, now + 4)]
        assert y.tolist() == [now + 4, 100 * (now + 4), now + 5, 100 * (now + 5)]
        assert int(length) == 4
    positions = sorted(position for batch in data.loader("val") for position in batch.position.tolist())
    assert positions[:3] == [28, 29, 30]  # the first targets are 32 and 33, right after the training part


@pytest.mark.parametrize(("context", "horizon"), [(1, 1), (4, 1), (3, 5)])
def test_no_target_is_shared_and_time_only_goes_forward(csv: Csv, context: int, horizon: int) -> None:
    path = csv(years(60, lambda i: str(i)))
    data = ready(source=path, context=context, horizon=horizon, val_fraction=0.25, test_fraction=0.2)
    targets, contexts = {}, {}
    for name, (arrays, rows) in data.splits.items():
        targets[name] = set(arrays.y[rows].flatten().int().tolist())
        contexts[name] = set(arrays.x[rows].flatten().int().tolist())
    assert targets == {"train": set(range(context, 36)), "val": set(range(36, 48)), "test": set(range(48, 60))}
    assert max(contexts["train"]) < 36  # nothing of the future; later parts do look back
    assert min(contexts["test"]) == 48 - context


def test_scales_are_of_the_training_part_alone(csv: Csv) -> None:
    def of(later: float) -> Series:
        return ready(source=csv(years(50, lambda i: str(i**2 if i < 32 else later * i))), context=4, horizon=3)

    data, other = of(1), of(-50)
    seen = np.arange(32.0) ** 2
    assert data.mean == pytest.approx((seen.mean(),))
    assert data.std == pytest.approx((seen.std(),))
    for name, expected in (
        ("target_mean", seen.mean()),
        ("target_std", seen.std()),
        ("naive_mae", np.abs(np.diff(seen)).mean()),
    ):
        torch.testing.assert_close(getattr(data, name), torch.full((3,), expected, dtype=torch.float32))
        assert torch.equal(getattr(data, name), getattr(other, name))
    batch = next(iter(data.test_dataloader()))
    torch.testing.assert_close(data.transform(batch, 0, True).x, ((batch.x - seen.mean()) / seen.std()).float())


def test_channels_have_scales_of_their_own_in_the_order_of_the_targets(csv: Csv) -> None:
    data = ready(source=csv(years(50, lambda i: f"{i},{-10 * i}", "year,a,b")), context=4, horizon=2)
    torch.testing.assert_close(data.target_mean, torch.tensor([15.5, -155, 15.5, -155]))
    torch.testing.assert_close(data.naive_mae, torch.tensor([1.0, 10, 1, 10]))


def test_what_fills_up_stays_zero_and_changes_nothing() -> None:
    transform = StandardizeSteps(mean=(5.0, -1.0), std=(2.0, 0.5))
    x = torch.tensor([[[7.0, -1.0], [0.0, 0.0]], [[5.0, 0.0], [9.0, -2.0]]])
    batch = SequenceBatch(x, torch.tensor([1, 2]), torch.zeros(2), torch.arange(2))
    assert transform(batch, 0, True).x.tolist() == [[[1, 0], [0, 0]], [[0, 2], [2, -2]]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700", datetime(1700, 1, 1, tzinfo=UTC)),
        ("1949-02", datetime(1949, 2, 1, tzinfo=UTC)),
        ("1949-02-03", datetime(1949, 2, 3, tzinfo=UTC)),
        ("19490203", datetime(1949, 2, 3, tzinfo=UTC)),
        ("1949-02-03 04:05", datetime(1949, 2, 3, 4, 5, tzinfo=UTC)),
        ("1949-02-03T04:05:06.5", datetime(1949, 2, 3, 4, 5, 6, 500_000, tzinfo=UTC)),
        ("1949-02-03 04:05:06+02:00", datetime(1949, 2, 3, 2, 5, 6, tzinfo=UTC)),
        ("1949-02-03T04:05:06Z", datetime(1949, 2, 3, 4, 5, 6, tzinfo=UTC)),
    ],
)
def test_times_are_read(text: str, expected: datetime) -> None:
    assert instant(text, "here") == expected


@pytest.mark.parametrize("text", ["", "yesterday", "1949-13", "19490230", "12", "1949/02/03", "0000"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=rf"here: '{text}' is not a time: expected a year, YYYY-MM, YYYY-MM-DD, YYYYMMDD or "):
        instant(text, "here")


def test_gaps_are_bridged_by_a_line_when_asked(csv: Csv) -> None:
    cells = {3: "", 4: "NA", 20: "nan"}
    path = csv(years(50, lambda i: f"{cells.get(i, 10 * i)},{i}", "year,a,b"))
    data = ready(source=path, context=4, fill="interpolate")
    exact = ready(source=csv(years(50, lambda i: f"{10 * i},{i}", "year,a,b")), context=4)
    torch.testing.assert_close(data.splits["train"].arrays.x, exact.splits["train"].arrays.x)


def test_filled_values_are_no_targets_and_measure_no_scale(csv: Csv) -> None:
    cells = {10: "", 11: "", 12: ""}
    data = ready(source=csv(years(80, lambda i: cells.get(i, str((-1) ** i * i)))), context=4, horizon=2, fill="interpolate")
    for arrays, rows in data.splits.values():
        assert not {10, 11, 12} & {int(row) + 4 + step for row in rows for step in range(2)}
        assert arrays.x.isfinite().all()
    observed = np.array([(-1) ** i * i for i in range(51) if i not in cells], dtype=float)
    assert data.mean == pytest.approx((observed.mean(),))
    assert data.std == pytest.approx((observed.std(),))
    change = [2 * i + 1 for i in range(50) if not {i, i + 1} & {10, 11, 12}]  # between neighbours that were both observed
    assert data.naive_mae.tolist() == pytest.approx([np.mean(change)] * 2)
    assert data.notes == [
        "column 'a': 3 values are filled in, the first on line 12; none is a target",
        "4 of 75 windows are left out",
    ]


def test_values_that_never_follow_each_other_are_refused(csv: Csv) -> None:
    path = csv(years(80, lambda i: "" if i % 2 else str(i)) + "1980,80\n")
    with pytest.raises(ValueError, match=r"series\.csv has no two consecutive values in the training part"):
        ready(source=path, context=4, fill="interpolate")


def days(missing: range, num: int = 200) -> str:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    rows = [f"{start + timedelta(days=day):%Y-%m-%d},{np.sin(day):.6f}" for day in range(num) if day not in missing]
    return "\n".join(["day,a", *rows])


def test_no_window_runs_across_a_gap_in_time(csv: Csv) -> None:
    missing = range(60, 120)
    data = ready(source=csv(days(missing)), context=8, horizon=2)
    rows = torch.cat([split.rows for split in data.splits.values()]).tolist()
    assert rows
    assert not [row for row in rows if row < 60 < row + 10]  # row 60 is the first after the gap
    assert data.notes[0].startswith("gaps in time between 2020-02-29 and 2020-04-30 (line 62): no window crosses them")
    assert data.notes[1] == "9 of 131 windows are left out"
    before, after = np.diff(np.sin(np.arange(60))), np.diff(np.sin(np.arange(120, 150)))
    assert data.naive_mae[0].item() == pytest.approx(np.abs([*before, *after]).mean(), abs=1e-2)  # without the jump


def test_a_gap_may_be_joined_and_is_named_all_the_same(csv: Csv) -> None:
    data = ready(source=csv(days(range(60, 120))), context=8, horizon=2, gaps="join")
    assert {59 - 8, 60 - 8} <= set(data.splits["train"].rows.tolist())
    assert data.notes == ["gaps in time between 2020-02-29 and 2020-04-30 (line 62): windows cross them"]


def test_where_gaps_leave_no_windows_they_are_named(csv: Csv) -> None:
    path = csv("\n".join(["day,a", *(f"2020-{month:02}-{day:02},{day}" for month in range(1, 13) for day in range(1, 7))]))
    with pytest.raises(
        ValueError, match=r"shorten them, or .*; \d+ windows are left out: gaps in time between 2020-01-06 and .*join"
    ):
        ready(source=path, context=6)


def test_months_and_leap_years_are_no_gaps(csv: Csv) -> None:
    months = "\n".join(["m,a", *(f"{1900 + i // 12}-{i % 12 + 1:02},{i}" for i in range(60))])
    assert ready(source=csv(months), context=4).notes == []
    missing = "\n".join(line for line in months.splitlines() if not line.startswith("1902-03"))
    assert ready(source=csv(missing), context=4).notes[0].startswith("gaps in time between 1902-02 and 1902-04 (line 28)")


def test_columns_and_time_are_chosen_by_name(csv: Csv) -> None:
    path = csv("note,a,when,b\n" + "\n".join(f"x,{i},{1900 + i},{2 * i}" for i in range(40)))
    data = ready(source=path, time="when", columns=["b"], context=4)
    assert data.input_shape == (4, 1)
    assert data.splits["train"].arrays.x[5].flatten().tolist() == [10, 12, 14, 16]


def test_with_columns_given_nothing_is_read_at_construction() -> None:
    data = Series("nowhere.csv", columns=["a", "b"], context=7, horizon=3)
    assert (data.input_shape, data.num_targets) == ((7, 2), 6)
    with pytest.raises(FileNotFoundError, match=r"no CSV file 'nowhere\.csv' here or under ZOO_DATA"):
        data.setup()


def test_a_file_is_found_below_zoo_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "s.csv").write_text(years(40, str))
    monkeypatch.delenv("ZOO_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"'deep/s\.csv' here or under ZOO_DATA \(not set\): give its path, or 'mackey"):
        Series("deep/s.csv")
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert ready(source="deep/s.csv", context=4).columns == ("a",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"series\.csv: expected a header with a column of times and others, all with different names, got \[\]"),
        ("year\n1900\n", r"expected a header with a column of times and others, all with different names, got \['year'\]"),
        ("year,a,a\n", r"all with different names, got \['year', 'a', 'a'\]"),
        ("year,a\n1900,1\n1901,red\n", r"line 3 of .*series\.csv, column 'a': expected a number, got 'red': leave the column"),
        ("year,a\n1900,1\n1901,inf\n", r"line 3 of .*, column 'a': expected a finite number, got 'inf'"),
        ("year,a\n1900,1\n\n1901,\n1902,\n", r"line 4 of .*, column 'a': no number, as in 2 line\(s\): set fill to 'interpol"),
        ("year,a\n1900,1\n1901,2,3\n", r"line 3 of .*series\.csv has 3 cells, expected 2 as in the header"),
        ("year,a\n1900,1\nlater,2\n", r"line 3 of .*, column 'year': 'later' is not a time"),
        ("year,a\n1900,1\n1902,2\n1901,3\n", r"line 4 of .*: 1901 is earlier than 1902 on line 3: sort by 'year', each once"),
        ("m,a\n1900-01,1\n1900-01,2\n", r"line 3 of .*: 1900-01 is the same time as 1900-01 on line 2: sort by 'm'"),
        ("year,a\n1900,1\n1901,2\n", r"series\.csv has 2 rows, too few for a window with context 64 and horizon 1"),
    ],
)
def test_names_the_file_and_the_line_at_fault(csv: Csv, text: str, message: str) -> None:
    path = csv(text)
    with pytest.raises(ValueError, match=message):
        ready(source=path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": ["b"]}, r"series\.csv has no column 'b': it has year, a"),
        ({"time": "month", "columns": ["a"]}, r"series\.csv has no column 'month': it has year, a"),
        ({"columns": []}, r"series\.csv has no column of values"),
        ({"horizon": 9}, r"the val part of 8 values is too short for two windows with context 4 and horizon 9"),
        ({"context": 30}, r"the train part of 32 values is too short for two windows with context 30 and horizon 3"),
        ({"context": 0}, r"context and horizon must be at least 1 step, got 0 and 3"),
        ({"test_fraction": 1.0}, r"test_fraction must lie between 0 and 1, got 1.0"),
        ({"fill": "zero"}, r"unknown fill 'zero': choose one of interpolate"),
        ({"source": "mackey_glass", "columns": ["x"]}, r"time, columns and fill are for CSV files"),
    ],
)
def test_refuses_what_does_not_fit(csv: Csv, arguments: dict[str, object], message: str) -> None:
    path = csv(years(50, str))
    with pytest.raises(ValueError, match=message):
        ready(**{"source": path, "context": 4, "horizon": 3, **arguments})


def test_a_byte_that_is_no_text_is_named_wherever_it_stands(csv: Csv) -> None:
    path = Path(csv(years(50, lambda i: f"{i},x", "year,a,b")))
    content = path.read_bytes()
    path.write_bytes(content[:-2] + b"\xe9\n")  # in a column that nobody asked for
    with pytest.raises(ValueError, match=rf"series\.csv is not UTF-8: byte 0xe9 at offset {len(content) - 2}; convert it"):
        ready(source=str(path), columns=["a"], context=4)


def test_a_cell_without_an_end_is_named(csv: Csv) -> None:
    path = csv(years(50, lambda i: '"' + "1" * 200_000 if i == 30 else str(i)))
    with pytest.raises(ValueError, match=r"cannot read line 32 of .*series\.csv as CSV: field larger than field limit"):
        ready(source=path, context=4)


@pytest.mark.parametrize("at", [0, 49])
def test_a_line_needs_both_its_ends(csv: Csv, at: int) -> None:
    path = csv(years(50, lambda i: "" if i == at else str(i)))
    with pytest.raises(
        ValueError, match=rf"line {at + 2} of .*, column 'a': no number at this end of the series: cut the line off"
    ):
        ready(source=path, fill="interpolate", context=4)


@pytest.mark.parametrize("constant", ["7", "0.1"])  # the computed deviation of many 0.1 is not 0
def test_a_constant_column_is_named(csv: Csv, constant: str) -> None:
    path = csv(years(50, lambda i: f"{i},{constant}", "year,a,b"))
    with pytest.raises(ValueError, match=r"column 'b' of .*series\.csv is constant in the training part"):
        ready(source=path, context=4)


def test_what_float32_cannot_tell_apart_is_refused(csv: Csv) -> None:
    with pytest.raises(
        ValueError, match=r"column 'a' of .* varies by 0\.\d+ around 1e\+09, where .* are 64 apart: subtract a con"
    ):
        ready(source=csv(years(50, lambda i: f"{1e9 + np.sin(i):.9f}")), context=4)
    assert ready(source=csv(years(50, lambda i: f"{1e4 + np.sin(i):.9f}")), context=4).std[0] == pytest.approx(0.71, abs=0.02)


def test_a_checkpoint_keeps_its_scale_and_its_columns(csv: Csv) -> None:
    data = ready(source=csv(years(50, lambda i: f"{i},{2 * i}", "year,a,b")), context=4)
    newer = ready(source=csv(years(50, lambda i: f"{9 * i},{i}", "year,a,b")), context=4)
    newer.load_state_dict(data.state_dict())
    assert (newer.mean, newer.std) == (data.mean, data.std)
    batch = next(iter(newer.val_dataloader()))
    assert torch.equal(newer.transform(batch, 0, False).x, data.transform(batch, 0, False).x)
    with pytest.raises(ValueError, match=r"the checkpoint has the columns a, b, but .* has b: set columns to those"):
        ready(source=csv(years(50, str, "year,b")), context=4).load_state_dict(data.state_dict())


@pytest.mark.parametrize(
    ("name", "num_values", "extra"), [("airline", 144, {}), ("sunspots", 309, {}), ("co2", 2284, {"fill": "interpolate"})]
)
def test_real_series(mirror: Path, name: str, num_values: int, extra: dict[str, str]) -> None:
    data = ready(source=f"timeseries/{name}.csv", context=12, horizon=3, **extra)
    arrays, _ = data.splits["train"]
    assert len(arrays.y) == num_values - 12 - 3 + 1
    assert arrays.x.isfinite().all()
    lines = (mirror / "timeseries" / f"{name}.csv").read_text().splitlines()
    assert arrays.x[0, 0, 0].item() == pytest.approx(float(lines[1].split(",")[1]))
    assert arrays.y[-1, -1].item() == pytest.approx(float(lines[-1].split(",")[1]))


def test_gaps_of_a_real_series_are_named(mirror: Path) -> None:
    with pytest.raises(ValueError, match=r"line 8 of .*co2\.csv, column 'co2': no number, as in 59 line\(s\)"):
        ready(source="timeseries/co2.csv")


def test_mackey_glass_solves_its_equation() -> None:
    """While the past is one constant value, the solution is an exponential; after that, an integral over it."""
    tau, start = 17, np.random.default_rng(0).uniform(0.5, 1.5)
    x = mackey_glass(2 * tau, tau, discard=0)
    drive = 0.2 * start / (1 + start**10)

    def first(t: np.ndarray) -> np.ndarray:
        return 10 * drive + (start - 10 * drive) * np.exp(-0.1 * t)

    np.testing.assert_allclose(x[: tau + 1], first(np.arange(tau + 1.0)), rtol=1e-9)
    for t in range(tau + 1, 2 * tau):
        s = np.linspace(0, t - tau, 20_001)
        past = first(s)
        integrand = 0.2 * past / (1 + past**10) * np.exp(0.1 * (s - (t - tau)))
        expected = x[tau] * np.exp(-0.1 * (t - tau)) + np.trapezoid(integrand, s)
        assert x[t] == pytest.approx(expected, rel=1e-7)


def test_mackey_glass_stays_on_its_attractor_however_long() -> None:
    x = mackey_glass(3000)
    assert np.array_equal(x[:1000], mackey_glass(1000))
    assert not np.array_equal(x, mackey_glass(3000, seed=1))
    assert 0.4 < x.min() < 0.5  # the range that is published for a delay of 17
    assert 1.3 < x.max() < 1.35
    later = mackey_glass(2500, discard=1000)
    assert np.array_equal(x[500:], later)


def test_the_embedded_series_needs_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_DATA", raising=False)
    data = ready()
    assert (data.input_shape, data.num_targets, data.columns) == ((64, 1), 1, ("x",))
    assert {name: len(split.rows) for name, split in data.splits.items()} == {"train": 3136, "val": 800, "test": 1000}
