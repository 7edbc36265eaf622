"""``errors.html``: for any two members the utterances that got worse or better, word by word, with their audio.

The page is one file that asks nothing of a network: texts, alignments and audio are in it, so that it works from a
folder, from a mail and as an artifact in MLflow, which shows a page without the files beside it. No model is run: texts
are those that ``evaluate`` stored, audio is that of the prepared corpus.
"""
