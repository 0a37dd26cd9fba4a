"""``unsmear data``: the door to the commands about data sets."""

from __future__ import annotations

from unsmear.cli.page import PARTS, page
from unsmear.errors import InputError

PAGE = page(
    "COMMAND ...",
    {"Commands (unsmear data COMMAND --help)": PARTS["data"]},
)


def command() -> None:
    """Look data sets over before training, and make some.

    Data sets are recognised by their trees: ReLoBlur, GoPro, HIDE, RealBlur, and any folder of
    NAME_blur.png, NAME_sharp.png and perhaps NAME_mask.png.
    """
    raise InputError(f"unsmear data wants a command: {' or '.join(PARTS['data'])}.")
