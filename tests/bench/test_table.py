"""The rows of the benchmark, and those that come with the package."""

import dataclasses
from pathlib import Path

import pytest

from convnotes import bench

STORED = Path(bench.__file__).with_name("rows") / "bench.csv"


def test_a_row_in_words_holds_what_was_asked():
    row = bench.read()[0]
    text = str(row)
    for word in (row.mode, row.backend, row.rival, row.conv, "MiB against", "× as fast as"):
        assert word in text


def test_the_stored_table_is_whole_and_reads_back_as_it_was_written(tmp_path):
    rows = bench.read()
    rows.write(tmp_path / "copy.csv")
    assert (tmp_path / "copy.csv").read_bytes() == STORED.read_bytes()
    assert len({row.key for row in rows}) == len(rows)
    assert set(bench.Row.KEY) <= {field.name for field in dataclasses.fields(bench.Row)}
    for row in rows:
        assert row.op in bench.OPS
        assert 0 < row.p20 <= row.ms <= row.p80
        assert 0 < row.rival_p20 <= row.rival_ms <= row.rival_p80
        assert row.faster == pytest.approx(row.rival_ms / row.ms, rel=0.01, abs=1e-3)
        assert row.rounds >= 3
        assert row.allocator in ("steady", "glibc's default")
        assert "thread" in row.machine
        assert row.difference is None or row.difference < 1e-4


def test_rows_are_picked_by_their_fields():
    rows = bench.read()
    adders = rows.select(op="adder", mode="forward")
    assert adders
    assert adders == [row for row in rows if (row.op, row.mode) == ("adder", "forward")]
    with pytest.raises(TypeError, match="rows have no colour; their fields are op, variant"):
        rows.select(op="adder", colour="red")
    with pytest.raises(ValueError, match="no row has op='adder', threads=99"):
        rows.select(op="adder", threads=99)
    assert rows.where(op="adder", threads=99) == []
    assert rows.select(op="adder").select(mode="forward") == adders


def test_rows_are_paired_by_all_but_the_mode():
    rows = bench.read()
    found = bench.pairs(reversed(rows))
    engines = rows.where(rival="onnxruntime") + rows.where(rival="OpenVINO") + rows.where(op="quantized adder")
    assert 2 * len(found) + len(engines) == len(rows)
    for forward, both in found:
        assert (forward.mode, both.mode) == ("forward", "forward+backward")
        assert dataclasses.replace(forward, mode=both.mode).key == both.key
    with pytest.raises(ValueError, match=rf"no pair: {' '.join(map(str, rows[0].key[:3]))} forward\+backward"):
        bench.pairs(rows[1:])


def test_the_rows_of_two_processors_stand_side_by_side():
    rows = bench.read().select(op="fire", threads=2, allocator="steady")
    first, second = bench.by_processor(rows).values()
    assert len({row.processor for row in first} | {row.processor for row in second}) == 2
    table = bench.on_each_processor(rows)
    assert table.heads == ["case", "Intel, f", "Intel, t", "AMD, f", "AMD, t"]
    assert len(table.rows) == len({row.shape for row in rows})
    at = {(row.shape, row.mode): f"{row.of_conv:.2f}" for row in second}
    assert [line[3:] for line in table.rows] == [
        [at[line[0], "forward"], at[line[0], "forward+backward"]] for line in table.rows
    ]
    twice = [dataclasses.replace(rows[0], of_conv=9.0, threads=1), *rows]
    with pytest.raises(ValueError, match="has two times on Intel"):
        bench.on_each_processor(twice)
    alike = [dataclasses.replace(row, processor=f"AMD {row.processor}") for row in rows]
    assert bench.on_each_processor(alike).heads[3] == "AMD AMD EPYC, f"


def test_a_case_is_named_by_what_tells_its_rows_apart():
    rows = bench.read().select(threads=2, allocator="steady")
    adders = bench.on_each_processor(rows.select(op="adder"))
    assert adders.caption == "Time ÷ that of conv2d 3×3, forward (f) and training step (t), on each processor"
    assert adders.rows[0][0] == "32×16×32×32, torch"
    several = bench.on_each_processor(rows.select(op="stack of two") + rows.select(op="stack of three"))
    assert several.caption.startswith("Time ÷ that of conv2d 5×5 or conv2d 7×7, forward (f)")
    assert [line[0] for line in several.rows][::4] == ["stack of two, 8×64×56×56", "stack of three, 8×64×56×56"]
    both_runs = rows.select(op="deformable")
    with pytest.raises(ValueError, match=r"has two times on Intel.*: select .* one run"):  # one against torchvision
        bench.on_each_processor(both_runs)
    one_run = [row for row in both_runs if "torchvision" not in row.rival]  # with an engine beside it, or none
    deformable = bench.on_each_processor(one_run)
    assert len(deformable.rows) == len({line[0] for line in deformable.rows}) == 2 * 2 * 3
    assert [line[0] for line in deformable.rows if "–" in line[3:]] == []
    assert "–" not in {cell for line in deformable.rows for cell in line}
    forwards = bench.on_each_processor(rows.select(op="quantized adder"))
    assert forwards.heads == ["case", "Intel, f", "AMD, f"]


def test_a_caption_names_the_modes_that_are_shown_and_what_a_dash_is():
    rows = bench.read().select(op="fire", threads=2, allocator="steady")
    for mode, words in (("forward", "forward (f)"), ("forward+backward", "training step (t)")):
        assert bench.on_each_processor(rows.select(mode=mode)).caption == (
            f"Time ÷ that of conv2d 3×3, {words}, on each processor"
        )
    partly = bench.on_each_processor([row for row in rows if row.shape != rows[0].shape or row.processor == "AMD EPYC"])
    assert partly.caption.endswith(", forward (f) and training step (t), on each processor; –: not measured")
    assert [line[:3] for line in partly.rows if "–" in line] == [[rows[0].shape, "–", "–"]]


def test_a_rival_over_ours_stands_on_each_processor_too():
    rows = bench.read().select(op="shift", threads=2, allocator="steady", backend="numba")
    table = bench.on_each_processor(rows, "faster")
    assert table.caption.startswith("Time of the rival ÷ ours, forward (f)")
    row = rows.select(processor="AMD EPYC", mode="forward")[0]
    assert table.rows[0][0] == f"{row.shape}, {row.rival}"
    assert table.rows[0][3] == f"{row.faster:.2f}"
    alone = bench.on_each_processor(rows.select(rival="depthwise 3×3 and 1×1"), "faster")
    assert alone.caption.startswith("Time of depthwise 3×3 and 1×1 ÷ ours, forward (f)")
    assert alone.rows[0][0] == row.shape
