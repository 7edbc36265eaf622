"""What happened, recorded in MLflow: a run per stage, and no stage that fails or slows down because of it.

A stage appends what it wants recorded to a journal on disk (``journal``). Another process (``sender``) carries
the journals to MLflow while the stage works; what it could not deliver is delivered by the next run.
"""

from diminuendo.tracking.track import PIPELINE, Track, pipeline_run, stage_run

__all__ = ["PIPELINE", "Track", "pipeline_run", "stage_run"]
