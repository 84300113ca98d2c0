"""The HTTP API: routes that answer with bytes made when the snapshot was published."""
