"""The seat lock engine: seats in Redis, orders, the ledger in PostgreSQL. Knows nothing of HTTP."""

from engine import light_imports as light_imports  # first: what comes after it loads the libraries that it makes light
