"""Processes that die, freeze or come back in the wrong order: API, worker, gateway, one or several."""

from tests.faults.harness.faults import fault


@fault("api-killed", holds="what an API has answered stands; the other one sells on", quick=True)
async def kill_an_api(world, chance):
    """Kill -9 of one of two APIs at any moment of any request, several times."""
    for _ in range(2):
        victim = chance.choice(world.apis)
        await world.wait(chance.uniform(0, 0.6))
        await victim.kill()
        await world.wait(chance.uniform(0.1, 0.6))
        await victim.begin()
