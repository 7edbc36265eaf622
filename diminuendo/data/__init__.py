"""Manifests, audio and the prepared corpus."""
