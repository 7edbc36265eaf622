"""Where a file came from, whether everything it was made from is intact, and building it again.

A shipped file carries the records of all its ancestors (``artifact.lineage``). ``descent`` reads them into a tree,
``places`` finds copies of its files (project, DVC cache, MLflow), and ``trace``, ``verify`` and ``reproduce`` are the
commands.
"""
