"""Pruned members that learn from texts that another member of the family wrote.

What a unit is worth is measured along these texts, and what is left recovers by them: a model that writes capitals and
punctuation would lose both by a corpus that has neither.
"""
