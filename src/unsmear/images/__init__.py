"""Picture files as people have them, to arrays and back, without losing anything on the way."""

from unsmear.images.formats import SUPPORTED_SUFFIXES
from unsmear.images.picture import Picture
from unsmear.images.reading import format_of_file, read_picture
from unsmear.images.writing import encode_picture, write_picture

__all__ = [
    "SUPPORTED_SUFFIXES",
    "Picture",
    "encode_picture",
    "format_of_file",
    "read_picture",
    "write_picture",
]
