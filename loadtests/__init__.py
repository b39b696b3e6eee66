"""Load tests: a crowd of buyers over HTTP. Imports nothing of the application that it measures."""
