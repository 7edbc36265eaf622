"""Whisper whole (Radford et al. 2022): encoder, decoder, and the loop that writes token after token."""
