"""From measurements to what people read. The folder ``reports/`` that the stage writes:

- ``leaderboard.md``, ``leaderboard.html`` (self-contained), ``leaderboard.csv`` (unrounded, a line per member);
- ``errors.html``: any two members, word by word, with the audio in it (``report.errors``);
- ``metrics.json``: member to figures, unrounded; ``summary/<member>.json``: the few that ``dvc metrics`` shows;
- ``curves.csv`` and ``groups.csv``, for ``dvc plots`` and spreadsheets; ``plots/*.png``.
"""
