"""B8: where the API's knee is, and what it still does when twice as many want something."""

from typing import Any

from engine.bench.figures import Figure, Plot, medians_of, ratios_of
from engine.bench.services import Service, drive
from engine.bench.session import Session
from engine.bench.stage import Stage

GOODPUT_MIN, RECOVERY_MAX, P99_AT_KNEE_MAX = 0.9, 5.0, 50.0
"""A part of that at the knee; seconds; ms."""
CALLERS, PATIENT_CALLERS = 32, 1_024
PATIENCE_S = 1.0
CLOSED_SHARE = 0.7
"""What is taken for the knee at least, as a part of what callers in a closed loop are given."""
TRIES, REPEATS = 6, 3
"""A rate at which the callers came late themselves is tried again so often."""
SLOW_SHARE = 0.01


def overload(session: Session, stage: Stage) -> None:
    """Find the knee; then send what it bears, twice that, and half of it."""
    with stage.warm_api() as api:
        closed_per_s, knee_per_s = _find_knee(session, stage, api)
        session.figures.append(
            Figure(
                name="B8",
                what="open-loop rate at which p99 of claims passes 50 ms / closed-loop rate",
                ratios=(knee_per_s / closed_per_s,),
                limit=None,
                least=True,
                sides={"knee/s": knee_per_s, "closed/s": closed_per_s},
            )
        )
        # On a machine with bad moments of its own p99 says little, and twice a low knee would be no overload.
        knee_per_s = max(knee_per_s, CLOSED_SHARE * closed_per_s)
        seconds = max(session.extent.seconds, 2.0)

        def flood(_: int) -> dict[str, Any]:
            rates = ((knee_per_s, seconds), (2 * knee_per_s, seconds), (knee_per_s / 2, seconds + RECOVERY_MAX))
            return _drive(stage, api, rates)

        saw = [one["flood"] for one in session.in_turn("B8 overload", [("flood", flood)])]
    _tell(session, saw, knee_per_s)


def recovery_s(series: list[list[float]], window_s: float) -> float:
    """Give when, after the first moment of a phase, callers are served at once again and for good; seconds.

    Args:
        series: per window of arrivals (its beginning in s, all, good, slow), in order.
        window_s: how long a window is.
    """
    bad = [at for at, everybody, _, slow in series if slow > SLOW_SHARE * everybody]
    return bad[-1] + window_s if bad else 0.0


def _find_knee(session: Session, stage: Stage, api: Service) -> tuple[float, float]:
    """Halve the distance between a rate that is borne and one that is not; gives closed-loop rate and the knee."""
    seconds = session.extent.seconds
    stage.renew()
    closed = drive(api, stage.plan("cold", seed=1, connections=CALLERS, phases=[{"rate": 0, "seconds": seconds}]))[
        "phases"
    ][0]
    closed_per_s = closed["answers"].get("201", 0) / closed["seconds"]
    borne, refused = 0.0, 1.3 * closed_per_s
    for number in range(TRIES):
        rate = (borne + refused) / 2
        for _ in range(REPEATS):
            saw = _drive(stage, api, ((rate, seconds),))
            if not saw["lagged"]:
                break
        if session.refuse_lagging(f"B8 knee at {rate:,.0f}/s", [saw]):
            return closed_per_s, borne
        phase = saw["phases"][0]
        fine = phase["p99_ms"] <= P99_AT_KNEE_MAX and phase["good"] >= 0.99 * phase["asked"]
        borne, refused = (rate, refused) if fine else (borne, rate)
        session.tell("B8 knee", number + 1, TRIES)
    return closed_per_s, borne


def _drive(stage: Stage, api: Service, rates: tuple[tuple[float, float], ...]) -> dict[str, Any]:
    stage.renew()
    phases = [{"rate": rate, "seconds": seconds} for rate, seconds in rates]
    plan = stage.plan("cold", seed=1, connections=PATIENT_CALLERS, patience_s=PATIENCE_S, phases=phases)
    return drive(api, plan)


def _tell(session: Session, saw: list[dict[str, Any]], knee_per_s: float) -> None:
    if session.refuse_lagging("B8 goodput and recovery", saw):
        return
    goods = [tuple(phase["good"] / phase["seconds"] for phase in one["phases"]) for one in saw]
    pairs = [(twice, knee) for knee, twice, _ in goods]
    recoveries = tuple(recovery_s(one["phases"][2]["series"], window_s=0.25) for one in saw)
    session.figures += [
        Figure(
            name="B8",
            what="201 within 1 s at twice the knee's rate / at the knee",
            ratios=ratios_of(pairs),
            limit=GOODPUT_MIN,
            least=True,
            sides={"offered/s": 2 * knee_per_s, **medians_of(pairs, "good/s at twice", "good/s at the knee")},
        ),
        Figure(
            name="B8",
            what="seconds from the end of the overload until 99 % are answered within 50 ms again",
            ratios=recoveries,
            limit=RECOVERY_MAX,
            least=False,
        ),
    ]
    lines: dict[str, list[tuple[float, float]]] = {"asked": [], "good": []}
    begun = 0.0
    for phase in saw[-1]["phases"]:
        for at, everybody, good, _ in phase["series"]:
            lines["asked"].append((begun + at, everybody * 4))
            lines["good"].append((begun + at, good * 4))
        begun += phase["seconds"]
    session.plots.append(
        Plot(title="B8: at the knee, at twice its rate, at half of it", x="s", y="claims/s", lines=lines)
    )
