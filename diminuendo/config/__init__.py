"""Sections of ``params.yaml`` that belong to no one technique or model."""
