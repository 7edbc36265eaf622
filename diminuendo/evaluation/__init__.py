"""Measurements of shipped files. Nothing here imports torch.

The folder ``evaluation/`` that the stage writes:

- ``<member>/accuracy.json``: digests of model, corpus and scoring code; utterances, frames, blank frames, digest of
  the hypotheses. ``<member>/hypotheses.jsonl``: a line per test utterance: ``id, seconds, reference, hypothesis`` and
  the counts ``substitutions, deletions, insertions, words``, and ``character_substitutions, character_deletions,
  character_insertions, character_errors`` (their sum), ``characters``.
  Both depend on the model, the corpus, the code, the processor and onnxruntime's version, so that a member for which
  these are the same as in an earlier evaluation is not decoded again: ``dvc.yaml`` keeps the old folder for it
  (``persist: true``).
- ``<member>/normalised.jsonl``, where ``evaluate.normalizer`` names one: the same lines after the normaliser, without
  ``seconds``. It is made anew from the hypotheses by every evaluation.
- ``metrics.json``: everything about accuracy and size, per member, intervals included. Deterministic. ``wer`` and
  ``cer`` are of the normalised texts where there is a normaliser, and ``raw_wer``, ``raw_cer`` and so on of those that
  were decoded; without one there are no raw keys. ``normalizer`` is its name, package and version, ``measure`` the
  rate (``wer`` or ``cer``) that report and gate go by. ``unknown`` is there where ``text.unknown`` replaced or dropped
  characters of test: which, the most frequent first, and how many.
- ``timing.json``: speed, latency and memory of all members on one machine, each with the run that measured it beside
  the teacher (see ``speed``). A member whose file did not change keeps its figures.
"""
