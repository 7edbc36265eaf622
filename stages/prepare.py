"""Stage prepare: from the source that params.yaml names to data/prepared."""

from __future__ import annotations

from stages.context import stage_context


def main() -> None:
    with stage_context("prepare") as context:
        from diminuendo.data.prepare import prepare

        prepare(context.params, context.out)


if __name__ == "__main__":
    main()
