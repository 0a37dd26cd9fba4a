"""The commands beside deblurring."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from unsmear.cli.info import parse_size
from unsmear.cli.options import MODEL_NAMES, parse_budget
from unsmear.errors import InputError
from unsmear.models import load_model, save_model
from unsmear.models.dmphn import DMPHN, DMPHNConfig
from unsmear.models.dmphn_released import to_released

from .makers import Run, names, pixels


@pytest.mark.parametrize(
    "words",
    [
        "train settings.yaml",
        "data check .",
        "data synthesize --stills . -o out --count 1",
        "mask --data . -o out",
        "eval --data .",
    ],
)
def test_a_missing_extra_is_one_sentence(words: str, tmp_path: Path) -> None:
    """In a process of its own, where nothing is loaded yet."""
    code = "import sys; sys.modules['cv2'] = None; from unsmear.cli.main import main; "
    told = subprocess.run(
        [sys.executable, "-c", code + f"sys.exit(main({words.split()}))"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 2, told.stderr
    (line,) = told.stderr.splitlines()
    assert line.endswith("needs cv2, which is not installed: pip install 'unsmear[train]'")


def test_models_lists_all(run: Run) -> None:
    rows = json.loads(run("models", "--json", plain=True).out)
    assert tuple(row["name"] for row in rows) == MODEL_NAMES
    assert [row["parameters"] for row in rows][:2] == [54_549_163, 13_945_471]
    table = run("models", plain=True).out
    assert "54.5 M" in table
    assert all(name in table for name in MODEL_NAMES)


def test_models_reads_the_card(
    checkpoint: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = {"trained_on": "moving squares", "gain_inside_mask_db": 1.75}
    told = tmp_path / "told.safetensors"
    save_model(load_model(checkpoint), told, metadata={"unsmear.card": json.dumps(card)})
    monkeypatch.setattr("unsmear.models.bundled_weights", lambda _: told)
    rows = json.loads(run("models", "--json", plain=True).out)
    assert rows[0]["card"] == card
    assert rows[0]["weights_bytes"] == told.stat().st_size
    table = run("models", plain=True).out
    assert "+1.75 dB" in table
    assert "lmdvit: trained on moving squares." in table


def test_models_takes_one_line_each_in_a_narrow_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = [line for line in run("models", plain=True).out.splitlines() if line.startswith("│")]
    assert len(rows) == len(MODEL_NAMES)


def test_info_counts(run: Run) -> None:
    figures = json.loads(run("info", "lmdvit", "--size", "640x480", "--json", plain=True).out)
    assert figures["parameters"] == 54_549_163
    assert (figures["width"], figures["height"]) == (640, 480)
    spent = [row["multiply_adds"] for row in figures["pruned"]]
    assert spent == sorted(spent)
    assert spent[-1] == figures["multiply_adds_dense"]
    assert "54,549,163" in run("info", "lmdvit", plain=True).out


def test_info_of_a_checkpoint(checkpoint: Path, run: Run) -> None:
    figures = json.loads(run("info", checkpoint, "--json", plain=True).out)
    held = sum(parameter.numel() for parameter in load_model(checkpoint).parameters())
    assert figures["parameters"] == held


def test_info_of_a_network_with_a_budget(run: Run) -> None:
    figures = json.loads(run("info", "dmphn-nu", "--json", plain=True).out)
    assert figures["pruned"] == []
    spent = [row["multiply_adds"] for row in figures["budgets"]]
    assert spent == sorted(spent)
    assert spent[1] < figures["multiply_adds_dense"] < spent[2]
    assert "with a budget of -10%" in run("info", "dmphn-nu", plain=True).out


@pytest.mark.parametrize("text", ["2152", "0x5", "ax5", "5x", "-5x5"])
def test_info_refuses_a_size(text: str, run: Run) -> None:
    ended = run("info", f"--size={text}", plain=True)
    assert ended.code == 2
    assert "--size" in ended.err


def test_sizes_are_width_first() -> None:
    assert parse_size("2152X1436") == (2152, 1436)


def test_info_of_nothing(run: Run) -> None:
    ended = run("info", "nothing", plain=True)
    assert ended.code == 2
    assert "nothing" in ended.err


def test_convert_there_and_back(checkpoint: Path, photo: Path, run: Run) -> None:
    assert run("convert", checkpoint, "own.pth", "--to", "released", plain=True).code == 0
    ended = run("convert", "own.pth", "back.safetensors", plain=True)
    assert ended.code == 0
    assert ended.out.startswith("back.safetensors  ")
    ours, back = load_model(checkpoint).state_dict(), load_model("back.safetensors").state_dict()
    assert ours.keys() == back.keys()
    assert all(torch.equal(ours[name], back[name]) for name in ours)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("missing.pth", "x.safetensors"), "missing.pth"),
        (("photo.png", "x.safetensors"), "photo.png"),
        (("photo.png", "x.pth"), ".safetensors"),
        (("photo.png", "nowhere/x.safetensors"), "photo.png"),
    ],
)
def test_convert_refuses(words: tuple[str, str], part: str, photo: Path, run: Run) -> None:
    ended = run("convert", *words, plain=True)
    assert ended.code == 2
    assert part in ended.err
    assert len(ended.err.splitlines()) == 1
    assert names() == ["photo.png"]


def test_convert_keeps_what_is_there(checkpoint: Path, photo: Path, run: Run) -> None:
    Path("x.safetensors").write_bytes(b"mine")
    assert run("convert", checkpoint, "x.safetensors", plain=True).code == 2
    assert Path("x.safetensors").read_bytes() == b"mine"
    assert run("convert", checkpoint, "x.safetensors", "--overwrite", plain=True).code == 0


def test_convert_takes_a_released_folder(photo: Path, run: Run) -> None:
    Path("released").mkdir()
    for name, state in to_released(DMPHN(DMPHNConfig(embed_dim=2)).state_dict()).items():
        torch.save(state, Path("released") / name)
    assert run("convert", "released", "dmphn.safetensors", plain=True).code == 0
    assert run("convert", "dmphn.safetensors", "back", "--to", "released", plain=True).code == 0
    assert len(list(Path("back").iterdir())) == 8


def test_budgets_are_shares_or_percents() -> None:
    budgets = [parse_budget(text) for text in ("-10%", "+20 %", "0.5", "0")]
    assert budgets == [-0.1, 0.2, 0.5, 0.0]
    for text in ("50", "-60%", "half", "101%"):
        with pytest.raises(InputError, match="--budget"):
            parse_budget(text)


def test_a_budget_needs_a_network_that_samples(photo: Path, run: Run) -> None:
    ended = run(photo, "--budget", "-10%", plain=True)
    assert ended.code == 2
    assert "no budget" in ended.err
    assert names() == ["photo.png"]


def test_train_names_the_missing_extra(
    photo: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("unsmear.training", "unsmear.training.run"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "lightning", None)
    ended = run("train", "run.yaml", plain=True)
    assert ended.code == 2
    assert "pip install 'unsmear[train]'" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_train_refuses_a_missing_configuration(photo: Path, run: Run) -> None:
    pytest.importorskip("lightning")
    ended = run("train", "run.yaml", plain=True)
    assert ended.code == 2
    assert "run.yaml" in ended.err


def test_train_hands_over(photo: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lightning")
    seen = []

    def train(arguments: list[str], *, resume: bool) -> Path:
        seen.append((arguments, resume))
        return Path("weights.safetensors")

    monkeypatch.setattr(import_module("unsmear.training.run"), "train", train)
    for name in ("run.yaml", "more.yaml"):
        Path(name).write_text("seed_everything: 0\n")
    assert run("train", "run.yaml", plain=True).out == "weights.safetensors\n"
    run("train", "run.yaml", "more.yaml", "--fresh", "--trainer.devices", "2", plain=True)
    files = ["--config=run.yaml", "--config=more.yaml"]
    assert seen == [(files[:1], True), ([*files, "--trainer.devices", "2"], False)]


def test_demo_shows_before_and_after(checkpoint: Path, photo: Path, run: Run) -> None:
    pytest.importorskip("skimage")
    ended = run("demo", "-o", "shown", "--model", checkpoint, plain=True)
    assert ended.code == 0, ended.err
    made = ["shown/blur_map.png", "shown/blurred.png", "shown/demo.png", "shown/restored.png"]
    assert names() == ["photo.png", *made]
    assert all(name in ended.out for name in made)
    assert pixels(Path("shown/restored.png")).shape == (500, 741, 3)


def test_the_demo_scene_moves_a_part_and_nothing_else() -> None:
    from unsmear.cli.demo_scene import MOTORCYCLE, from_light, move_a_part, to_light

    every = np.arange(256, dtype=np.uint8)
    assert np.array_equal(from_light(to_light(every)), every)
    sharp = np.random.default_rng(0).integers(0, 256, (220, 400, 3), dtype=np.uint8)
    cover = np.zeros((220, 400))
    cover[40:180, 60:300] = 1
    blurred, moved = move_a_part(sharp, cover, MOTORCYCLE, instants=5)
    assert moved.mean() > 0.1
    assert np.array_equal(blurred[:, 340:], sharp[:, 340:])


def test_the_cover_is_what_stands_before_wall_and_floor() -> None:
    from unsmear.cli.demo_scene import motorcycle_cover

    disparity = np.full((200, 300), 20.0)
    disparity[120:] = np.linspace(30, 70, 80)[:, None]  # the floor comes nearer
    disparity[60:150, 100:220] = 55.0
    disparity[0, 0] = np.inf
    cover = motorcycle_cover(disparity)
    assert cover[70:130, 110:210].min() > 0.9
    assert cover[:50].max() == cover[170:].max() == 0
