from __future__ import annotations

from pathlib import Path

from unsmear.study import Photo, ask, gather_photos

from .makers import MODELS, make_restorations

PHOTOS = tuple(f"photo{number}" for number in range(8))


def test_order_follows_the_seed_and_the_person_alone(tmp_path: Path) -> None:
    photos, _ = gather_photos(make_restorations(tmp_path, photos=PHOTOS))

    def order(person: str, seed: int) -> list[tuple[str, tuple[str, ...]]]:
        return [(each.photo, each.models) for each in ask(photos[::-1], person, seed)[0]]

    assert order("ann", 1) == order("ann", 1)
    assert order("ann", 1) != order("ann", 2)
    assert order("ann", 1) != order("bob", 1)
    assert {photo for photo, _ in order("ann", 1)} == set(PHOTOS)
    assert {models[0] for _, models in order("ann", 1)} == set(MODELS)


def test_a_session_keeps_its_order_in_later_versions() -> None:
    photos = [Photo(name, {model: Path(model) for model in MODELS}) for name in ("a", "b", "ç")]
    assert [(each.photo, each.models) for each in ask(photos, "ann", 1)[0]] == [
        ("ç", ("ours", "third", "theirs")),
        ("a", ("ours", "theirs", "third")),
        ("b", ("ours", "third", "theirs")),
    ]


def test_a_name_need_not_be_text() -> None:
    photos = [Photo("caf\udce9", {model: Path(model) for model in MODELS})]
    assert ask(photos, "zo\udceb")[0][0].photo == "caf\udce9"


def test_ids_lead_to_the_files_and_tell_nothing(tmp_path: Path) -> None:
    photos, _ = gather_photos(make_restorations(tmp_path))
    questions, files = ask(photos)
    for question in questions:
        for model, picture in zip(question.models, question.pictures, strict=True):
            assert files[picture] == tmp_path / model / f"{question.photo}.png"
    assert len(files) == len(MODELS) * len(photos)
    assert files.keys().isdisjoint(ask(photos)[1])
