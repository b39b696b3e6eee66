"""Orders: bookings, payments and the gateways that take the money."""
