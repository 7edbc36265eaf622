"""The raw files that a corpus is made from, as a dependency of the pipeline. Imports little: it runs at each repro."""
