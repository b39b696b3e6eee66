"""The commands of `seatlock`. Each imports what it runs only when it is called, so that all start quickly."""

import os
import sys
from collections.abc import Callable, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from engine.errors import CommandError, SeatlockError
from engine.failing import INTERRUPTED_STATUS, USAGE_STATUS, fail, words_of
from engine.limits import REFUND_TEXT_LENGTH_MAX, SHOWTIME_NUMBER_MAX
from engine.long_running import run_api, run_dev, run_worker

T = TypeVar("T")

app = typer.Typer(
    name="seatlock",
    help="Sell cinema seats: holds in Redis, the ledger in PostgreSQL, an HTTP API.",
    epilog="Settings come from SEATLOCK_* variables; where none is set, a running `seatlock dev` is used.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
users = typer.Typer(help="Accounts.")
app.add_typer(users, name="users")


class Profile(StrEnum):
    """What `seed` loads."""

    demo = "demo"
    onsale = "onsale"


class UserRole(StrEnum):
    """What an account may do."""

    customer = "customer"
    staff = "staff"
    admin = "admin"


def run(words: list[str]) -> NoReturn:
    """Run the command that these words name, and end with its status."""
    try:
        sys.exit(app(words, prog_name="seatlock", standalone_mode=False))
    except typer.TyperException as error:
        fail(error.format_message().replace("Value error, ", ""), USAGE_STATUS)
    except typer.Abort:
        fail("interrupted", INTERRUPTED_STATUS)


@app.command()
def dev(
    with_parent: Annotated[bool, typer.Option("--with-parent", help="stop when the starting process ends")] = False,
) -> None:
    """Run everything on this machine: Valkey, PostgreSQL, API, worker, fake gateway, with demo data."""
    run_dev(with_parent=with_parent)


@app.command()
def api() -> None:
    """Serve the HTTP API on SEATLOCK_HOST and SEATLOCK_PORT."""
    run_api()


@app.command()
def worker() -> None:
    """Carry facts into the ledger, settle captures, end lapsed holds. Several may run."""
    run_worker()


@app.command()
def migrate() -> None:
    """Bring the database to the shape that this version needs."""
    from engine.data_folder import find_servers
    from engine.ledger.migrations import migrate as apply_migrations

    settings, _ = find_servers(os.environ, "database_url")
    applied = _run(apply_migrations(settings.database_url))
    print(f"applied {', '.join(applied)}" if applied else "nothing to apply")


@app.command()
def seed(
    profile: Annotated[Profile, typer.Option(help="demo: a chain of cinemas; onsale: one big opening")] = Profile.demo,
) -> None:
    """Load the demo catalogue; what is there already stays."""
    from engine.data_folder import find_servers
    from engine.seeding import seed as load

    settings, _ = find_servers(os.environ, "database_url")
    added = _run(load(settings, profile.value))
    print("added " + ", ".join(f"{count} {what}" for what, count in added._asdict().items()))


@users.command("add")
def add_user(
    email: str,
    role: Annotated[UserRole, typer.Option(help="what the account may do")] = UserRole.customer,
    name: Annotated[str, typer.Option(help="how the person is called")] = "",
    cinema: Annotated[list[int], typer.Option(help="number of a cinema that staff works for; repeatable")] = [],  # noqa: B006 - typer copies it
    manager: Annotated[bool, typer.Option("--manager", help="staff may decide about money there")] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="read the password from a line of stdin")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="change the account if it exists")] = False,
) -> None:
    """Add an account; without --password-stdin a random password is made and printed."""
    if role is not UserRole.staff and (cinema or manager):
        raise CommandError("--cinema and --manager are for --role staff")
    import secrets

    from engine.data_folder import find_servers

    settings, _ = find_servers(os.environ, "database_url")
    password = sys.stdin.readline().rstrip("\n") if password_stdin else secrets.token_urlsafe(12)
    user = _run(_add_user(settings, email, password, role.value, name, cinema, manager=manager, replace=replace))
    print(f"{user.role} {user.email} {user.id}" + ("" if password_stdin else f" password {password}"))


@app.command()
def audit(
    showtimes: Annotated[
        list[int] | None,
        typer.Argument(metavar="SHOWTIME", min=1, max=SHOWTIME_NUMBER_MAX, help="numbers; none for all"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="build showtimes anew in Redis that differ; never changes money")
    ] = False,
) -> None:
    """Compare Redis, ledger and money; print each difference. Status 1: there are some, 2: it could not look."""
    from engine.audit.command import audit as look

    _answer(lambda settings: look(settings, showtimes or [], as_json=as_json, repair=repair))


@app.command()
def rebuild(
    showtimes: Annotated[
        list[int] | None, typer.Argument(metavar="SHOWTIME", min=1, max=SHOWTIME_NUMBER_MAX, help="numbers")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="all showtimes that Redis has")] = False,
    force: Annotated[bool, typer.Option("--force", help="also what waits for a person to look at its case")] = False,
    reason: Annotated[str, typer.Option(help="why, for the list of acts")] = "",
) -> None:
    """Build showtimes anew in Redis from the ledger; their holds are lost. Status 1: some could not be built."""
    if bool(showtimes) == everything:
        raise typer.BadParameter("name showtimes, or give --all")
    if force and (everything or not reason):
        raise typer.BadParameter("--force is for showtimes that are named, and wants a --reason")
    from engine.audit.command import rebuild as build

    _answer(lambda settings: build(settings, showtimes or [], reason=reason, force=force))


@app.command()
def cancel(
    showtime: Annotated[
        int, typer.Argument(metavar="SHOWTIME", min=1, max=SHOWTIME_NUMBER_MAX, help="a showtime's number")
    ],
    reason: Annotated[str, typer.Option(help="why, for the customers and the list of acts")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only tell what would be given back")] = False,
) -> None:
    """Cancel a showtime for ever, and give every customer all money back. Until a week after its end."""
    if not reason.strip():
        raise typer.BadParameter("--reason wants words")
    if len(reason) > REFUND_TEXT_LENGTH_MAX:
        raise typer.BadParameter(f"--reason is longer than {REFUND_TEXT_LENGTH_MAX} characters")
    from engine.cancelling_command import cancel as call_off
    from engine.data_folder import find_servers

    settings, _ = find_servers(os.environ, "redis_url", "database_url")
    print(_run(call_off(settings, showtime, reason, dry_run=dry_run)))


@app.command()
def bench(
    rounds: Annotated[int, typer.Option(min=1, help="how often each pair is measured")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, help="how long one turn lasts")] = 2.0,
    only: Annotated[str, typer.Option(help="measures by comma, e.g. `B1,B7`; all of them if not given")] = "",
    folder: Annotated[Path, typer.Option(help="where the JSON and the page go")] = Path("loadtests/results"),
    small: Annotated[bool, typer.Option("--small", help="without the largest sizes")] = False,
) -> None:
    """Measure against other designs and against the limit, on servers of its own; takes a quarter of an hour."""
    from engine.bench.command import bench as run_bench
    from engine.logs import configure_logs

    configure_logs("error")
    print(run_bench(folder, rounds=rounds, seconds=seconds, small=small, only=only))


@app.command()
def key(
    what: Annotated[str, typer.Argument(help="a showtime's number, or `facts` or `lapses` for every partition")],
    name: Annotated[str, typer.Argument(help="only this key of the showtime, e.g. `meta`")] = "",
) -> None:
    """Print the Redis keys of a showtime, or those of all partitions."""
    from engine.limits import PARTITIONS
    from engine.seats.keys import PARTITION_KEYS, SHOWTIME_KEYS, partition_key, partition_of, showtime_key

    if what in PARTITION_KEYS and not name:
        print("\n".join(partition_key(partition, what) for partition in range(PARTITIONS)))
        return
    if not (what.isascii() and what.isdigit() and 1 <= int(what) <= SHOWTIME_NUMBER_MAX):
        raise CommandError(f"{what} is neither a showtime's number nor one of {', '.join(PARTITION_KEYS)}")
    showtime = int(what)
    if name:
        if name not in SHOWTIME_KEYS:
            raise CommandError(f"a showtime has no key {name}, but {', '.join(SHOWTIME_KEYS)}")
        print(showtime_key(showtime, name))
        return
    for one, meaning in SHOWTIME_KEYS.items():
        print(f"{showtime_key(showtime, one):<24} {meaning}")
    for one, meaning in PARTITION_KEYS.items():
        print(f"{partition_key(partition_of(showtime), one):<24} {meaning}")


def _answer(work: Callable[[Any], Coroutine[Any, Any, Any]]) -> NoReturn:
    """Print what a command says and end with its status; what keeps it from its work is never status 1."""
    from engine.data_folder import find_servers

    try:
        settings, _ = find_servers(os.environ, "redis_url", "database_url")
        said = _run(work(settings))
    except SeatlockError as error:
        fail(words_of(error), USAGE_STATUS)
    print(said.text)
    sys.exit(said.status)


async def _add_user(
    settings: Any, email: str, password: str, role: Any, name: str, cinemas: list[int], **flags: bool
) -> Any:
    from engine.accounts.passwords import Passwords
    from engine.accounts.tokens import Tokens
    from engine.accounts.users import Accounts
    from engine.ledger.database import open_pool

    pool: Any = await open_pool(settings)
    passwords = Passwords()
    try:
        accounts = Accounts(pool, Tokens(b"", 0), passwords)  # nobody logs in here, so nothing is signed
        return await accounts.add_user(email, password, role, name=name, cinemas=cinemas, **flags)
    finally:
        passwords.close()
        await pool.close()


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a short command's work; what goes wrong in it is told by its exception alone."""
    import uvloop

    from engine.logs import configure_logs

    configure_logs("critical")
    return uvloop.run(work)
