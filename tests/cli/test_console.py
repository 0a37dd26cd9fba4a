from __future__ import annotations

import pytest

from unsmear.cli.console import complain, note, say


def test_names_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[2Jb\r\x9bc\x7f.png"
    say(f"{name}\tdone\nand more")
    note(name)
    complain(f"{name} is no picture")
    shown = r"a\x1b[2Jb\x0d\x9bc\x7f.png"
    printed = capsys.readouterr()
    assert printed.out == f"{shown}\tdone\nand more\n"
    assert printed.err.splitlines()[0] == shown
    assert printed.err.splitlines()[1] == r"unsmear: a\x1b[2Jb \x9bc\x7f.png is no picture"


def test_tables_keep_their_colours(capsys: pytest.CaptureFixture[str]) -> None:
    say("\x1b[1;31mmodel\x1b[0m")
    assert capsys.readouterr().out == "\x1b[1;31mmodel\x1b[0m\n"
