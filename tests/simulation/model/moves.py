"""Which moves there are, how often each comes, and between which numbers its arguments lie."""

from random import Random

from tests.simulation.model.game import CUSTOMERS, POLICIES, Game

HOLD = (0, 7)
WHOSE = (0, 39)
"""Below the count of customers it is that customer, else the hold's own."""
PLACE = (0, 12 * 4 * 3 - 1)
REQUEST = (0, 1)
CUSTOMER = (0, len(CUSTOMERS) - 1)

MOVES: dict[str, tuple[int, dict[str, tuple[int, int]]]] = {
    "claim": (16, {"customer": CUSTOMER, "place": PLACE, "rule": (0, 4), "request": REQUEST}),
    "rush": (4, {"calls": (2, 32), "drawn": (0, 2**32 - 1)}),
    "change": (6, {"hold": HOLD, "add": PLACE, "remove": (0, 11), "whose": WHOSE, "request": REQUEST}),
    "extend": (2, {"hold": HOLD, "times": (1, 22), "whose": WHOSE, "request": REQUEST}),
    "release": (2, {"hold": HOLD, "ending": (0, 3), "whose": WHOSE, "request": REQUEST}),
    "move": (4, {"hold": HOLD, "to": CUSTOMER, "outdated": (0, 3), "request": REQUEST}),
    "expire": (1, {"limit": (1, 3), "request": REQUEST}),
    "end_holds": (1, {"limit": (1, 3), "request": REQUEST}),
    "check_out": (4, {"hold": HOLD, "whose": WHOSE, "request": REQUEST}),
    "pay": (4, {"hold": HOLD, "failures": (0, 4), "whose": WHOSE, "request": REQUEST}),
    "close_payment": (2, {"hold": HOLD, "request": REQUEST}),
    "sell": (4, {"hold": HOLD, "other": (0, 5), "whose": WHOSE, "request": REQUEST}),
    "sell_again": (1, {"sale": (0, 5), "request": REQUEST}),
    "restock": (8, {"sale": (0, 5), "part": PLACE, "other": (0, 3), "request": REQUEST}),
    "block": (1, {"place": PLACE, "evict": (0, 1), "request": REQUEST}),
    "unblock": (3, {"place": PLACE, "request": REQUEST}),
    "look_at": (5, {"reader": (0, 3), "subject": (0, len(CUSTOMERS)), "hold": HOLD}),
    "repeat": (4, {"which": (0, 9), "way": (0, 5)}),
    "lapse": (2, {"hold": HOLD, "more": (0, 2)}),
    "set_time": (2, {"hold": HOLD, "when": (0, 2)}),
    "back_on_sale": (4, {"which": (0, 1)}),
    "seldom": (3, {"what": (0, 11), "number": (0, len(POLICIES) - 1), "request": REQUEST}),
}
"""Name -> how often it comes, and the least and the greatest number of each argument."""


def make(game: Game, move: str, numbers: dict[str, int]) -> None:
    """Make a move."""
    match move:
        case "set_time":
            game.set_deadline(numbers["hold"], ("now", "soon", "far")[numbers["when"]])
        case "seldom":
            make_seldom(game, **numbers)
        case _:
            getattr(game, move)(**numbers)


def make_seldom(game: Game, what: int, number: int, request: int) -> None:
    """Make one of the moves that stand in the way of all others, until `back_on_sale` comes."""
    match what:
        case 0 | 1:
            game.freeze("frozen", request)
        case 2:
            game.freeze("open" if number else "rebuilding", request)
        case 3 | 4:
            game.change_policy(number, request)
        case 5:
            game.begin_load(0)
        case 6:
            game.finish_load(number % 2)
        case 7:
            game.break_contract(number % 4)
        case 8:
            game.reload(number % 2, number // 2)
        case 9:
            game.adopt(number % 2)
        case 10 if number == 0:
            game.close(request)
        case 11:
            game.stop_writers(number % 2)


def draw_move(draw: Random) -> tuple[str, dict[str, int]]:
    """Draw a move with its numbers."""
    (move,) = draw.choices(_NAMES, cum_weights=_WEIGHTS)
    return move, {name: draw.randint(least, greatest) for name, (least, greatest) in MOVES[move][1].items()}


_NAMES = list(MOVES)
_WEIGHTS = [sum(weight for weight, _ in list(MOVES.values())[: place + 1]) for place in range(len(MOVES))]
