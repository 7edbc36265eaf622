"""``python -m diminuendo``: the command ``diminuendo``, of the interpreter that is named."""

from diminuendo.cli import main

if __name__ == "__main__":
    main()
