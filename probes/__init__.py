"""Canary probes for image-generation APIs: a library of its own, usable without the monitor."""
