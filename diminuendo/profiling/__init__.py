"""Where the time of a shipped file goes, and how far it is from what the machine can do."""

from diminuendo.profiling.measure import Operator, Profile, profile

__all__ = ["Operator", "Profile", "profile"]
