"""Pictures of latent planes and of reconstructed images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from relatum.paper import picture_frame as frame
from relatum.paper.picture_frame import INK, Kept, Row

MODEL_NAMES = {"ae": "AE", "vae": "VAE"}
PROJECTION_NAMES = {"absolute": "absolute", "cosine": "relative"}


def latent_planes(
    rows: Sequence[Row],
    kept: Kept,
    path: Path,
    *,
    latents: str,
    planes: Sequence[str] = ("own", "shared"),
    names: Sequence[str] = (),
    size: float = 2.5,
) -> None:
    """Draw the test images in the latent plane of each seed, coloured by class.

    Parameters
    ----------
    latents : str
        Name of the kept arrays: ``seeds``, ``labels`` and the ``planes``, each
        (n_seeds, n_points, 2).
    names : sequence of str
        What is written beside each line of panels.
    """
    arrays = kept[latents]
    seeds, labels = arrays["seeds"], arrays["labels"]
    figure = frame.new_figure(8.0, 1.75 * len(planes) + 0.5)
    axes = figure.subplots(len(planes), len(seeds), squeeze=False)
    classes = np.unique(labels).tolist()
    colours = frame.colours_of(classes)
    points = [colours[label] for label in labels.tolist()]
    for i, plane in enumerate(planes):
        for j, seed in enumerate(seeds.tolist()):
            a, (x, y) = axes[i, j], arrays[plane][j].astype(np.float32).T
            a.scatter(x, y, s=size, c=points, linewidths=0, rasterized=True)
            a.set_aspect("equal", adjustable="datalim")
            frame.no_axes(a, f"seed {seed}" if i == 0 else "")
        if names:
            axes[i, 0].set_ylabel(names[i], fontsize=10, color=INK)
    handles = [_dot(colours[c], str(c)) for c in classes]
    frame.legend_below(figure, handles)
    frame.save(figure, path)


def _dot(colour: str, name: str) -> object:
    from matplotlib.lines import Line2D

    return Line2D([], [], marker="o", linestyle="", color=colour, label=name, markersize=6)


def reconstruction_grid(
    rows: Sequence[Row],
    kept: Kept,
    path: Path,
    *,
    datasets: Sequence[str],
    models: Sequence[str] = ("ae", "vae"),
    projections: Sequence[str] = ("absolute", "cosine"),
    n_images: int = 4,
) -> None:
    """Draw images, and below them what each model makes of them, alone and stitched.

    Each column is an image. Kept arrays are named dataset-model-projection-native
    and ...-stitched, and hold ``images`` and ``reconstructions`` (n, height, width,
    channels) uint8.
    """
    lines = [(m, p, how) for m in models for p in projections for how in ("native", "stitched")]
    found = [d for d in datasets if f"{d}-{models[0]}-{projections[0]}-native" in kept]
    if not found:
        raise ValueError(f"no reconstructions of {', '.join(datasets)} were kept")
    figure = frame.new_figure(8.0, 0.62 * (len(lines) + 1))
    axes = figure.subplots(len(lines) + 1, len(found) * n_images, squeeze=False)
    for j, dataset in enumerate(found):
        first = kept[f"{dataset}-{models[0]}-{projections[0]}-native"]
        strips = [first["images"]]
        strips += [kept[f"{dataset}-{'-'.join(line)}"]["reconstructions"] for line in lines]
        for i, strip in enumerate(strips):
            for k in range(n_images):
                _show(axes[i, j * n_images + k], strip[k])
    for i, name in enumerate(["image", *(_line_name(*line) for line in lines)]):
        axes[i, 0].set_ylabel(name, fontsize=9, color=INK, rotation=0, ha="right", va="center")
    frame.save(figure, path)


def _line_name(model: str, projection: str, how: str) -> str:
    name = f"{MODEL_NAMES.get(model, model)} {PROJECTION_NAMES.get(projection, projection)}"
    return f"{name}, stitched" if how == "stitched" else name


def _show(axes: object, image: np.ndarray) -> None:
    picture = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")  # type: ignore[attr-defined]
    frame.no_axes(axes)  # type: ignore[arg-type]
