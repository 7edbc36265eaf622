"""What builds a FastConformer-CTC from a record."""

from diminuendo.models.family import ModelFamily, only_pretrained
from diminuendo.models.fastconformer.module import FastConformerCTC
from diminuendo.models.fastconformer.record import FastConformerRecord

FAMILY = ModelFamily("fastconformer", FastConformerRecord, FastConformerCTC, only_pretrained("fastconformer"))
