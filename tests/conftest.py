"""What every test relies on."""

from hypothesis import settings

# The same examples every time, and no clock: other work may share the machine.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
