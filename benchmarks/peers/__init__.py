"""Other tools beside our members: from one teacher and one set of calibration audio, each with its own settings.

    python -m benchmarks.peers --models models --corpus data/prepared --out .work/peers

One process decodes the test split with every model, then times all of them in turns. A tool that is not installed is
named as such, and so is one that fails; `pip install -e .[peers]` installs them all.
"""
