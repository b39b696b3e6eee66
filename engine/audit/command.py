"""`seatlock audit` and `seatlock rebuild`: what they say, and the status that they end with."""

import getpass
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from engine.audit.parts import open_parts
from engine.audit.records import Report
from engine.progress import Progress
from engine.settings import Settings

SOUND, WRONG, NOT_LOOKED = 0, 1, 2
"""Statuses: nothing differs, or all was built; something does, or was not; it could not (wholly) be looked at."""
BY_AUDIT = "audit_repair"
BY_HAND = "rebuild_showtimes"


class Said(NamedTuple):
    """What a command prints, and its status."""

    text: str
    status: int


class JsonReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints: `before` is what was found, `after` what is left, `mended` what became of showtimes."""

    status: int
    before: Report
    after: Report
    mended: Mapping[str, str]


async def audit(settings: Settings, showtimes: Sequence[int], *, as_json: bool, repair: bool) -> Said:
    """Audit, and with `repair` mend Redis and audit again what was mended.

    Raises:
        CommandError, Unavailable: as `Auditor.audit`.
    """
    mended: dict[int, str] = {}
    async with open_parts(settings) as parts:
        with Progress() as progress:
            before = after = await parts.auditor.audit(showtimes, progress.report)
            if repair and (broken := before.mendable()):
                rebuilt = await parts.rebuilding.rebuild(
                    broken, actor=_actor(), verb=BY_AUDIT, reason=_kinds(before), tell=progress.report
                )
                mended = {number: rebuilt.failed.get(number, "built anew") for number in broken}
                after = _joined(before, await parts.auditor.audit(broken, progress.report))
    status = WRONG if after.differences else NOT_LOOKED if after.unjudged else SOUND
    if as_json:
        named = {str(number): what for number, what in mended.items()}
        report = JsonReport(status=status, before=before, after=after, mended=named)
        return Said(msgspec.json.format(msgspec.json.encode(report)).decode(), status)
    return Said("\n".join(_lines(before, after, mended)), status)


async def rebuild(settings: Settings, showtimes: Sequence[int], *, reason: str, force: bool) -> Said:
    """Build showtimes anew, all that Redis has if none are named.

    Raises:
        CommandError, Unavailable: as `Rebuilding.rebuild`.
    """
    async with open_parts(settings) as parts:
        with Progress() as progress:
            rebuilt = await parts.rebuilding.rebuild(
                showtimes, actor=_actor(), verb=BY_HAND, reason=reason, tell=progress.report, force=force
            )
    lines = [f"showtime {number}: not rebuilt: {why}" for number, why in sorted(rebuilt.failed.items())]
    lines.append(f"{rebuilt.done} rebuilt, {len(rebuilt.failed)} not")
    return Said("\n".join(lines), WRONG if rebuilt.failed else SOUND)


def _joined(before: Report, again: Report) -> Report:
    """Give the first report with what was looked at again: a rebuild changes nothing of the ledger's own."""
    rest = [one for one in before.differences if one.side == "ledger"]
    staying = [one for one in again.differences if one.side == "redis"]
    unjudged = {*before.unjudged, *again.unjudged}
    return msgspec.structs.replace(before, differences=(*staying, *rest), unjudged=tuple(sorted(unjudged)))


def _lines(before: Report, after: Report, mended: Mapping[int, str]) -> list[str]:
    lines = [one.line() for one in before.differences]
    lines += [f"showtime {number}: {what}" for number, what in mended.items()]
    if mended:
        lines += [f"still {one.line()}" for one in after.differences if one.side == "redis"]
    lines += [
        f"showtime {number}: not judged: its facts do not reach the ledger; is a worker running?"
        for number in after.unjudged
    ]
    for currency, books in sorted(before.books.items()):
        parts = [f"{name} {amount}" for name, amount in msgspec.structs.asdict(books).items() if name != "captured"]
        lines.append(f"{currency} in minor units: captured {books.captured} = {' + '.join(parts)}")
    counts = f"{before.showtimes} showtimes, {before.loaded} of them in Redis, {before.captures} captures, "
    counts += f"{before.tickets} tickets, {before.took_s:.1f} s"
    found = len(before.differences)
    left = f", {len(after.differences)} left" if mended else ""
    lines.append(f"{found or 'no'} difference{'' if found == 1 else 's'}{left}: {counts}")
    return lines


def _kinds(report: Report) -> str:
    return " ".join(sorted({one.kind for one in report.differences if one.side == "redis"}))


def _actor() -> str:
    """Give who runs the command, as far as the system knows."""
    try:
        return f"shell:{getpass.getuser()}"
    except (KeyError, OSError):
        return "shell"
