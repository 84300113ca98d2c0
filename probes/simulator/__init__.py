"""Providers on this machine: the mirror of :mod:`probes.formats`, with seeded fault plans."""
