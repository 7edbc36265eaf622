"""Conformer-CTC (Gulati et al. 2020)."""
