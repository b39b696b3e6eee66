"""Which limit a request is under, whose bucket it is taken from, and what the answer says of it.

    lane       requests                                    bucket of
    accounts   accounts, tokens, a booking by mail         the client's address
    selling    whatever changes a hold, booking, payment   the token's subject
    reading    catalogue, maps, own holds and bookings     the subject; without a token the address
    reports    operators                                   the subject

Gateways' events and health are under none. A token that is refused is paid for by the address it came from.
"""

from collections.abc import Callable, Mapping
from functools import cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from starlette.types import Scope

from api.auth import Access
from engine.accounts.tokens import Identity
from engine.errors import CommandError, Refusal
from engine.limits import IPV6_SITE_BITS, RATE_WINDOW_MS, READS_PER_REPORT, SECOND_MS
from engine.seats.limiter import Limiter, Quota, Verdict
from engine.settings import Settings

Lane = Literal["accounts", "selling", "reading", "reports"]
Network = IPv4Network | IPv6Network

UNLIMITED = frozenset({"/payments/webhook", "/health", "/health/ready"})
"""Money that was captured is never turned away, and a probe must see the truth."""
NOBODY = ""


def lane_of(method: str, path: str, access: Access) -> Lane | None:
    """Give the lane of an endpoint of the route table; None is no limit."""
    if path in UNLIMITED:
        return None
    if access in (Access.STAFF, Access.MANAGER, Access.ADMIN):
        return "reports"
    if path.startswith("/auth/") or path == "/bookings/lookup":
        return "accounts"
    return "reading" if method in ("GET", "HEAD") else "selling"


class RateLimits:
    """The limits on requests of one process. Without a limiter (`SEATLOCK_RATE_LIMIT=off`) everything passes."""

    def __init__(self, settings: Settings, limiter: Limiter | None) -> None:
        self._limiter = limiter
        self._trusted = trusted_networks(settings.trusted_proxies)
        lots: Mapping[Lane, int] = {"reading": READS_PER_REPORT}
        customer: dict[Lane, int] = {
            "accounts": settings.rate_accounts_per_min,
            "selling": settings.rate_selling_per_min,
            "reading": settings.rate_reading_per_min,
            "reports": settings.rate_reports_per_min,
        }
        self._of_subject = {lane: Quota(lane, number, lots.get(lane, 1)) for lane, number in customer.items()}
        # Many customers share an address: a household, a mall, a mobile carrier.
        self._of_address = {
            lane: Quota(f"{lane}-address", number * settings.rate_address_factor, lots.get(lane, 1))
            for lane, number in customer.items()
        }

    def admit(self, scope: Scope, lane: Lane | None, identify: Callable[[], Identity | None]) -> Identity | None:
        """Find out who asks, and take the request out of their bucket.

        Args:
            scope: of the request; `rate_limit` is put there for the answer's headers.
            lane: of the endpoint.
            identify: gives who the token names, None without one; its Refusal passes, once the address has paid.

        Raises:
            Refusal: `rate_limited {retry_after_ms}`, and those of `identify`.
        """
        if lane is None or self._limiter is None:
            return identify()
        try:
            identity = identify()
        except Refusal:
            self._take(scope, self._limiter, self._of_address[lane], self.client_address(scope))
            raise
        if identity is None:
            self._take(scope, self._limiter, self._of_address[lane], self.client_address(scope))
        else:
            self._take(scope, self._limiter, self._of_subject[lane], identity.subject)
        return identity

    def client_address(self, scope: Scope) -> str:
        """Give the address that a request comes from; "" if there is none, as on a unix socket.

        `X-Forwarded-For` counts only behind proxies of `SEATLOCK_TRUSTED_PROXIES`, read from its end: what stands
        before the first proxy that we do not know was written by nobody we trust. IPv6 is cut to its network.
        """
        client = scope.get("client")
        address = str(client[0]) if client else NOBODY
        if self._trusted and _is_in(address, self._trusted):
            for hop in reversed(_forwarded_for(scope)):
                if not _is_address(hop):
                    break
                address = hop
                if not _is_in(hop, self._trusted):
                    break
        return _site(address)

    def _take(self, scope: Scope, limiter: Limiter, quota: Quota, who: str) -> None:
        if who == NOBODY:
            return
        verdict = limiter.take(quota, who)
        scope["rate_limit"] = rate_headers(quota, verdict)
        if not verdict.allowed:
            raise Refusal("rate_limited", retry_after_ms=verdict.retry_after_ms)


def rate_headers(quota: Quota, verdict: Verdict) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    """Give RateLimit-Policy and RateLimit as draft-ietf-httpapi-ratelimit-headers-10 writes them."""
    state = f'"{quota.lane}";r={verdict.left};t={-(-verdict.whole_in_ms // SECOND_MS)}'
    return _policy_header(quota), (b"ratelimit", state.encode())


@cache
def _policy_header(quota: Quota) -> tuple[bytes, bytes]:
    policy = f'"{quota.lane}";q={quota.requests};w={RATE_WINDOW_MS // SECOND_MS}'
    return b"ratelimit-policy", policy.encode()


def trusted_networks(text: str) -> tuple[Network, ...]:
    """Read `SEATLOCK_TRUSTED_PROXIES`: addresses and networks by comma.

    Raises:
        CommandError: one of them is neither.
    """
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise CommandError(f"SEATLOCK_TRUSTED_PROXIES: {error}") from None


def _forwarded_for(scope: Scope) -> list[str]:
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [part.strip() for part in ",".join(values).split(",") if part.strip()]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    return _is_address(address) and any(ip_address(address) in network for network in networks)


def _site(address: str) -> str:
    if ":" not in address or not _is_address(address):
        return address
    found = ip_address(address)
    assert isinstance(found, IPv6Address)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((found.packed, IPV6_SITE_BITS), strict=False).network_address)
