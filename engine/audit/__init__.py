"""Comparing what Redis, the ledger and the money say of each other, and mending Redis towards the ledger."""
