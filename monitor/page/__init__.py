"""The status page and the badges: a snapshot as people look at it, without any client."""
