"""Payment gateways: one protocol, one module for each gateway."""
