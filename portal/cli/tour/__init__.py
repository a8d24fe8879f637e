"""`flask tour`: the whole main job, walked through the real pages of a demo of its own."""

import click


@click.command("tour")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object of all steps.")
@click.option("--rest", is_flag=True, help="Walk through the REST APIs instead of the pages.")
def tour(as_json: bool, rest: bool) -> None:
    """Do the whole main job once, and say at each step what was seen.

    A fresh demo is started on free ports and removed at the end. With DATABASE_URL it uses that
    database if it is empty, and leaves it empty. Exits with 0 only if every step was right.
    """
    # Imported here, because flask loads every command of the portal to run any of them.
    from portal.cli.tour.command import run

    run(as_json=as_json, rest=rest)
