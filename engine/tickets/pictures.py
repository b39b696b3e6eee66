"""A code as a QR: the matrix, an SVG, a PNG. The same code gives the same bytes."""

import io
from functools import partial
from typing import Final

import segno

BORDER: Final = 4
"""The quiet zone that the standard asks for, in modules."""
PNG_SCALE: Final = 8
SVG_SCALE: Final = 4

# The mask is the same for all: a code is mostly signature, as random as what any mask makes of it, and looking for the
# best of eight takes five times as long as all the rest.
_make = partial(segno.make, micro=False, error="m", boost_error=False, mask=3)


def qr_matrix(code: str) -> tuple[bytearray, ...]:
    """Give the modules, row by row; 1 is dark."""
    return tuple(_make(code).matrix)


def qr_svg(code: str) -> bytes:
    """Draw an SVG."""
    out = io.BytesIO()
    _make(code).save(out, kind="svg", scale=SVG_SCALE, border=BORDER, title="QR")
    return out.getvalue()


def qr_png(code: str) -> bytes:
    """Draw a PNG, black on white."""
    out = io.BytesIO()
    _make(code).save(out, kind="png", scale=PNG_SCALE, border=BORDER)
    return out.getvalue()
