import math

import pytest

from unsmear.speed.comparison import Comparison, Row, fit_line
from unsmear.speed.picture import draw_times
from unsmear.speed.worker import Task

TASK = Task("fast", "lmdvit", 512, 512, "cpu", "float32")


def comparison():
    rows = (
        Row(1.0, {"fast": 2.0, "plain": 5.0}, 300_000_000_000, 1e-6, 120.0),
        Row(0.0, {"fast": 0.5, "plain": 0.5}, 10_000_000_000, 0.0, math.inf),
    )
    return Comparison(TASK, 2, 600e9, rows, fit_line([1.0, 0.0], [2.0, 0.5]))


def test_a_line_through_points_on_it_is_found():
    slope, intercept, r2 = fit_line([0, 0.25, 1], [0.1, 0.6, 2.1])
    assert (slope, intercept, r2) == (pytest.approx(2), pytest.approx(0.1), pytest.approx(1))


def test_points_off_the_line_lower_r2():
    assert fit_line([0, 0.5, 1], [0, 1, 0]).r2 == pytest.approx(0)


def test_ratios_and_the_share_of_the_peak():
    result = comparison()
    assert result.rows[0].faster("plain") == 2.5
    assert result.of_peak == pytest.approx(0.5)  # 600 G operations in 2 s


def test_figures_are_plain_json_values():
    figures = comparison().as_dict()
    assert figures["model"] == "lmdvit"
    assert [row["psnr"] for row in figures["rows"]] == [120.0, None]
    assert figures["line"]["intercept"] == pytest.approx(0.5)


def test_the_plot_has_a_point_for_every_time():
    drawing = draw_times([comparison(), comparison()])
    assert drawing.count("<circle") == 8
    assert "plain: 100% kept, 5.000 s" in drawing
