"""Texts that a teacher writes for audio, for students to learn from (pseudo-labels: Kahn et al. 2020; with a filter by
word error rate: Gandhi et al. 2023).
"""
