"""A synthetic speech corpus: sentences from a grammar, synthesized by eSpeak NG, with noise and level changes."""
