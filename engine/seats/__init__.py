"""The seat engine: who has which seat of a showtime until when. Redis only; imports no PostgreSQL."""
