"""``unsmear study``: which restorations people prefer."""

from __future__ import annotations

import contextlib
import json as jsonlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unsmear.cli.console import note, say
from unsmear.cli.options import JsonSwitch
from unsmear.cli.page import page
from unsmear.errors import InputError, OutputError

if TYPE_CHECKING:
    from unsmear.study import Photo, Preferences

PAGE = page(
    "[NAME=]FOLDER [NAME=]FOLDER... [-o FILE] | --results FILE [--json]",
    {
        "Examples": {
            "unsmear study ours=restored theirs=other": "the same photos, restored by two models",
            "unsmear study a b c --input photos --person ann": "with the photos as they were",
            "unsmear study --results study.jsonl": "what people prefer",
        },
        "How it counts": {
            "share": "chosen among the decided questions that showed the model",
            "95 %": "Wilson's interval of the share; it takes answers as independent",
            "pairs": "who is chosen wins against everyone else shown",
            "undecided": "'no difference', counted apart",
        },
    },
)


def command(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]FOLDER...",
            help="One model's restorations each; files of one photo have one name.",
            show_default=False,
        ),
    ] = None,
    blurred: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FOLDER",
            help="Show the photos as they were too.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where the answers go.")
    ] = Path("study.jsonl"),
    person: Annotated[
        str, typer.Option(metavar="NAME", help="Who answers; each has an order of their own.")
    ] = "anonymous",
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed, another order.")] = 0,
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Of the page; 0 takes a free one.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Print what the answers in FILE say.", show_default=False
        ),
    ] = None,
    json: JsonSwitch = False,
) -> None:
    """Ask people which of several models' restorations looks best, without saying whose it is.

    Opens a page on this machine that shows each photo's restorations side by side, in random
    order and under names that say nothing. Every answer is a line of FILE at once; started again,
    a session goes on where it stopped. Ctrl-C ends it.
    """
    if results is not None:
        if folders:
            raise InputError("--results prints what was answered: name no folders with it.")
        _print_results(results, json=json)
        return
    if json:
        raise InputError("--json goes with --results.")

    from unsmear.study import gather_photos, named_folders

    photos, left_out = gather_photos(named_folders(folders or []), blurred)
    if left_out:
        note(f"warning: left out, not in every folder: {', '.join(left_out)}")
    _serve(photos, output, person, seed, port, browser=browser)


def _serve(
    photos: list[Photo], output: Path, person: str, seed: int, port: int, *, browser: bool
) -> None:
    from unsmear.study import AnswerFile, StudyServer

    if output.is_dir() or not output.parent.is_dir():
        raise OutputError(f"{output} cannot be written: -o wants a file in a folder that exists.")
    answers = AnswerFile(output)
    try:
        server = StudyServer(photos, answers, person, seed, port)
    except OSError as error:
        raise OutputError(
            f"port {port} cannot be used ({error.strerror}): choose another"
        ) from None
    with server:
        say(f"{len(photos)} photos at {server.url}  (Ctrl-C ends)")
        if browser:
            import webbrowser

            webbrowser.open(server.url)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    say(f"unsmear study --results {output}")


def _print_results(path: Path, *, json: bool) -> None:
    from unsmear.study import preferences, read_answers

    result = preferences(read_answers(path))
    if json:
        say(jsonlib.dumps(_for_json(result), indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False)
    shares = Table("model", "chosen", "of", "share", "95 %", title="Preferred as the best")
    for row in result.models:
        share = "-" if math.isnan(row.share) else f"{row.share:.1%}"
        shares.add_row(
            row.model, str(row.chosen), str(row.shown), share, f"{row.low:.1%} to {row.high:.1%}"
        )
    names = [row.model for row in result.models]
    pairs = Table("chosen against", *names, title="Wins of the row against the column")
    for name in names:
        pairs.add_row(name, *(str(result.wins[name].get(other, "")) for other in names))
    with console.capture() as tables:
        console.print(shares, pairs)
    # A folder's name need not be text in the terminal's encoding; say() takes care of that.
    say(tables.get().rstrip("\n"))
    say(
        f"{result.decided} decided, {result.undecided} undecided; "
        f"people: {result.people}, photos: {result.photos}"
    )


def _for_json(result: Preferences) -> dict[str, Any]:
    def row(values: dict[str, Any]) -> dict[str, Any]:
        # JSON has no NaN.
        return values | {"share": None if math.isnan(values["share"]) else values["share"]}

    models = [row(each._asdict()) for each in result.models]
    return result._asdict() | {"models": models}
