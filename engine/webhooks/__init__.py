"""Outgoing webhooks: integrators are told what has happened, signed, until they have taken it."""
