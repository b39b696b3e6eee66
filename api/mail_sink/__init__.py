"""A mail server that sends nothing on, with a page that shows what came. For `dev` and tests."""
