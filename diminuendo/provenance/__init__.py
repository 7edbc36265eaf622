"""Where a file came from, whether all of that is whole, and making it once more.

A shipped file carries the records of all its ancestors (``diminuendo.lineage``). ``descent`` reads them into a tree,
``places`` finds what of the tree is at hand (project, DVC cache, MLflow), ``trace``, ``verify`` and ``reproduce``
answer the three questions.
"""
