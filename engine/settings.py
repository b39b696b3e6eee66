"""Settings: read once from `SEATLOCK_*`, frozen, passed in. An unknown variable stops the start."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine import limits
from engine.errors import CommandError

PREFIX = "SEATLOCK_"
SECRETS = ("webhook_secret", "token_secret", "database_url", "redis_url")
"""Fields that may also be given as `SEATLOCK_<NAME>_FILE`, the path of a file that holds the value."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field per environment variable: `redis_url` is `SEATLOCK_REDIS_URL`. README has the table."""

    data_dir: Path = Path(".seatlock")
    redis_url: str = ""
    database_url: str = ""
    database_pool_max: int = 10
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = ""
    gateway_url: str = ""
    gateway_port: int = 0
    simulate_payments: bool = False
    return_url_origins: str = ""
    webhook_secret: str = ""
    token_secret: str = ""
    token_ttl_s: int = 3600
    rate_limit: Literal["on", "off"] = "on"
    rate_selling_per_min: int = 60
    rate_reading_per_min: int = 300
    rate_accounts_per_min: int = 12
    rate_reports_per_min: int = 120
    rate_address_factor: int = 20
    cool_down: Literal["off", "customers", "everybody"] = "customers"
    cool_down_free_lapses: int = 3
    cool_down_s: int = 30
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

    def __post_init__(self) -> None:
        """Refuse numbers that contradict each other."""
        if self.claim_max_s < self.hold_max_s + self.payment_ttl_s:
            raise CommandError("SEATLOCK_CLAIM_MAX_S must be at least SEATLOCK_HOLD_MAX_S + SEATLOCK_PAYMENT_TTL_S")
        if not 1 <= self.hold_ttl_s * limits.SECOND_MS <= limits.HOLD_TTL_MAX_MS:
            raise CommandError("SEATLOCK_HOLD_TTL_S must be between 1 and 86400")
        for name in ("selling_per_min", "reading_per_min", "accounts_per_min", "reports_per_min", "address_factor"):
            if not 1 <= getattr(self, f"rate_{name}") <= limits.RATE_SETTING_MAX:
                raise CommandError(f"SEATLOCK_RATE_{name.upper()} must be between 1 and {limits.RATE_SETTING_MAX}")
        if not 1 <= self.seats_per_hold_max <= limits.SEATS_PER_HOLD_CEILING:
            raise CommandError(f"SEATLOCK_SEATS_PER_HOLD_MAX must be between 1 and {limits.SEATS_PER_HOLD_CEILING}")


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
        raise CommandError(f"{PREFIX}{field.upper()}: {str(error).partition(' - ')[0]}") from None
