"""Settings: read once from `SEATLOCK_*`, frozen, passed in. An unknown variable stops the start."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from engine import limits
from engine.errors import CommandError
from engine.listening import local_url
from engine.refund_policy import parse_tiers

PREFIX = "SEATLOCK_"
SECRETS = (
    "webhook_secret",
    "token_secret",
    "ticket_keys",
    "database_url",
    "redis_url",
    "smtp_url",
    "message_webhook_secret",
    "stripe_key",
    "stripe_webhook_secret",
)
"""Fields that may also be given as `SEATLOCK_<NAME>_FILE`, the path of a file that holds the value."""

CLUSTER = ("redis+cluster://", "rediss+cluster://")
SENTINEL = ("redis+sentinel://", "rediss+sentinel://")
"""What URLs of several servers begin with; `rediss` is TLS to each of them."""

_DAY_S = limits.DAY_MS // limits.SECOND_MS
BOUNDS: Mapping[str, tuple[int, int]] = {
    "database_pool_max": (1, limits.DATABASE_POOL_CEILING),
    "fact_readers": (1, limits.FACT_READERS_CEILING),
    "port": (0, limits.PORT_MAX),
    "gateway_port": (0, limits.PORT_MAX),
    "mail_sink_port": (0, limits.PORT_MAX),
    "refund_retry_min_ms": (1, limits.REFUND_RETRY_MAX_MS),
    "token_ttl_s": (1, limits.REFRESH_TOKEN_TTL_S),
    "rate_selling_per_min": (1, limits.RATE_SETTING_MAX),
    "rate_reading_per_min": (1, limits.RATE_SETTING_MAX),
    "rate_accounts_per_min": (1, limits.RATE_SETTING_MAX),
    "rate_reports_per_min": (1, limits.RATE_SETTING_MAX),
    "rate_address_factor": (1, limits.RATE_SETTING_MAX),
    "cool_down_free_lapses": (0, limits.COOL_DOWN_FREE_LAPSES_CEILING),
    "cool_down_s": (1, limits.COOL_DOWN_MAX_MS // limits.SECOND_MS),
    "hold_ttl_s": (1, limits.HOLD_TTL_MAX_MS // limits.SECOND_MS),
    "payment_ttl_s": (1, _DAY_S),
    "hold_max_s": (1, _DAY_S),
    "claim_max_s": (1, 2 * _DAY_S),
    "seats_per_hold_max": (1, limits.SEATS_PER_HOLD_CEILING),
    "holds_per_customer_max": (1, limits.HOLDS_PER_CUSTOMER_CEILING),
    "seats_per_customer_max": (1, limits.SEATS_PER_CUSTOMER_CEILING),
}
"""The least and the most of each number; those of a policy are the same as in `PolicyOverrides`."""
SCHEMES: Mapping[str, tuple[str, ...]] = {
    "redis_url": ("redis://", "rediss://", "unix://", *CLUSTER, *SENTINEL),
    "database_url": ("postgresql://", "postgres://"),
    "smtp_url": ("smtp://", "smtps://", "smtp+starttls://"),
    "message_webhook_url": ("https://", "http://"),
    "stripe_api_url": ("https://", "http://"),
}
"""How the URLs begin; nothing of a wrong one is said, for it may hold a password."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field per environment variable: `redis_url` is `SEATLOCK_REDIS_URL`. README has the table."""

    data_dir: Path = Path(".seatlock")
    redis_url: str = ""
    database_url: str = ""
    database_pool_max: int = 10
    fact_readers: int = 2
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = ""
    gateway: Literal["fake", "stripe"] = "fake"
    gateway_url: str = ""
    gateway_port: int = 0
    gateway_faults: str = ""
    stripe_key: str = ""
    stripe_webhook_secret: str = ""
    stripe_api_url: str = ""
    refund_retry_min_ms: int = 2000
    simulate_payments: bool = False
    return_url_origins: str = ""
    webhook_secret: str = ""
    webhook_private: bool = False
    token_secret: str = ""
    ticket_keys: str = ""
    token_ttl_s: int = 3600
    jwks_url: str = ""
    jwks_issuer: str = ""
    jwks_audience: str = ""
    jwks_role_claim: str = "role"
    jwks_roles: str = ""
    jwks_cinemas_claim: str = "cinemas"
    rate_limit: Literal["on", "off"] = "on"
    rate_selling_per_min: int = 60
    rate_reading_per_min: int = 300
    rate_accounts_per_min: int = 12
    rate_reports_per_min: int = 120
    rate_address_factor: int = 20
    cool_down: Literal["off", "customers", "everybody"] = "customers"
    cool_down_free_lapses: int = 3
    cool_down_s: int = 30
    smtp_url: str = ""
    mail_from: str = "tickets@localhost"
    admin_emails: str = ""
    message_webhook_url: str = ""
    message_webhook_secret: str = ""
    mail_sink_port: int = 0
    trusted_proxies: str = ""
    cors_origins: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    hold_ttl_s: int = 600
    payment_ttl_s: int = 900
    hold_max_s: int = 1800
    claim_max_s: int = 2700
    seats_per_hold_max: int = 10
    holds_per_customer_max: int = 2
    seats_per_customer_max: int = 20
    refund_tiers: str = "24h:100,2h:50"

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing, or contradict each other."""
        for name, (least, most) in BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise CommandError(f"{PREFIX}{name.upper()} must be between {least} and {most}")
        for name, schemes in SCHEMES.items():
            url = getattr(self, name)
            if url and not url.startswith(schemes):
                raise CommandError(f"{PREFIX}{name.upper()} must begin with {' or '.join(schemes)}")
        if self.gateway == "stripe" and not (self.stripe_key and self.stripe_webhook_secret):
            raise CommandError("SEATLOCK_GATEWAY=stripe needs SEATLOCK_STRIPE_KEY and SEATLOCK_STRIPE_WEBHOOK_SECRET")
        self._check_issuer()
        try:
            parse_tiers(self.refund_tiers)
        except ValueError as error:
            raise CommandError(f"SEATLOCK_REFUND_TIERS: {error}") from None
        if self.claim_max_s < self.hold_max_s + self.payment_ttl_s:
            raise CommandError("SEATLOCK_CLAIM_MAX_S must be at least SEATLOCK_HOLD_MAX_S + SEATLOCK_PAYMENT_TTL_S")

    def _check_issuer(self) -> None:
        """Refuse an outside issuer that could be taken for ourselves, or whose tokens could be meant for others."""
        if self.jwks_url and not (self.jwks_issuer and self.jwks_audience):
            raise CommandError("SEATLOCK_JWKS_URL needs SEATLOCK_JWKS_ISSUER and SEATLOCK_JWKS_AUDIENCE")
        if self.jwks_url and not self.jwks_url.startswith(("https://", "http://", "file:///")):
            raise CommandError("SEATLOCK_JWKS_URL must begin with https://, http:// or file:///")
        if not set(self.jwks_role_map.values()) <= {"staff", "manager", "admin"}:
            raise CommandError("SEATLOCK_JWKS_ROLES must be pairs such as box-office=staff,boss=manager,it=admin")

    @property
    def home_url(self) -> str:
        """How clients reach the API, without a slash at the end."""
        return self.public_url.rstrip("/") or local_url(self.host, self.port)

    @property
    def admin_addresses(self) -> list[str]:
        """Who is told of what only a person can do."""
        return [address.strip().lower() for address in self.admin_emails.split(",") if address.strip()]

    @property
    def jwks_role_map(self) -> dict[str, str]:
        """What the outside issuer's words for roles mean here."""
        pairs = (pair.rpartition("=") for pair in self.jwks_roles.split(",") if pair.strip())
        return {word.strip(): role.strip() for word, _, role in pairs}


_KINDS: Mapping[Any, str] = {int: "a whole number", bool: "true or false"}
_EXPECTED = {
    field.name: _KINDS.get(field.type) or "one of " + ", ".join(get_args(field.type))
    for field in msgspec.structs.fields(Settings)
}
"""What a variable must look like, in words; text and paths may be anything."""


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        CommandError: an unknown or malformed variable, named in one line.
    """
    values: dict[str, Any] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX):
            continue
        field = name.removeprefix(PREFIX).lower()
        if field.endswith("_file") and field.removesuffix("_file") in SECRETS:
            field = field.removesuffix("_file")
            try:
                value = Path(value).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise CommandError(f"{name}: cannot read {error.filename}: {error.strerror}") from None
        if field not in Settings.__struct_fields__:
            raise CommandError(f"unknown setting {name}")
        if field in values:
            raise CommandError(f"{PREFIX}{field.upper()} is given twice: as a value and as a file")
        values[field] = value
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        field = str(error).rpartition("`$.")[2].rstrip("`")
        raise CommandError(f"{PREFIX}{field.upper()} must be {_EXPECTED[field]}, not {values[field]!r}") from None
