"""Stage prepare: from the source that params.yaml names to data/prepared."""

from __future__ import annotations

from stages.room import room


def main() -> None:
    with room("prepare") as r:
        from diminuendo.data.prepare import prepare

        prepare(r.params, r.out)


if __name__ == "__main__":
    main()
