"""E-tickets: signed codes, pictures, documents. Made of what they are given; no database, no Redis."""
