import json
from xml.etree import ElementTree

import pytest


def test_it_measures_and_writes_figures_and_a_plot(run, tmp_path):
    figures, plot = tmp_path / "speed.json", tmp_path / "speed.svg"
    words = ["--size", "64x64", "--repeats", "1", "--device", "cpu", "--dtype", "float32"]
    ended = run("bench", *words, "--json", figures, "--plot", plot, plain=True)
    assert ended.code == 0, ended.err
    assert "64 x 64" in ended.out
    assert "100% kept" in ended.out
    (result,) = json.loads(figures.read_text())["results"]
    assert [row["share"] for row in result["rows"]] == [1.0, 0.5, 0.25, 0.1, 0.0]
    assert all(row["seconds"]["fast"] > 0 for row in result["rows"])
    assert all(row["difference"] < 1e-4 for row in result["rows"])
    spent = [row["multiply_adds"] for row in result["rows"]]
    assert spent == sorted(spent, reverse=True)
    assert result["peak"] > 1e9
    assert ElementTree.fromstring(plot.read_text()).tag.endswith("svg")


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["saphn"], "Only networks that prune windows"),
        (["--dtype", "int8"], "--dtype takes"),
        (["--dtype", ","], "--dtype takes"),
        (["--size", "big"], "--size"),
        (["--repeats", "0"], "--repeats"),
        (["--json", "nowhere/a.json"], "no folder"),
        (["--json", "one", "--plot", "./one"], "a file of its own"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(run, words, wrong):
    ended = run("bench", *words, plain=True)
    assert ended.code == 2
    assert wrong in ended.err
    assert ended.out == ""


def test_a_size_that_does_not_fit_into_memory_is_refused_before_any_work(run, monkeypatch):
    monkeypatch.setattr("unsmear.speed.comparison.available_memory", lambda _: 1 << 30)
    ended = run("bench", "--size", "200000x200000", "--device", "cpu", plain=True)
    assert ended.code == 2
    assert "200000 x 200000 pixels needs" in ended.err
    assert "1.0 GiB" in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_a_folder_in_the_figures_place_is_refused_before_any_work(run, tmp_path, option):
    ended = run("bench", option, tmp_path, "--overwrite", "--size", "64x64", plain=True)
    assert ended.code == 2
    assert "is a folder" in ended.err
    assert ended.out == ""


def test_figures_are_not_overwritten_unasked(run, tmp_path):
    place = tmp_path / "speed.json"
    place.write_text("mine")
    ended = run("bench", "--json", place, plain=True)
    assert ended.code == 2
    assert place.read_text() == "mine"
