"""What the API costs and bears over HTTP: beside a route that only decodes and answers, and beside other designs."""

import os
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import httpx

from engine.bench.contests import BASELINES
from engine.bench.figures import Figure, Plot, medians_of, ratios_of
from engine.bench.services import Service, drive, running
from engine.bench.session import Session
from engine.bench.stage import Stage
from engine.errors import CommandError

CLAIM_CPU_MAX, COLD_MIN, HOT_MIN, P99_SHARE_MAX = 1.75, 5.0, 4.0, 1 / 3
MAP_SHARES = {"full": 0.5, "compact": 0.8, "304": 0.9}
CALLERS, MANY_CALLERS = 32, 256
BUSY_SHOWTIMES = 200
"""So few that what is remembered of them is seldom read anew; B2 claims all over the country."""
SHARE_OFFERED = 0.7
"""The rate at which latencies are compared, as a part of what the slowest design can do."""
TAIL = 3
"""So many turns long is one for latencies: in a single one a pause of the machine is all of the slowest hundredth."""
RIVALS = [design for design in BASELINES if design.server == "postgres"]
Drive = Callable[[int], dict[str, Any]]


def claim_cpu(session: Session, stage: Stage) -> None:
    """B1: CPU of the API's process per claim / per call of the bare route; with all that a claim goes through."""
    with stage.warm_api() as api, running(stage.bare()) as bare:
        saw = session.in_turn(
            "B1 claim over HTTP", [("api", _claims(session, stage, api)), ("bare", _claims(session, stage, bare))]
        )
    pairs = [(one["api"]["cpu_us"], one["bare"]["cpu_us"]) for one in saw]
    session.figures.append(
        Figure(
            name="B1",
            what="CPU of the API process per claim over HTTP / per call of a route that decodes and answers",
            ratios=ratios_of(pairs),
            limit=CLAIM_CPU_MAX,
            least=False,
            sides=medians_of(pairs, "claim us", "bare us") | _beside([one["api"] for one in saw]),
        )
    )


def against_rivals(session: Session, stage: Stage) -> None:
    """B2: claims per second, and latency at the same offered rate, beside designs behind the same HTTP stack."""
    with ExitStack() as stack:
        services = {"engine": stack.enter_context(stage.warm_api())}
        for design in RIVALS:
            services[design.name] = stack.enter_context(running(stage.baseline(design.name, design.where)))
            stage.look(services[design.name])
        supply = _Supply(stage)
        cold = _crowd(session, stage, services, supply, "cold")
        hot = _crowd(session, stage, services, supply, "hot")
        _compare(session, cold, "cold", COLD_MIN, "claims/s over HTTP, cold seats over all showtimes")
        _compare(session, hot, "hot", HOT_MIN, "claims/s over HTTP, everybody wants the same 40 seats")
        slowest = min(statistics.median(_per_s(one[name], "201") for one in cold) for name in services)
        _latency(session, services, supply, slowest * SHARE_OFFERED)


def seat_maps(session: Session, stage: Stage) -> None:
    """B7: answers per second of the API's CPU, for the seat map in three forms / for the bare route."""
    path = f"/api/v1/showtimes/{stage.showtimes[0]}/seats"
    with running(stage.api()) as api, running(stage.bare()) as bare:
        host, port = api.address
        # The compact map is anybody's. Whoever wants the whole one is logged in, and each is somebody else.
        people = [{"authorization": f"Bearer {token}"} for token in stage.tokens]
        with httpx.Client(base_url=f"http://{host}:{port}", trust_env=False) as client:
            tagged = [one | {"if_none_match": client.get(path, headers=one).headers["etag"]} for one in people]
        asks: dict[str, tuple[Service, dict[str, Any]]] = {
            "bare": (bare, {"path": "/", "status": 201}),
            "full": (api, {"path": path, "status": 200, "people": people}),
            "compact": (api, {"path": path.removesuffix("seats") + "availability", "status": 200}),
            "304": (api, {"path": path, "status": 304, "people": tagged}),
        }

        def one(service: Service, ask: dict[str, Any]) -> Drive:
            return lambda _: _alone(session, stage, service, {"kind": "repeat", "method": "GET", **ask})

        saw = session.in_turn("B7 seat map", [(name, one(*ask)) for name, ask in asks.items()])
    for form, share in MAP_SHARES.items():
        pairs = [(1e6 / one[form]["cpu_us"], 1e6 / one["bare"]["cpu_us"]) for one in saw]
        what = f"answers per second of CPU, seat map of {len(stage.labels)} seats ({form}) / decode-and-answer route"
        sides = medians_of(pairs, f"{form}/s", "bare/s") | _beside([one[form] for one in saw])
        session.figures.append(
            Figure(name="B7", what=what, ratios=ratios_of(pairs), limit=share, least=True, sides=sides)
        )


class _Supply:
    """Which pairs of cold seats each service has already been asked for."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._used: dict[str, int] = {}

    def plan(self, name: str, **more: Any) -> dict[str, Any]:
        """Give a plan of cold claims that no earlier one has asked this service for; the engine's seats are freed."""
        if name == "engine":
            self._stage.renew()
            self._used[name] = 0
        # The first showtime is left to the crowd that wants the same seats.
        others = self._stage.showtimes[1:]
        return self._stage.plan("cold", seed=1, first=self._used.get(name, 0), **more) | {"showtimes": others}

    def note(self, name: str, saw: dict[str, Any]) -> dict[str, Any]:
        """Count what was asked for."""
        self._used[name] = self._used.get(name, 0) + sum(phase["asked"] for phase in saw["phases"])
        return saw


def _claims(session: Session, stage: Stage, service: Service) -> Drive:
    """Claim cold seats of a service that has a core to itself, as fast as it goes."""

    def turn(number: int) -> dict[str, Any]:
        stage.renew()
        plan = stage.plan("cold", seed=number) | {"showtimes": stage.showtimes[:BUSY_SHOWTIMES]}
        return _alone(session, stage, service, plan)

    return turn


def _alone(session: Session, stage: Stage, service: Service, plan: dict[str, Any]) -> dict[str, Any]:
    stage.apart(service)
    others = set(range((os.cpu_count() or 1) - 1)) or None
    phases = [{"rate": 0, "seconds": session.extent.seconds}]
    beside = {"Redis": stage.redis_cpu_s, "PostgreSQL": stage.postgres_cpu_s}
    whole = {**plan, "connections": CALLERS, "phases": phases, "awake": (os.cpu_count() or 1) > 1}
    saw = drive(service, whole, beside, others)
    phase = saw["phases"][0]
    if phase["done"] < phase["asked"]:
        raise CommandError(f"{service.name} did not answer as it should: {phase['answers']}")
    return saw


def _crowd(
    session: Session, stage: Stage, services: dict[str, Service], supply: _Supply, kind: str
) -> list[dict[str, dict[str, Any]]]:
    def turn(name: str, service: Service) -> Drive:
        def drive_it(number: int) -> dict[str, Any]:
            closed = {"connections": CALLERS, "phases": [{"rate": 0, "seconds": session.extent.seconds}]}
            if kind == "cold":
                return supply.note(name, drive(service, supply.plan(name, **closed)))
            return drive(service, stage.plan("hot", seed=number, **closed))

        return drive_it

    return session.in_turn(f"B2 {kind} seats", [(name, turn(name, service)) for name, service in services.items()])


def _compare(session: Session, saw: Sequence[dict[str, Any]], crowd: str, least: float, what: str) -> None:
    # Forty seats that come back at once are never enough: what counts there is how many are told yes or no.
    counted = ("201",) if crowd == "cold" else ("201", "409")
    for design in RIVALS:
        both = ("engine", design.name)
        pairs = [tuple(sum(_per_s(one[name], status) for status in counted) for name in both) for one in saw]
        sides: dict[str, float] = {}
        for status in counted:
            parts = [tuple(_per_s(one[name], status) for name in both) for one in saw]
            sides |= medians_of(parts, f"engine {status}/s", f"{design.name} {status}/s")
        session.figures.append(
            Figure(
                name="B2",
                what=f"{what}, engine / {design.name}",
                ratios=ratios_of(pairs),
                limit=least,
                least=True,
                sides=sides,
            )
        )


def _latency(session: Session, services: dict[str, Service], supply: _Supply, rate: float) -> None:
    def turn(name: str, service: Service) -> Drive:
        def drive_it(_: int) -> dict[str, Any]:
            phases = [{"rate": rate, "seconds": TAIL * session.extent.seconds}]
            plan = supply.plan(name, connections=MANY_CALLERS, phases=phases)
            return supply.note(name, drive(service, plan))

        return drive_it

    saw = session.in_turn("B2 latency", [(name, turn(name, service)) for name, service in services.items()])
    what = f"p99 of claims over HTTP at {rate:,.0f}/s offered"
    for design in RIVALS:
        if session.refuse_lagging(f"B2 {what}", [one[name] for one in saw for name in ("engine", design.name)]):
            continue
        pairs = [tuple(one[name]["phases"][0]["p99_ms"] for name in ("engine", design.name)) for one in saw]
        session.figures.append(
            Figure(
                name="B2",
                what=f"{what}, engine / {design.name}",
                ratios=ratios_of(pairs),
                limit=P99_SHARE_MAX,
                least=False,
                sides=medians_of(pairs, "engine ms", f"{design.name} ms"),
            )
        )
    curves = {name: _percentiles(saw[-1][name]["phases"][0]["curve"]) for name in services}
    session.plots.append(
        Plot(title=f"B2: latency at {rate:,.0f} claims/s", x="ms", y="% of claims", lines=curves, log_x=True)
    )


def _percentiles(curve: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Turn counts per bucket into (ms, percent done by then)."""
    total, done, points = sum(number for _, number in curve), 0.0, []
    for ms, number in curve:
        done += number
        points.append((ms, 100 * done / total))
    return points


def _beside(saw: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Give what the servers behind the API took per answer."""
    return {f"{name} us": statistics.median(one["beside_us"][name] for one in saw) for name in saw[0]["beside_us"]}


def _per_s(saw: dict[str, Any], status: str) -> float:
    phase = saw["phases"][0]
    return float(phase["answers"].get(status, 0) / phase["seconds"])
