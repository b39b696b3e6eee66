"""Floor plans: a layout drawn in characters, one line per row of seats.

    A  RRRR__RRRR
    B  RRPP__PPRR
    C  wcVV__VVcw

The first word names the row. `R P V` are seats of the tiers, `w` a wheelchair place, `c` the companion seat next to
it (both REGULAR); `_` is a gap: an aisle or a missing seat. Gaps are not counted: seats run 1, 2, 3 ... A line with
no word, only `_`, is an aisle across.
"""

from collections.abc import Mapping, Sequence

from engine import limits
from engine.catalogue.layouts import Layout, Seat, Tier, make_layout
from engine.errors import InvalidInput

PITCH = 32.0
"""Pixels from one seat to the next."""
MARGIN = 48.0
SCREEN = 96.0
"""Pixels kept free for the screen above the first row."""

_TIER_OF: Mapping[str, Tier] = {"R": "REGULAR", "P": "PREMIUM", "V": "VIP", "w": "REGULAR", "c": "REGULAR"}


def draw_layout(name: str, lines: Sequence[str], *, zone: str = "", at: str = "") -> Layout:
    """Build a layout from a floor plan.

    Args:
        name: of the layout.
        lines: the rows, from the screen to the back.
        zone: of all seats; may be empty.
        at: JSON pointer of the plan in the caller's document.

    Raises:
        InvalidInput: an unknown character, a row named twice, or what `make_layout` refuses.
    """
    rows = [_split(line, f"{at}/lines/{index}") for index, line in enumerate(lines)]
    columns = max((len(places) for _, places in rows), default=0)
    seats: list[Seat] = []
    seen: set[str] = set()
    for line, (row, places) in enumerate(rows):
        if row and row in seen:
            raise InvalidInput(f"{at}/lines/{line}", f"row {row} is drawn twice")
        seen.add(row)
        # Shorter rows stand in the middle, as they do in a hall.
        indent = (columns - len(places)) / 2
        number = 0
        for column, place in enumerate(places):
            if place == "_":
                continue
            if place not in _TIER_OF:
                raise InvalidInput(f"{at}/lines/{line}", f"unknown place {place!r}; use R P V w c or _")
            if len(seats) >= limits.SEATS_PER_LAYOUT_MAX:
                raise InvalidInput(f"{at}/lines", f"at most {limits.SEATS_PER_LAYOUT_MAX} seats are possible")
            number += 1
            x, y = MARGIN + (indent + column) * PITCH, MARGIN + SCREEN + line * PITCH
            label = f"{row}{number}" if not row[-1:].isdigit() else f"{row}-{number}"
            seats.append(
                Seat(
                    len(seats), label, row, str(number), _TIER_OF[place], zone, x, y,
                    accessible=place == "w", companion=place == "c",
                )
            )  # fmt: skip
    width = 2 * MARGIN + max(columns - 1, 0) * PITCH
    height = 2 * MARGIN + SCREEN + max(len(rows) - 1, 0) * PITCH
    return make_layout(name, width, height, seats, at=at)


def _split(line: str, at: str) -> tuple[str, str]:
    words = line.split()
    if len(words) == 2:
        return words[0], words[1]
    if not words or (len(words) == 1 and not words[0].strip("_")):
        return "", "".join(words)
    raise InvalidInput(at, "a line is a row's name and its places, e.g. `A RRRR__RRRR`")
