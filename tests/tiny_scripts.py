"""Scripts of a few lines, to test what carries scripts without the real ones."""

from hashlib import sha1

from engine.seats.scripts import Script

_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
_BODIES = {
    "echo": "return {'echo', now, ARGV[1]}",
    "append": "return {'appended', now, redis.call('RPUSH', KEYS[1], ARGV[1])}",
    "zero": "return {'zero', now, 0}",
    "fail": "error('boo')",
    "mistype": "redis.call('SET', KEYS[1], 'text'); return redis.call('LPUSH', KEYS[1], '1')",
}


def tiny_scripts(version: tuple[int, ...]) -> dict[str, Script]:
    """Give the scripts by name; the same for every server."""
    assert version >= (6, 2)
    return {name: _script(name, _NOW + body) for name, body in _BODIES.items()}


def _script(name: str, source: str) -> Script:
    sha = sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name=name, keys=("list",), readonly=False, source=source, sha=sha, lines=())
