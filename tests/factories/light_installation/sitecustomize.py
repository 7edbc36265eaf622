"""With this folder in ``PYTHONPATH``, only the modules named in ``$LIGHT`` and Python's own can be imported."""

import os
import sys


class Refuser:
    """A finder of modules that finds none, and refuses what a light installation does not have."""

    def __init__(self, allowed):
        self.allowed = {*allowed, *sys.stdlib_module_names}

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in self.allowed and not top.startswith("_sysconfigdata"):  # Python's own, named after the platform
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if "LIGHT" in os.environ:
    sys.meta_path.insert(0, Refuser(os.environ["LIGHT"].split(",")))
