"""Is new data like the data a model was trained on? Audio and text statistics, and a report of what has shifted.

``statistics_of`` measures a corpus (its result is small enough to be kept with a model), ``compare`` compares two
measurements and warns about features that differ by more than the limits and by more than chance.
"""

from diminuendo.drift.compare import compare
from diminuendo.drift.report import Report
from diminuendo.drift.statistics import Statistics, statistics_of
from diminuendo.drift.write import write_report

__all__ = ["Report", "Statistics", "compare", "statistics_of", "write_report"]
