"""The command, as far as it gets without a model."""

from __future__ import annotations

import socket

import pytest

from unsmear.cli.main import main


def complaint(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What the command says when it refuses."""
    assert main(["serve", *map(str, words)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_port_that_is_taken_is_told(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}, cannot be listened on" in complaint(capsys, "--port", port)


def test_an_address_that_is_none_of_ours_is_told(capsys):
    assert "choose another --host" in complaint(capsys, "--host", "192.0.2.1", "--port", 0)


def test_an_empty_key_is_no_key(capsys):
    assert "key is empty" in complaint(capsys, "--api-key", "")


@pytest.mark.parametrize("path", ["unsmear", "https://here/unsmear", "/a//b", "/a b"])
def test_a_root_path_that_is_none_is_told(capsys, path):
    assert "like /unsmear" in complaint(capsys, "--root-path", path)


@pytest.mark.parametrize(
    "words",
    [("--timeout", 0), ("--max-pixels", 0), ("--queue", -1), ("--port", 70000), ("--dtype", "int")],
    ids=str,
)
def test_options_out_of_range_are_refused(capsys, words):
    complaint(capsys, *words)
