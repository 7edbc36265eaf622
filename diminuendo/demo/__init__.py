"""A page on this machine's own loopback address that transcribes the microphone, files and sample recordings."""
