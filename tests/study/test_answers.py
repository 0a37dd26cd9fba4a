from __future__ import annotations

import json
from pathlib import Path

import pytest

from unsmear.errors import InputError
from unsmear.study import Answer, AnswerFile, read_answers

FIRST = Answer("ann", "a", ("ours", "theirs"), "ours")
SECOND = Answer("ann", "b", ("theirs", "ours"), None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.jsonl"


def test_each_answer_is_a_line_at_once(path: Path) -> None:
    answers = AnswerFile(path)
    answers.add(FIRST)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["photo"], row["choice"]) for row in rows] == [("a", "ours")]
    assert rows[0]["at"].endswith("+00:00")
    answers.add(SECOND)
    assert len(path.read_text().splitlines()) == 2


def test_a_session_goes_on_and_the_last_word_counts(path: Path) -> None:
    AnswerFile(path).add(FIRST)
    answers = AnswerFile(path)
    answers.add(Answer("ann", "a", ("theirs", "ours"), "theirs"))
    answers.add(Answer("bob", "a", ("theirs", "ours"), "ours"))
    answers.add(Answer("ann", "a", ("theirs", "ours", "third"), "third"))
    mine = AnswerFile(path).of("ann", ["ours", "theirs"])
    assert {photo: answer.choice for photo, answer in mine.items()} == {"a": "theirs"}
    assert [answer.choice for answer in read_answers(path)] == ["theirs", "ours", "third"]


@pytest.mark.parametrize("name", ["caf\udce9", "a\u2028b\x85c\x0bd"])
def test_any_file_name_can_be_answered_about(path: Path, name: str) -> None:
    answer = Answer(name, name, ("ours", name), name)
    AnswerFile(path).add(answer)
    assert AnswerFile(path).of(name, answer.shown) == {name: read_answers(path)[0]}
    assert read_answers(path)[0].choice == name


def test_lines_end_with_line_feeds_alone(path: Path) -> None:
    # As they were written when answers were not yet kept in ASCII.
    row = {"person": "ann", "photo": "a\u2028b", "shown": ["ours", "theirs"], "choice": None}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert [answer.photo for answer in read_answers(path)] == ["a\u2028b"]


def test_a_line_that_was_cut_off_costs_only_itself(path: Path) -> None:
    AnswerFile(path).add(FIRST)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:30])
    AnswerFile(path).add(SECOND)
    assert [answer.photo for answer in read_answers(path)] == ["a", "b"]


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "[]",
        "{}",
        '{"person": "ann", "photo": "a", "shown": ["x", "y"], "choice": "z"}',
        '{"person": "ann", "photo": "a", "shown": ["x"], "choice": null}',
        '{"person": "ann", "photo": ["a"], "shown": ["x", "y"], "choice": "x"}',
    ],
)
def test_other_files_are_refused(path: Path, line: str) -> None:
    path.write_text(f"{line}\n")
    with pytest.raises(InputError, match="line 1"):
        read_answers(path)
    with pytest.raises(InputError, match="line 1"):
        AnswerFile(path)
    assert path.read_text() == f"{line}\n"


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match="is no file"):
        read_answers(path)
