"""A payment gateway that takes no money: a checkout page, magic cards, signed webhooks. For `dev` and tests."""
