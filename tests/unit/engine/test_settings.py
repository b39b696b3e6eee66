"""Settings: what is read, what is refused, and how that is said."""

from pathlib import Path

import msgspec
import pytest

from engine.catalogue.policies import PolicyOverrides
from engine.errors import CommandError
from engine.settings import BOUNDS, SCHEMES, SECRETS, Settings, load_settings


def test_defaults_need_no_variable():
    """Without any variable everything has its default, and other people's variables are left alone."""
    assert load_settings({"PATH": "/bin", "SEATLOCKED": "x"}) == Settings()


@pytest.mark.covers("004.38", "002.3")
def test_every_kind_of_value_is_read_from_text():
    """Numbers, switches, words and paths come from text."""
    settings = load_settings(
        {
            "SEATLOCK_PORT": "8001",
            "SEATLOCK_HOLD_TTL_S": "300",
            "SEATLOCK_PAYMENT_TTL_S": "900",
            "SEATLOCK_SIMULATE_PAYMENTS": "true",
            "SEATLOCK_RATE_LIMIT": "off",
            "SEATLOCK_DATA_DIR": "/var/lib/seatlock",
            "SEATLOCK_DATABASE_URL": "postgresql://seatlock@/seatlock",
            "SEATLOCK_WEBHOOK_SECRET": "s3cret",
        }
    )
    assert (settings.port, settings.hold_ttl_s, settings.payment_ttl_s) == (8001, 300, 900)
    assert (settings.simulate_payments, settings.rate_limit) == (True, "off")
    assert settings.data_dir == Path("/var/lib/seatlock")
    assert (settings.database_url, settings.webhook_secret) == ("postgresql://seatlock@/seatlock", "s3cret")


def test_a_hold_may_last_from_seconds_to_a_day():
    """Minutes or hours, as the business needs."""
    assert load_settings({"SEATLOCK_HOLD_TTL_S": "86400"}).hold_ttl_s == 86400
    with pytest.raises(CommandError, match="SEATLOCK_HOLD_TTL_S must be between 1 and 86400"):
        load_settings({"SEATLOCK_HOLD_TTL_S": "86401"})


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_lie_in_a_file(tmp_path, name):
    """The value is the file's text without the line's end."""
    path = tmp_path / "secret"
    value = SCHEMES.get(name, ("",))[0] + "s3cret"
    path.write_text(value + "\n", encoding="utf-8")
    assert getattr(load_settings({f"SEATLOCK_{name.upper()}_FILE": str(path)}), name) == value


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"SEATLOCK_PROT": "8000"}, "unknown setting SEATLOCK_PROT"),
        ({"SEATLOCK_PORT_FILE": "port"}, "unknown setting SEATLOCK_PORT_FILE"),
        ({"SEATLOCK_PORT": "eighty"}, "SEATLOCK_PORT must be a whole number, not 'eighty'"),
        ({"SEATLOCK_PORT": ""}, "SEATLOCK_PORT must be a whole number, not ''"),
        ({"SEATLOCK_PORT": "99999"}, "SEATLOCK_PORT must be between 0 and 65535"),
        ({"SEATLOCK_GATEWAY_PORT": "-1"}, "SEATLOCK_GATEWAY_PORT must be between 0 and 65535"),
        ({"SEATLOCK_RATE_LIMIT": "maybe"}, "SEATLOCK_RATE_LIMIT must be one of on, off, not 'maybe'"),
        ({"SEATLOCK_SIMULATE_PAYMENTS": "maybe"}, "SEATLOCK_SIMULATE_PAYMENTS must be true or false, not 'maybe'"),
        ({"SEATLOCK_PAYMENT_TTL_S": "-1"}, "SEATLOCK_PAYMENT_TTL_S must be between 1 and 86400"),
        ({"SEATLOCK_HOLDS_PER_CUSTOMER_MAX": "0"}, "SEATLOCK_HOLDS_PER_CUSTOMER_MAX must be between 1 and 20"),
        (
            {"SEATLOCK_REDIS_URL": "http://:s3cret@x"},
            r"SEATLOCK_REDIS_URL must begin with redis:// or rediss:// or unix:// or redis\+cluster:// or ",
        ),
        ({"SEATLOCK_DATABASE_URL": "s3cret"}, "SEATLOCK_DATABASE_URL must begin with postgresql:// or postgres://$"),
        ({"SEATLOCK_TOKEN_TTL_S": "0"}, "SEATLOCK_TOKEN_TTL_S must be between 1 and "),
        ({"SEATLOCK_DATABASE_POOL_MAX": "0"}, "SEATLOCK_DATABASE_POOL_MAX must be between 1 and 1000"),
        ({"SEATLOCK_FACT_READERS": "0"}, "SEATLOCK_FACT_READERS must be between 1 and 16"),
        ({"SEATLOCK_TOKEN_SECRET_FILE": "/nowhere/secret"}, "SEATLOCK_TOKEN_SECRET_FILE: cannot read /nowhere/secret"),
        ({"SEATLOCK_SEATS_PER_HOLD_MAX": "19"}, "SEATLOCK_SEATS_PER_HOLD_MAX must be between 1 and 18"),
        ({"SEATLOCK_HOLD_TTL_S": "0"}, "SEATLOCK_HOLD_TTL_S must be between 1 and 86400"),
        ({"SEATLOCK_CLAIM_MAX_S": "2699"}, "SEATLOCK_CLAIM_MAX_S must be at least"),
        ({"SEATLOCK_REFUND_TIERS": "2h:50,24h:100"}, "SEATLOCK_REFUND_TIERS: each tier is nearer to the start"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(environ, line):
    """The line names the variable."""
    with pytest.raises(CommandError, match=line) as error:
        load_settings(environ)
    assert "\n" not in str(error.value)


def test_a_secret_is_given_once(tmp_path):
    """A value beside a file would leave it open which one holds."""
    path = tmp_path / "secret"
    path.write_text("a", encoding="utf-8")
    environ = {"SEATLOCK_TOKEN_SECRET": "b", "SEATLOCK_TOKEN_SECRET_FILE": str(path)}
    with pytest.raises(CommandError, match="SEATLOCK_TOKEN_SECRET is given twice"):
        load_settings(environ)


def test_every_number_has_bounds():
    """A number that means nothing stops the start, not the first customer; overrides have the same bounds."""
    numbers = {field.name for field in msgspec.structs.fields(Settings) if field.type is int}
    assert set(BOUNDS) == numbers
    for field in msgspec.structs.fields(PolicyOverrides):
        kind = msgspec.inspect.type_info(field.type).types[0]
        if field.name == "refund_tiers":
            continue  # no number; both are read by the same function
        assert BOUNDS[field.name] == (kind.ge, kind.le)


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({"host": "0.0.0.0", "port": 8123}, "http://127.0.0.1:8123"),
        ({"public_url": "https://seats.example/"}, "https://seats.example"),
    ],
)
def test_clients_reach_the_api_by_its_public_url_or_its_port(changes, url):
    """Links of tickets and mails begin with it."""
    assert Settings(**changes).home_url == url
