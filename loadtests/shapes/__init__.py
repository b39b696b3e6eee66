"""How crowds come and go. Each module names its plan of showtimes, and holds one shape of Locust."""
