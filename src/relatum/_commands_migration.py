"""The commands under ``relatum migrate``: an index moves to a new encoder."""

from __future__ import annotations

import typer

from relatum import _cli_options as options
from relatum import _terminal

app = typer.Typer(
    name="migrate",
    help="Move a vector store to another encoder.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.command()
def plan(
    store: options.TheStore,
    to_encoder: options.ToEncoder,
    embed: options.Embed,
    output: options.PlanOutput = "migration.toml",
    text: options.TextField = "text",
    vector: options.VectorField = "",
    id: options.IdField = "",
    to_revision: options.ToRevision = "",
    from_encoder: options.OldEncoder = "",
    from_revision: options.OldRevision = "",
    shadow: options.ShadowName = None,
    alias: options.AliasName = None,
    n_anchors: options.Anchors = None,
    min_retention: options.PlanRetention = 0.0,
    pilot: options.Pilot = 300,
    price_per_1000: options.Price = 0.0,
    method: options.TranslationMethod = "auto",
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Say what a migration costs, and write its plan.

    A few hundred items are embedded by the new encoder. Nothing is written to the store.
    The plan is a file to read and to edit.

    Example: relatum migrate plan lancedb:db#items --to-encoder new --embed embed:encode
    """
    from relatum._cli_migration import plan as make
    from relatum.migration.plan import EncoderPart, StorePart

    found, said = make(
        output, StorePart(store, text, vector, id),
        EncoderPart(to_encoder, embed, to_revision, "", from_encoder, from_revision),
        shadow=shadow, alias=alias, n_anchors=n_anchors, min_retention=min_retention, pilot=pilot,
        price_per_1000=price_per_1000, method=method, seed=seed,
    )  # fmt: skip
    _terminal.report(found, said, as_json=as_json)


@app.command()
def run(
    plan: options.PlanFile,
    restart: options.Anew = False,
    as_json: options.Json = False,
) -> None:
    """Fit, and translate the store into its shadow.

    What was interrupted goes on where it stopped; rows that came, changed or went since
    are found. Exit code 1 where predicted retention is below the plan's.

    Example: relatum migrate run migration.toml
    """
    from relatum._cli_migration import run as carry_out

    raise typer.Exit(carry_out(plan, restart=restart, as_json=as_json))


@app.command()
def verify(
    plan: options.PlanFile,
    segment: options.Segment = None,
    threshold: options.Thresholds = None,
    relevance: options.Relevance = None,
    html: options.Html = None,
    as_json: options.Json = False,
) -> None:
    """Embed a sample, and hold the shadow against it.

    Every row must be there, made from the vector that the store has; retention is measured
    beside what was predicted. Exit code 1 where it is below the plan's.

    Example: relatum migrate verify migration.toml --segment section --html report.html
    """
    from relatum._cli_migration import verify as hold

    raise typer.Exit(
        hold(plan, segment=segment, thresholds=threshold or [], relevance=relevance, html=html,
             as_json=as_json)
    )  # fmt: skip


@app.command()
def switch(
    plan: options.PlanFile,
    force: options.ForceSwitch = False,
    as_json: options.Json = False,
) -> None:
    """Let the alias stand for the new vectors.

    After verify has passed, and while the store has not changed since.

    Example: relatum migrate switch migration.toml
    """
    from relatum._cli_migration import switch as turn

    raise typer.Exit(turn(plan, force=force, as_json=as_json))


@app.command()
def rollback(plan: options.PlanFile, as_json: options.Json = False) -> None:
    """Let the alias stand for the old vectors again.

    The new ones stay, and can be switched to at any time.

    Example: relatum migrate rollback migration.toml
    """
    from relatum.migration.steps import rollback as back

    found = {"stands_for": back(plan)}
    _terminal.report(found, _terminal.table(found), as_json=as_json)


@app.command()
def backfill(
    plan: options.PlanFile,
    n: options.HowManyItems,
    queried: options.Queried = None,
    as_json: options.Json = False,
) -> None:
    """Replace translated vectors by native ones.

    The anchors first, which are embedded already; then items that they cover least and
    that are asked for most. Native vectors are turned a little, such that their scores
    can be compared with those of translated ones.

    Example: relatum migrate backfill migration.toml -n 500 --queried counts.csv
    """
    from relatum._cli_migration import backfill as replace

    found = replace(plan, n, queried)
    _terminal.report(found, _terminal.table(found), as_json=as_json)


@app.command()
def status(plan: options.PlanFile, as_json: options.Json = False) -> None:
    """Say how far a migration is.

    Example: relatum migrate status migration.toml
    """
    from relatum.migration.steps import status as how_far

    found = how_far(plan)
    _terminal.report(found, _terminal.table(found), as_json=as_json)
