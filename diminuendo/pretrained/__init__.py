"""Pretrained checkpoints: found, read without running anything of them, and turned into a model of a known family."""
