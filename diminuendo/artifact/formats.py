"""What a shipped file says as ``diminuendo.format``."""

FRAMES_FORMAT = "1"  # posteriors of frames, for CTC
TEXT_FORMAT = "2"  # the tokens of a text
