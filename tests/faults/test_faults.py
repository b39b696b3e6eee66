"""Every fault of the catalogue, on real servers under load, followed by the invariants.

make faults                                 all of them, FAULTS_RUNS seeds each, and the table at the end
make faults FAULT=api-killed SEED=7         one of them again; several by comma
"""

import contextlib
import os
import random

import pytest
import pytest_asyncio

from tests.faults.harness.checks import check
from tests.faults.harness.faults import OWN_WORLD, Fault, read_catalogue
from tests.faults.harness.table import write_line
from tests.faults.harness.world import World, open_world

CATALOGUE = read_catalogue()
RUNS = int(os.environ.get("FAULTS_RUNS") or 1)
SEED = int(os.environ.get("SEED") or 1)
NAMED = [name for name in os.environ.get("FAULT", "").split(",") if name]
CHOSEN = NAMED or sorted(CATALOGUE, key=lambda name: OWN_WORLD in CATALOGUE[name].needs)
"""Those that share a world come first."""
QUICK = [name for name, fault in CATALOGUE.items() if fault.quick]
FAULT_TIMEOUT_S = 600


class Worlds:
    """The world that most faults share, as long as it is undamaged."""

    def __init__(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self._folders = tmp_path_factory
        self._stack = contextlib.AsyncExitStack()
        self._shared: World | None = None

    async def play(self, fault: Fault, seed: int) -> dict:
        """Play a fault with a seed, and check; gives the line of the log."""
        if lacking := fault.lacking():
            pytest.skip(lacking)
        print(f"FAULT={fault.name} SEED={seed}")
        line = {"fault": fault.name, "seed": seed}
        alone = OWN_WORLD in fault.needs
        world, self._shared = self._shared, None
        try:
            if alone or world is None:
                await self.close()
                world = await self._stack.enter_async_context(open_world(self._folders.mktemp("w")))
            await world.begin(seed)
            told = await fault.play(world, random.Random(f"{fault.name}:{seed}"))
            line |= {**await check(world), **(told or {}), "held": True}
        except BaseException as error:
            line |= {"held": False, "error": f"{type(error).__name__}: {error}"[:500]}
            print(f"the world's logs: {world and world.folder}")
            raise
        finally:
            write_line(line)
            if alone or not line.get("held"):
                await self.close()
        if not alone:
            self._shared = world
        return line

    async def close(self) -> None:
        """End the world that runs."""
        self._shared = None
        await self._stack.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worlds(tmp_path_factory):
    """A shared world, started by the first fault."""
    worlds = Worlds(tmp_path_factory)
    yield worlds
    await worlds.close()


@pytest.mark.timeout(FAULT_TIMEOUT_S)
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", QUICK)
async def test_a_quick_fault_leaves_nothing_lost(worlds, name):
    """What the fault's own sentence says holds, and all invariants do: service, money, tickets, facts, seats."""
    await worlds.play(CATALOGUE[name], SEED)


@pytest.mark.long
@pytest.mark.timeout(FAULT_TIMEOUT_S)
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
@pytest.mark.parametrize("name", CHOSEN)
async def test_a_fault_leaves_nothing_lost(worlds, name, seed):
    """The same for every fault of the catalogue and every seed."""
    print(await worlds.play(CATALOGUE[name], seed))
