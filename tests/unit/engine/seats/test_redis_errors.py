"""The first word of an error, in the words of every server version."""

import pytest

from engine.seats.redis_errors import RedisError

SHA = "f_a9c3012811ea837de606cfc48e26422472f435be"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("NOSCRIPT No matching script. Please use EVAL.", "NOSCRIPT"),
        ("OOM command not allowed when used memory > 'maxmemory'. script: 123, on @user_script:1.", "OOM"),
        (f"ERR Error running script (call to {SHA}): @user_script:1: @user_script: 1: -OOM command not allowed", "OOM"),
        (f"ERR Error running script (call to {SHA}): @user_script:1: WRONGTYPE Operation against a key", "WRONGTYPE"),
        (f"ERR Error running script (call to {SHA}): @user_script:1: user_script:1: boo", "user_script:1:"),
        ("ERR user_script:1: boo script: 4c40, on @user_script:1.", "ERR"),
        ("", ""),
    ],
)
def test_the_word_is_found(text, word):
    """Redis 6.2 wraps what later servers say plainly."""
    error = RedisError(text)
    assert error.word == word
    assert str(error) == text
