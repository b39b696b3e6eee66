"""The halls of the demo chain: eight layouts of 40 to 420 seats, one from a seating-plan file, and a stadium."""

import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from engine.catalogue.floor_plans import PITCH, draw_layout
from engine.catalogue.layouts import Layout, Seat, Tier, make_layout
from engine.catalogue.seating_plans import read_seating_plan

DATA = Path(__file__).with_name("data")

STADIUM_SECTORS = 20
STADIUM_ROWS = 20
STADIUM_SEATS_PER_ROW = 25


@cache
def demo_layout(kind: str) -> Layout:
    """Give the layout of a kind of hall, as `data/chain.json` names it."""
    return _KINDS[kind]()


def _hall(
    name: str, rows: int, blocks: tuple[int, ...], *, premium: int = 0, vip: int = 0, door: bool = True
) -> Layout:
    """Draw a hall.

    Args:
        name: of the layout.
        rows: from A at the screen; in all but the smallest, wheelchair places stand at the ends of the first.
        blocks: seats of each block of a row; aisles run between them.
        premium: rows of that tier before the VIP rows.
        vip: rows at the back.
        door: whether two seats are missing in the middle of the last row, for the door.
    """
    lines = []
    for row in range(rows):
        tier = "V" if row >= rows - vip else "P" if row >= rows - vip - premium else "R"
        places = "__".join(tier * seats for seats in blocks)
        if row == 0 and rows > 5:
            places = "wc" + places[2:-2] + "cw"
        if row == rows - 1 and door:
            middle = len(places) // 2
            places = places[: middle - 1] + "__" + places[middle + 1 :]
        lines.append(f"{chr(ord('A') + row)} {places}")
        if row == rows // 2 and rows > 10:
            lines.append("")
    return draw_layout(name, lines)


def _from_file() -> Layout:
    return read_seating_plan((DATA / "teater-kencana.json").read_bytes())


def _stadium() -> Layout:
    """Place 20,000 seats in two rings of sectors around a screen in the middle."""
    inner = PITCH * STADIUM_SEATS_PER_ROW * STADIUM_SECTORS * 1.1 / (2 * math.pi)
    middle = inner + 2.4 * STADIUM_ROWS * PITCH
    sector_angle = 2 * math.pi / STADIUM_SECTORS
    seats: list[Seat] = []
    for ring, ring_name in enumerate(("Bawah", "Atas")):
        for sector in range(STADIUM_SECTORS):
            zone = f"{ring_name} {sector + 1}"
            for row in range(STADIUM_ROWS):
                radius = inner + (ring * (STADIUM_ROWS + 4) + row) * PITCH
                letter = chr(ord("A") + row)
                for place in range(STADIUM_SEATS_PER_ROW):
                    # A tenth of each sector's arc is its stairs.
                    share = 0.05 + 0.9 * (place + 0.5) / STADIUM_SEATS_PER_ROW
                    angle = (sector + share) * sector_angle
                    number = str(place + 1)
                    # Wheelchair places at the stairs of each sector's first row, the companion's seat beside.
                    first = ring == 0 and row == 0
                    seats.append(
                        Seat(
                            index=len(seats),
                            seat=f"{ring_name[0]}{sector + 1}-{letter}{number}",
                            row=letter,
                            number=number,
                            tier=_stadium_tier(ring, sector, row),
                            zone=zone,
                            x=round(middle + radius * math.sin(angle), 1),
                            y=round(middle - radius * math.cos(angle), 1),
                            accessible=first and place == 0,
                            companion=first and place == 1,
                        )
                    )
    return make_layout("Stadion", round(2 * middle, 1), round(2 * middle, 1), seats)


def _stadium_tier(ring: int, sector: int, row: int) -> Tier:
    if ring == 0 and sector in (4, 5, 14, 15):
        return "VIP"
    return "PREMIUM" if ring == 0 or row < 5 else "REGULAR"


_KINDS: Mapping[str, Callable[[], Layout]] = {
    "beludru": lambda: _hall("Beludru", 5, (2, 4, 2), vip=5, door=False),
    "empat": lambda: _hall("Studio kecil", 7, (3, 6, 3)),
    "tiga": lambda: _hall("Studio sedang", 10, (4, 4, 4), premium=2),
    "dua": lambda: _hall("Studio lebar", 12, (4, 6, 4), premium=3),
    "satu": lambda: _hall("Studio besar", 14, (4, 7, 4), premium=4, vip=1),
    "kencana": _from_file,
    "utama": lambda: _hall("Studio utama", 15, (5, 10, 5), premium=5, vip=2),
    "raya": lambda: _hall("Layar raya", 20, (5, 11, 5), premium=7, vip=3, door=False),
    "stadion": _stadium,
}
"""Kind -> how its layout is made."""
