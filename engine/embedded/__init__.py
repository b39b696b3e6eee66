"""Valkey and PostgreSQL from Python wheels, run as our own children over unix sockets."""
