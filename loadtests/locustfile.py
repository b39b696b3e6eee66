"""A crowd that buys tickets as people do; what it is made of is in `users.py`.

    locust -f loadtests/locustfile.py --headless -u 50 -r 10 -t 30s -H http://127.0.0.1:8000

With a shape of `shapes/` after a comma (`-f loadtests/locustfile.py,loadtests/shapes/smoke.py`) the crowd grows and
shrinks by it. `make load` does all of that, and judges. Needs the fake gateway and `SEATLOCK_RATE_LIMIT=off`.
"""

from argparse import ArgumentParser
from typing import Any

from locust import events
from locust.env import Environment

from loadtests.shopper import Notes, Plan, Shopper
from loadtests.users import Abandoner, Browser, Buyer, Canceller, MapReader, Repeater

__all__ = ["Abandoner", "Browser", "Buyer", "Canceller", "MapReader", "Repeater"]


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """Let the crowd be sent to some showtimes, and let it note what it saw."""
    parser.add_argument("--plan", default=None, help="file: which showtimes and seats people want; none: any on sale")
    parser.add_argument("--notes", default=None, help="file that gets a JSON line of each confirmed booking")


@events.init.add_listener
def give_plan(environment: Environment, **_: Any) -> None:
    """Tell the crowd what it wants."""
    options = environment.parsed_options
    Shopper.notes = Notes(getattr(options, "notes", None))
    Shopper.plan = Plan(getattr(options, "plan", None))
