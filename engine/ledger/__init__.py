"""The ledger: PostgreSQL, which has the last word on money and tickets, and the worker's reader that fills it."""
