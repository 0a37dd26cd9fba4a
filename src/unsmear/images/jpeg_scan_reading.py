"""Reading the coefficients of a JPEG, baseline or progressive."""

from __future__ import annotations

import struct

from unsmear.images.formats import Unreadable
from unsmear.images.jpeg_baseline_reading import read_baseline
from unsmear.images.jpeg_progressive_reading import read_progressive
from unsmear.images.jpeg_scan import BASELINE, EXTENDED, PROGRESSIVE, Scan, Unkept
from unsmear.images.jpeg_segments import split

_READERS = {BASELINE: read_baseline, EXTENDED: read_baseline, PROGRESSIVE: read_progressive}
_LARGEST = 2047  # coefficient that files of 8 bits a sample have


def read_scan(data: bytes) -> Scan:
    """Read the coefficients of a JPEG file.

    Raises:
        Unkept: It is arithmetically coded or lossless, has 12 bits a sample, is baseline with
            several scans or progressive and not complete, has no whole ratio between the
            components' sizes, or is damaged.
    """
    try:
        header = next((segment for segment in split(data)[0] if segment.is_frame), None)
        if header is None or header.marker not in _READERS or header.payload[0] != 8:
            raise Unkept("its frame is neither baseline nor progressive")
        scan = _READERS[header.marker](data, header)
    except (ArithmeticError, LookupError, ValueError, struct.error, Unreadable) as error:
        raise Unkept("it is damaged") from error
    if scan.blocks.min() < -_LARGEST or scan.blocks.max() > _LARGEST:
        raise Unkept("it is damaged")
    return scan
