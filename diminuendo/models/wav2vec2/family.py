"""What builds a wav2vec 2.0 model or one of its kin from a record."""

from diminuendo.models.family import ModelFamily, only_pretrained
from diminuendo.models.wav2vec2.module import Wav2Vec2CTC
from diminuendo.models.wav2vec2.record import Wav2Vec2Record

FAMILY = ModelFamily("wav2vec2", Wav2Vec2Record, Wav2Vec2CTC, only_pretrained("wav2vec2"))
