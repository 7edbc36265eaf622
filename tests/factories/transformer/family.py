"""What builds the Transformer."""

from diminuendo.models.family import ModelFamily
from tests.factories.transformer.config import record_of
from tests.factories.transformer.module import TransformerCTC
from tests.factories.transformer.record import TransformerRecord

FAMILY = ModelFamily("transformer-of-the-tests", TransformerRecord, TransformerCTC, record_of)
