"""``unsmear explain``, run as a person would."""

from __future__ import annotations

from pathlib import Path

import pytest

from .makers import Run, make_photo, names, pixels


def test_a_photo_is_explained_with_the_bundled_model(photo: Path, run: Run) -> None:
    ended = run("explain", photo, "-o", "why", "--device", "cpu", plain=True)
    assert ended.code == 0, ended.err
    written = names(Path("why"))
    assert ended.out == f"{Path('why/index.html')}  {len(written) - 1} pictures\n"
    for name in ("input.png", "restored.png", "change.png", "blur-map.png", "stage9-kept.png"):
        assert name in written
    assert {pixels(Path("why", name)).shape for name in written if name != "index.html"} == {
        (56, 72, 3)
    }
    assert (pixels(Path("why/input.png")) == pixels(photo)).all()
    text = Path("why/index.html").read_text(encoding="utf-8")
    assert text.count("<img ") == len(written) - 1
    assert "photo.png" in text
    assert "lmdvit-tiny (LMDViT)" in text
    assert "full size" in text


def test_a_folder_with_files_is_left_alone(photo: Path, checkpoint: Path, run: Run) -> None:
    Path("why").mkdir()
    Path("why/input.png").write_bytes(b"mine")
    Path("why/notes.txt").write_text("mine")
    words = ("explain", photo, "-o", "why", "--model", checkpoint, "--device", "cpu")
    ended = run(*words, plain=True)
    assert ended.code == 2
    assert "--overwrite" in ended.err
    assert names(Path("why")) == ["input.png", "notes.txt"]
    assert Path("why/input.png").read_bytes() == b"mine"

    assert run(*words, "--overwrite", plain=True).code == 0
    assert pixels(Path("why/input.png")).shape == (56, 72, 3)
    assert Path("why/notes.txt").read_text() == "mine"


def test_the_photo_itself_is_never_replaced(tmp_path: Path, checkpoint: Path, run: Run) -> None:
    photo = make_photo(tmp_path / "why" / "input.png")
    before = photo.read_bytes()
    words = ("explain", photo, "-o", photo.parent, "--model", checkpoint, "--device", "cpu")
    ended = run(*words, "--overwrite", plain=True)
    assert ended.code == 2
    assert "is the input itself" in ended.err
    assert photo.read_bytes() == before


def test_a_name_that_is_no_text_is_spelt_out(photo: Path, checkpoint: Path, run: Run) -> None:
    nameless = photo.rename(photo.with_name("p\udcff.png"))
    words = ("explain", nameless, "-o", "why", "--model", checkpoint, "--device", "cpu")
    ended = run(*words, plain=True)
    assert ended.code == 0, ended.err
    assert r"p\udcff.png" in Path("why/index.html").read_text(encoding="utf-8")


def test_large_photos_are_made_smaller(photo: Path, checkpoint: Path, run: Run) -> None:
    words = ("explain", photo, "-o", "a/b", "--model", checkpoint, "--device", "cpu")
    ended = run(*words, "--size", 36, "--threshold", 0, plain=True)
    assert ended.code == 0, ended.err
    assert pixels(Path("a/b/restored.png")).shape == (28, 36, 3)
    text = Path("a/b/index.html").read_text(encoding="utf-8")
    assert "72 x 56 pixels" in text
    assert "36 x 28 pixels" in text
    assert "(100.0%)" in text


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("missing.png", "-o", "why"), "missing.png does not exist"),
        (("photo.png", "-o", "photo.png"), "is a file"),
        (("photo.png", "-o", "why", "--size", "0"), "--size"),
        (("photo.png", "-o", "why", "--budget", "10%"), "budget"),
        (("photo.png", "-o", "why", "--budget", "much"), "--budget"),
        (("photo.png", "-o", "why", "--threshold", "2"), "threshold"),
        (("photo.png", "-o", "why", "--model", "nothing"), "nothing"),
        (("photo.png",), "-o"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    photo: Path, checkpoint: Path, run: Run, words: tuple[str, ...], complaint: str
) -> None:
    model = () if "--model" in words else ("--model", checkpoint)
    ended = run("explain", *words, *model, plain=True)
    assert ended.code == 2
    assert complaint in ended.err
    assert len(ended.err.splitlines()) == 1
    assert names() == ["photo.png"]
