"""What happened, recorded in MLflow: a run per stage, without a stage ever waiting for MLflow or failing by it.

A stage appends what it wants recorded to a journal on disk (``journal``). A process of its own (``sender``) carries
the journals to MLflow while the stage works, and whatever it could not deliver is delivered by the next run.
"""

from diminuendo.tracking.track import PIPELINE, Track, pipeline_run, stage_run

__all__ = ["PIPELINE", "Track", "pipeline_run", "stage_run"]
