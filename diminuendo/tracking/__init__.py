"""Records what happened in MLflow: one run per stage. No stage fails or slows down because of it.

A stage appends its records to a journal on disk (``journal``). Another process (``sender``) sends the journals to
MLflow while the stage works. What it cannot deliver is delivered by the next run.
"""

from diminuendo.tracking.track import PIPELINE, Track, pipeline_run, stage_run

__all__ = ["PIPELINE", "Track", "pipeline_run", "stage_run"]
