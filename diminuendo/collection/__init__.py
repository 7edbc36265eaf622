"""New recordings: batches that arrive, what of them can be used, and the collection that training reads.

Imports stay cheap; nothing here knows of DVC, git or Prefect.
"""
