"""Which of the configured targets can be probed: those with a key whose wire format loads."""

from __future__ import annotations

from monitor.config import Config
from monitor.runner import Probeable
from probes import registry


def load_probeables(config: Config) -> tuple[dict[str, Probeable], list[str]]:
    """Return the targets that can be probed, and a sentence for each whose plug-in is broken."""
    probeables, problems = {}, []
    for target in config.targets:
        spec = config.specs[target.id]
        if spec.unusable is not None:
            continue
        try:
            wire_format = registry.load(target.format)
        except registry.FormatError as error:
            problems.append(f"target {target.id}: {error}")
            continue
        probeables[target.id] = Probeable(target, spec, wire_format)
    return probeables, problems
