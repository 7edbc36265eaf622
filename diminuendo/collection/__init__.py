"""New recordings: batches that arrive, the records that can be used, and the collection that training reads.

Imports are cheap; nothing here depends on DVC, git or Prefect.
"""
