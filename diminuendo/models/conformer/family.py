"""What builds a Conformer-CTC, from a record or from ``params.yaml``."""

from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.models.conformer.record import ConformerRecord, record_of
from diminuendo.models.family import ModelFamily

FAMILY = ModelFamily("conformer", ConformerRecord, ConformerCTC, record_of)
