"""What builds a whole Whisper from a record."""

from diminuendo.models.family import ModelFamily, only_pretrained
from diminuendo.models.whisper.seq2seq.module import Whisper
from diminuendo.models.whisper.seq2seq.record import WhisperRecord

FAMILY = ModelFamily("whisper", WhisperRecord, Whisper, only_pretrained("whisper"))
