"""The benchmark: its rows are what was timed, and it says what it cannot do."""

import csv

import pytest
import torch

from convnotes import bench

TINY = (2, 8, 6)


@pytest.mark.parametrize("op", bench.OPS)
def test_both_sides_of_a_row_map_the_same_shapes(op):
    x = torch.randn(TINY[0], TINY[1], TINY[2], TINY[2])
    ours, plain = (make(TINY[1]).eval() for make in bench.OPS[op])
    assert ours(x).shape == plain(x).shape


@pytest.mark.parametrize("backward", [False, True])
def test_a_row_holds_the_ratio_of_multiply_adds_and_of_times(backward):
    row = bench.measure("separable", TINY, backward=backward, rounds=2)
    assert row.macs_ratio == pytest.approx((9 * 8 + 8 * 8) / (9 * 8 * 8))
    assert row.time_ratio == pytest.approx(row.ms / row.plain_ms)
    assert row.ms_p20 <= row.ms <= row.ms_p80
    assert row.mode == ("forward+backward" if backward else "forward")


def test_the_rows_are_written_with_their_provenance(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "SHAPES", (TINY,))
    file = tmp_path / "rows.csv"
    assert bench.main(["--op", "pointwise", "--rounds", "1", "--csv", str(file)]) == 0
    with file.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["mode"] for row in rows] == ["forward", "forward+backward"]
    assert all(torch.__version__ in row["machine"] for row in rows)
    assert "pointwise" in capsys.readouterr().out


def test_what_cannot_be_run_is_refused_in_words(capsys):
    with pytest.raises(ValueError, match="no operator 'conv'; the names are pointwise, separable"):
        bench.measure("conv", TINY)
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit):
            bench.main(["--device", "cuda"])
        assert "torch finds no CUDA device here" in capsys.readouterr().err
