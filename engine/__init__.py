"""The seat lock engine: seats in Redis, orders, the ledger in PostgreSQL. Knows nothing of HTTP."""
