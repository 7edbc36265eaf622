"""A speech corpus made offline: sentences from a grammar, spoken by eSpeak NG, with noise and level changes."""
