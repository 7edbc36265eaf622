"""Is this model good enough to ship? The limits stand in ``params.yaml`` (section ``gate``).

``run.gate`` measures what is not measured yet, judges (``judge.judge``, which touches no file) and records.
"""

from diminuendo.gate.decision import Decision, Rule
from diminuendo.gate.run import gate

__all__ = ["Decision", "Rule", "gate"]
