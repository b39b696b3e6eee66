"""Notifications: what was announced becomes mails and messages, each once per business id, and is sent until taken."""
