"""Students that learn from texts that another member of the family wrote (sequence-level distillation: Kim & Rush 2016;
with pseudo-labels: Kahn et al. 2020, Gandhi et al. 2023).
"""
