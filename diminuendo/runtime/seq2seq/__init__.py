"""Files that write their text themselves, token after token, as a whole Whisper does."""
