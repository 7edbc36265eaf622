"""Whisper (Radford et al. 2022): its encoder, with a CTC head in place of the decoder."""
