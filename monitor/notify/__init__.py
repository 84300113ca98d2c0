"""Sends what routes are told: outbox, channels, and the loop between them."""
