"""The commands around a translation: fit, apply, search, grow, score, serve."""

from __future__ import annotations

import typer

from relatum import _cli_options as options
from relatum import _cli_results as results
from relatum import _terminal


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
    html: options.Html = None,
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
        (source, target), anchors, output, Columns(column, id_column), about=about, html=html,
        least=min_retention, method=method, criterion=criterion, rescale=not no_rescale,
        random_state=seed,
    )  # fmt: skip
    failed = _cli_translation.failed_gate(result["predicted"], min_retention)
    _terminal.report(result | {"gates_failed": failed}, text, as_json=as_json)
    results.fail(failed)


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
    from relatum import _cli_inputs, _cli_maps, _cli_streaming

    _cli_inputs.check_output(output, as_json, inputs=[embeddings, map_file], folders=True)
    columns = _cli_inputs.Columns(column, id_column)
    columns.check(embeddings)
    _cli_maps.check_encoder(map_file, encoder, force, inverse)
    source = _cli_streaming.open_source(embeddings, output, columns)
    rows, about = _cli_maps.rows_of(
        source, map_file, inverse=inverse, target=of_target, device=device
    )
    found = _cli_streaming.stream(
        source, rows, output, doing="translating", memory=memory, dtype=dtype, restart=restart,
        dry_run=dry_run, as_json=as_json, engine=engine, workers=workers,
    )  # fmt: skip
    results.report({"embeddings": embeddings, "map": map_file, **about, **found}, as_json, output)


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
    from relatum import _cli_maps, _cli_translation
    from relatum._cli_inputs import Columns
    from relatum._cli_streaming import parse_bytes

    columns = Columns(column, id_column)
    columns.check(queries, index, background)
    if map_file is not None:
        _cli_maps.check_encoder(map_file, encoder, force)
    elif encoder is not None:
        raise ValueError("--encoder is held against what --map was made for; give --map")
    result, text = _cli_translation.find(
        queries, index, k, columns, maps=(map_file, index_map), correction=correction,
        background=background, penalty=penalty, save_penalty=save_penalty, output=output,
        memory=parse_bytes(memory),
    )  # fmt: skip
    _terminal.report(result, text, as_json=as_json)


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
    html: options.Html = None,
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
        n_samples, seed, html,
    )  # fmt: skip
    failed = []
    if min_recall is not None and scores.translated.recall_1 < min_recall:
        failed.append(f"R@1 is {scores.translated.recall_1:.3f}, the gate {min_recall:g}")
    _terminal.report(result | {"gates_failed": failed}, str(scores), as_json=as_json)
    results.fail(failed)


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
