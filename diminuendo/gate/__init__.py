"""Is this model good enough to ship? The limits are in ``params.yaml`` (section ``gate``).

``run.gate`` measures what is missing, judges (``judge.judge``, which reads no files) and records the decision.
"""

from diminuendo.gate.decision import Decision, Rule
from diminuendo.gate.run import gate

__all__ = ["Decision", "Rule", "gate"]
