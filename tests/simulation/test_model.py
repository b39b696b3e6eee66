"""Whatever is played, Redis and the plain model of a showtime answer the same and keep the same."""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.conftest import RedisServer
from tests.simulation.model.game import CUSTOMERS, Game
from tests.simulation.model.moves import MOVES, draw_move, make
from tests.simulation.model.real import Real

SECONDS = float(os.environ.get("SECONDS", "60"))
GAMES = 20
DRAWN_GAMES = 3
MOVES_PER_GAME = 50
LONG_GAME_MOVES = 400
CROWD = 80
CONFLICTS_MIN = 0.2


@pytest.fixture
def real(redis_url: str, redis_server: RedisServer) -> Iterator[Real]:
    """A connection to a server that is empty."""
    connection = Real(redis_server)
    yield connection
    connection.close()


def drawn_seed() -> int:
    """Give `SEED` of the environment, or a new one; print it, so that a failing run can be repeated."""
    number = int(os.environ.get("SEED", random.SystemRandom().getrandbits(32)))
    print(f"SEED={number}")
    return number


def machine_for(real: Real, tally: Counter[str]) -> type[RuleBasedStateMachine]:
    """Make hypothesis' state machine: a rule for each move, as often as it is to come."""

    class ShowtimeMachine(RuleBasedStateMachine):
        @initialize(seats=st.integers(6, 12))
        def open(self, seats):
            self.game = Game(real, seats, tally)
            self.game.rush(16, seats)

        def teardown(self):
            if hasattr(self, "game"):
                note(self.game.story())

    for move, (weight, numbers) in MOVES.items():
        strategies = {name: st.integers(*bounds) for name, bounds in numbers.items()}
        for copy in range(weight):
            setattr(ShowtimeMachine, f"{move}_{copy}" if copy else move, rule(**strategies)(_rule_of(move)))
    return ShowtimeMachine


def _rule_of(move: str):
    def play(self, **numbers):
        make(self.game, move, numbers)

    play.__name__ = move
    return play


def report(tally: Counter[str]) -> str:
    """Say what was played."""
    words = ", ".join(f"{name} {number}" for name, number in sorted(tally.items()) if " " in name)
    calls = sum(number for name, number in tally.items() if " " in name)
    return f"{calls} calls, {tally['claims']} claims, {tally['conflicts']} conflicts: {words}"


def test_random_games_are_the_same_in_redis_and_in_the_model(real):
    """Hypothesis plays; a failing game is shrunk. A fifth of the claims meets a seat that somebody has."""
    tally: Counter[str] = Counter()
    machine = seed(drawn_seed())(machine_for(real, tally))
    played = settings(
        max_examples=GAMES,
        stateful_step_count=MOVES_PER_GAME,
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=played)
    print(report(tally))
    assert tally["conflicts"] >= CONFLICTS_MIN * tally["claims"] > 0, report(tally)


def test_drawn_games_are_the_same_in_redis_and_in_the_model(real):
    """Long games of a seed come further than hypothesis does: to caps, limits, loads, cancellations."""
    tally: Counter[str] = Counter()
    first = drawn_seed()
    for number in range(first, first + DRAWN_GAMES):
        play_long_game(real, number, tally)
    print(report(tally))
    assert tally["conflicts"] >= CONFLICTS_MIN * tally["claims"] > 0, report(tally)


def test_a_repeated_restock_names_who_bought(real):
    """A restock that was refused before its sale was made is repeated after it only if it names that sale's buyer."""
    game = Game(real, 8)
    first, second = (game.write("claim_seats", CUSTOMERS[who], who) for who in (0, 1))
    game._sell(first[3], first[4], CUSTOMERS[0], (0,), 0)
    game.restock(0, 1, 0, 0)
    too_early = game.steps[-1]
    assert (too_early.name, too_early.args[2]) == ("restock_seats", second[3])
    game.restock(0, 0, 2, 0)
    game._sell(second[3], second[4], CUSTOMERS[1], (1,), 0)

    game.repeat(game.steps[::-1].index(too_early), 3)
    assert game.look.owners[1] == second[3]
    game.restock(0, 0, 2, 0)
    assert game.look.owners[1] == 0


@pytest.mark.long
@pytest.mark.timeout(0)
def test_long_games_are_the_same_in_redis_and_in_the_model(real, redis_server):
    """For `SECONDS` games are played whose seeds follow from one; a failing one is repeated by its own."""
    first, tally = drawn_seed(), Counter()
    end = time.monotonic() + SECONDS
    games = 0
    while time.monotonic() < end:
        number = first + games
        play_long_game(real, number, tally, CROWD)
        games += 1
        if "SEED" in os.environ:
            break
    print(f"{redis_server.kind}: {games} games, {report(tally)}")
    assert tally["conflicts"] >= CONFLICTS_MIN * tally["claims"] > 0


def play_long_game(real: Real, number: int, tally: Counter[str], crowd: int = 0) -> None:
    """Play the game of one seed; every few moves a crowd of so many calls rushes in."""
    draw = random.Random(number)
    game = Game(real, draw.randint(6, 12), tally)
    try:
        for _ in range(LONG_GAME_MOVES):
            make(game, *draw_move(draw))
            if crowd and draw.random() < 0.3:
                game.rush(crowd, draw.getrandbits(32))
            if game.look.meta.get("status") == "cancelled" and draw.random() < 0.1:
                break
    except AssertionError:
        print(f"SEED={number}")
        print(game.story())
        raise
