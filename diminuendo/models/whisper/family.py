"""What builds Whisper's encoder with a CTC head from a record."""

from diminuendo.models.family import ModelFamily, only_pretrained
from diminuendo.models.whisper.module import WhisperEncoderCTC
from diminuendo.models.whisper.record import WhisperEncoderRecord

FAMILY = ModelFamily("whisper-encoder", WhisperEncoderRecord, WhisperEncoderCTC, only_pretrained("whisper-encoder"))
