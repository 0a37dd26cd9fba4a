"""What the service takes: bytes, pixels, sides, seconds, and how many may wait."""

from __future__ import annotations

import math
from dataclasses import dataclass

from unsmear.errors import InputError
from unsmear.images.formats import Unreadable, sniff
from unsmear.web.header import picture_size
from unsmear.web.problems import TooLargeError, UnsupportedError


@dataclass(frozen=True)
class Limits:
    """What a request may ask for.

    Attributes:
        max_bytes: of a picture's file, and of a request's body.
        max_pixels: width times height of a picture.
        max_side: pixels of its longer side.
        timeout: seconds from when a picture is handed in to its answer, waiting included.
        queue: pictures that may wait beside those under way.

    Raises:
        InputError: a limit below what makes sense.
    """

    max_bytes: int = 64 << 20
    max_pixels: int = 50_000_000
    max_side: int = 20_000
    timeout: float = 300.0
    queue: int = 16

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_side"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is a whole number from 1, got {getattr(self, name)}.")
        if not 0 < self.timeout < math.inf:
            raise InputError(f"The timeout is some seconds, got {self.timeout:g}.")
        if self.queue < 0:
            raise InputError(f"The queue holds some pictures, or none, got {self.queue}.")

    def check(self, data: bytes, what: str = "The file") -> tuple[int, int] | None:
        """Refuse a file by its length and header alone.

        Args:
            data: the file.
            what: what to call it in a sentence.

        Returns:
            Its width and height; None where the header does not tell, and the decoder must.

        Raises:
            TooLargeError: too many bytes, pixels, or pixels a side.
            UnsupportedError: not a format that is read.
        """
        if len(data) > self.max_bytes:
            raise TooLargeError(f"{what} has more than {self.max_bytes:,} bytes: make it smaller.")
        try:
            format = sniff(data[:512])
        except Unreadable as problem:
            raise UnsupportedError(f"{what} {problem}.") from None
        size = picture_size(data, format)
        if size is not None and (max(size) > self.max_side or size[0] * size[1] > self.max_pixels):
            raise TooLargeError(
                f"{what} has {size[0]} x {size[1]} pixels, more than the {self.max_pixels:,}, or "
                f"the {self.max_side:,} a side, that are taken: make it smaller."
            )
        return size
