"""The games of the model can fail: a script that is broken in one place is noticed, and so is a broken story."""

import shutil
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from engine.paths import LUA_DIR
from tests.simulation.model.game import Game
from tests.simulation.model.invariants import check_story
from tests.simulation.model.look import Look
from tests.simulation.model.moves import draw_move, make
from tests.simulation.model.real import Real

pytestmark = pytest.mark.one_redis("what is broken here is broken for every kind")

GAMES_MAX = 10
MOVES = 300

BROKEN = {
    "a hold is everybody's": (
        "include/holds.lua",
        "if hold and subject ~= '' and hold.subject ~= subject then",
        "if false then",
    ),
    "an end tells nobody": ("include/end_hold.lua", "if hold.status == 'P' then", "if hold.payment_open == 1 then"),
    "a limit is one too many": ("claim_seats.lua", "if #seats > left then", "if #seats > left + 1 then"),
    "a restock takes any sale's seats": ("restock_seats.lua", "if owner == sale and marks", "if marks"),
    "a sale takes other seats": (
        "sell_seats.lua",
        "elseif table.concat(hold.seats, ' ') ~= table.concat(seats, ' ') then",
        "elseif false then",
    ),
    "another request's answer is given": ("include/request.lua", "if memory[1] ~= fingerprint then", "if false then"),
    "a former life may write": ("include/showtime.lua", "if stamp ~= generation then", "if false then"),
    "a freeze leaves a load standing": (
        "freeze_showtime.lua",
        "redis.call('UNLINK', keys.loading)",
        "redis.call('EXISTS', keys.loading)",
    ),
}


def play_games(real: Real) -> None:
    """Play some games."""
    for seed in range(GAMES_MAX):
        draw = Random(seed)
        game = Game(real, draw.randint(6, 12), Counter())
        for _ in range(MOVES):
            make(game, *draw_move(draw))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_script_is_noticed(name, redis_url, redis_server, tmp_path):
    """One guard less in one script: some game ends in disagreement."""
    file, guard, without = BROKEN[name]
    folder = tmp_path / "lua"
    shutil.copytree(LUA_DIR, folder)
    source = (folder / file).read_text(encoding="utf-8")
    assert source.count(guard) == 1, f"{file} has changed: {guard}"
    (folder / file).write_text(source.replace(guard, without), encoding="utf-8")
    real = Real(redis_server, folder)
    with pytest.raises(AssertionError):
        play_games(real)
    real.close()


@pytest.fixture
def look(redis_url, redis_server) -> Look:
    """How a showtime of eight seats stands with a hold, a booking and a blocked seat."""
    real = Real(redis_server)
    game = Game(real, 8)
    game.write("claim_seats", b"a" * 16, 1, 2)
    game.write("claim_seats", b"b" * 16, 3)
    game.write("block_seats", "block", 0, 7)
    real.close()
    return game.look


def test_a_whole_story_is_believed(look):
    """What the scripts have made holds together."""
    assert len(look.holds) == 2
    check_story(look)


@pytest.mark.parametrize(
    ("field", "broken", "says"),
    [
        ("sold", lambda bits: bytes([bits[0] | 0x40, *bits[1:]]), "I9: a seat is two things"),
        ("locked", lambda bits: bytes([bits[0] & 0xBF, *bits[1:]]), "I9: owners"),
        ("blocked", lambda bits: bytes([bits[0] & 0xFE, *bits[1:]]), "I9: owners"),
        ("owners", lambda owners: (owners[3], *owners[1:]), "I9: owners"),
        ("owners", lambda owners: (0, owners[3], *owners[2:]), "I1: two owners"),
        ("deadlines", lambda deadlines: dict(list(deadlines.items())[:1]), "I6: a hold without a deadline"),
        (
            "customers",
            lambda customers: {subject: (1, holds) for subject, (_, holds) in customers.items()},
            "I13: bought",
        ),
        ("customers", lambda customers: dict(list(customers.items())[:1]), "I13: what customers have"),
        ("meta", lambda meta: {**meta, "next_lapse_ms": 0}, "I6: the timer's hint"),
    ],
)
def test_a_broken_story_is_not(look, field, broken, says):
    """Each part that says otherwise than the rest is named by its invariant."""
    with pytest.raises(AssertionError, match=says):
        check_story(replace(look, **{field: broken(getattr(look, field))}))
