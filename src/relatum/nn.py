"""Torch modules: the relative projection as a layer, stitching, and losses.

Shells around the functions of :mod:`relatum.projection` and
:mod:`relatum.stitching`, with the same names and parameters. Needs the extra
``torch``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relatum import _validation

try:
    import torch
except ImportError as error:
    raise _validation.MissingExtraError(
        "relatum.nn needs torch; install it with: pip install 'relatum[torch]'"
    ) from error

from relatum._gemm import unit_rows
from relatum._nn_layers import StitchedAt, stitch_at
from relatum._nn_projection import InverseRelativeProjection, RelativeProjection
from relatum.projection import prepare, project_unchecked
from relatum.similarity import Spec
from relatum.stitching import apply_statistics, bind, column_statistics

__all__ = [
    "HeadNormalizer",
    "InverseRelativeProjection",
    "RelativeModel",
    "RelativeProjection",
    "StitchedAt",
    "TeacherLoss",
    "relative_distillation_loss",
    "stitch_at",
]

MODES = ("inductive", "transductive")


class HeadNormalizer(torch.nn.Module):
    """Standardise each column of a relative representation inside a head.

    ``(r - mean) / sqrt(variance + eps)``, as :func:`relatum.stitching.standardize`;
    it has no weights.

    Parameters
    ----------
    n_features : int
        Number of columns.
    mode : "inductive" or "transductive"
        ``transductive``: the statistics of the very batch that it is given, always,
        as the paper's code does; one row alone has none and is refused.
        ``inductive``: while training, those of the batch (with gradient), which are
        also merged, each row with equal weight, into the statistics that
        evaluation uses. Where layers with weights stand before it, call
        :meth:`reset` ahead of the last epoch, so that only that one counts.
    eps : float
        Added to the variance, which is the biased one.

    Raises
    ------
    ValueError
        An unknown mode; in the forward pass one row where its batch must give the
        statistics, or evaluation before any were seen.

    Examples
    --------
    >>> import torch, relatum.nn
    >>> normalizer = relatum.nn.HeadNormalizer(3)
    >>> R = torch.randn(100, 3) + 5
    >>> for batch in R.split(32):
    ...     _ = normalizer(batch)
    >>> bool(torch.allclose(normalizer.eval()(R).mean(0), torch.zeros(3), atol=1e-5))
    True
    """

    relatum_role = "normalizer"
    mean: torch.Tensor
    variance: torch.Tensor
    n_seen: torch.Tensor

    def __init__(self, n_features: int, mode: str = "inductive", *, eps: float = 1e-5) -> None:
        super().__init__()
        self.n_features = _validation.check_integer(n_features, "n_features")
        self.mode = _validation.check_choice(mode, "mode", MODES)
        self.eps = _validation.check_nonnegative(eps, "eps")
        self.frozen = False
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("variance", torch.ones(n_features))
        self.register_buffer("n_seen", torch.zeros((), dtype=torch.int64))

    @classmethod
    def from_reference(cls, R: torch.Tensor, *, eps: float = 1e-5) -> HeadNormalizer:
        """Return an inductive normaliser whose statistics are those of ``R`` for good.

        Parameters
        ----------
        R : tensor (n_reference, n_columns)
            The relative representation of the training set, or of the anchors.
        """
        R = _validation.as_matrix(R.detach(), "R", min_rows=2, finite=True)
        self = cls(R.shape[1], eps=eps).to(R.device, R.dtype)
        self.update(R)
        self.frozen = True
        return self

    def reset(self) -> None:
        """Forget the statistics seen so far."""
        self.n_seen.zero_()

    @torch.no_grad()
    def update(self, R: torch.Tensor) -> None:
        """Merge the rows of ``R`` into the statistics (Chan et al., 1979)."""
        mean, variance = column_statistics(R.detach())
        seen, new = self.n_seen, R.shape[0]
        share = new / (seen + new)
        gap = mean - self.mean
        spread = self.variance + (variance - self.variance) * share
        self.variance.copy_(spread + gap * gap * share * (1 - share))
        self.mean.add_(gap * share)
        self.n_seen.add_(new)

    def forward(self, R: torch.Tensor) -> torch.Tensor:
        """Return ``R`` (n_samples, n_features) with each column standardised."""
        if R.ndim != 2 or R.shape[1] != self.n_features:
            raise ValueError(
                f"R has shape {tuple(R.shape)}; expected (n_samples, {self.n_features})"
            )
        batch = self.mode == "transductive" or (self.training and not self.frozen)
        if not batch:
            if not torch.compiler.is_compiling() and int(self.n_seen) == 0:
                raise ValueError("HeadNormalizer has seen no rows; train it, or use from_reference")
            return self._apply_statistics(R, self.mean, self.variance)
        if R.shape[0] < 2:
            raise ValueError(
                "R has 1 row, whose columns have no variance; expected at least 2 "
                f"({self.mode}{', training' if self.mode == 'inductive' else ''})"
            )
        if self.mode == "inductive":
            self.update(R)
        return self._apply_statistics(R, *column_statistics(R))

    def _apply_statistics(
        self, R: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor
    ) -> torch.Tensor:
        out: torch.Tensor = apply_statistics(R, mean, variance, self.eps)
        return out

    def extra_repr(self) -> str:
        return f"{self.n_features}, mode={self.mode!r}, eps={self.eps}"


class RelativeModel(torch.nn.Module):
    """Encoder, relative projection and decoder as one network.

    The decoder is bound to the projection's space, so that
    ``stitch(a.encoder, a.projection, b.decoder)`` is refused where the two
    models' spaces differ.

    Parameters
    ----------
    encoder : torch module
        Input to absolute representations ``(n, n_features)``.
    projection : RelativeProjection
        Fixed, or with this same ``encoder`` re-encoding its anchors.
    decoder : torch module
        Relative representations to output.

    Examples
    --------
    >>> import torch, relatum.nn
    >>> x = torch.randn(32, 6)
    >>> encoder = torch.nn.Linear(6, 4)
    >>> projection = relatum.nn.RelativeProjection(encoder=encoder, anchor_samples=x[:10])
    >>> decoder = torch.nn.Sequential(torch.nn.LayerNorm(10), torch.nn.Linear(10, 3))
    >>> model = relatum.nn.RelativeModel(encoder, projection, decoder)
    >>> model(x).shape, model.latent(x).shape
    (torch.Size([32, 3]), torch.Size([32, 10]))
    """

    def __init__(
        self, encoder: torch.nn.Module, projection: RelativeProjection, decoder: torch.nn.Module
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = projection
        self.decoder = bind(decoder, projection)

    def latent(self, x: Any) -> torch.Tensor:
        """Return the relative representation of ``x``."""
        R: torch.Tensor = self.projection(self.encoder(x))
        return R

    def forward(self, x: Any) -> Any:
        return self.decoder(self.latent(x))


def relative_distillation_loss(
    X_student: torch.Tensor,
    X_teacher: torch.Tensor,
    anchors_student: torch.Tensor,
    anchors_teacher: torch.Tensor,
    *,
    similarity: Spec | Sequence[Spec] = "cosine",
    center: bool = False,
    whiten: float | None = None,
) -> torch.Tensor:
    r"""Pull a student's latent space toward a teacher's relative representation.

    .. math:: 1 - \frac{1}{n} \sum_i \cos(R^{student}_i, R^{teacher}_i)

    the signal of section 4.2 of Moschella et al. (ICLR 2023) as a loss. The two
    latent spaces may differ in width and by any isometry.

    Parameters
    ----------
    X_student, X_teacher : tensors (n_samples, width of each)
        Row i of both is the same item.
    anchors_student, anchors_teacher : tensors (n_anchors, width of each)
        Row j of both is the same item.
    similarity, center, whiten
        As in :func:`relatum.relative_projection`.

    Returns
    -------
    tensor ()
        In [0, 2]; lower is closer. The gradient reaches both of the student's
        arguments and neither of the teacher's.

    Raises
    ------
    ValueError
        Rows or features that do not match.

    Examples
    --------
    >>> import torch
    >>> from relatum.nn import relative_distillation_loss
    >>> teacher = torch.randn(30, 8)
    >>> rotation = torch.linalg.qr(torch.randn(8, 8))[0]
    >>> student = teacher @ rotation
    >>> loss = relative_distillation_loss(student, teacher, student[:9], teacher[:9])
    >>> bool(abs(loss) < 1e-5)
    True
    """
    given = {"X_student": X_student, "anchors_student": anchors_student}
    given |= {"X_teacher": X_teacher, "anchors_teacher": anchors_teacher}
    for name, tensor in given.items():
        if not isinstance(tensor, torch.Tensor) or tensor.ndim != 2:
            shape = getattr(tensor, "shape", type(tensor).__name__)
            raise ValueError(f"{name} is {shape}; expected a 2-D tensor")
    _validation.check_same_rows(X_student, "X_student", X_teacher, "X_teacher")
    _validation.check_same_rows(
        anchors_student, "anchors_student", anchors_teacher, "anchors_teacher"
    )
    for side in ("student", "teacher"):
        names = f"X_{side}", f"anchors_{side}"
        _validation.check_same_features(given[names[0]], names[0], given[names[1]], names[1])

    def relative(X: torch.Tensor, anchors: torch.Tensor) -> Any:
        fitted = prepare(anchors, similarity=similarity, center=center, whiten=whiten)
        return unit_rows(project_unchecked(X, fitted))

    student = relative(X_student, anchors_student)
    teacher = relative(X_teacher.detach(), anchors_teacher.detach())
    loss: torch.Tensor = 1 - (student * teacher.to(student.dtype)).sum(1).mean()
    return loss


class TeacherLoss(torch.nn.Module):
    """:func:`relative_distillation_loss` to a fixed teacher, whose anchors it holds.

    Parameters
    ----------
    anchors_teacher : tensor (n_anchors, n_features_teacher)
    similarity, center, whiten
        As in :func:`relatum.relative_projection`.

    Examples
    --------
    >>> import torch, relatum.nn
    >>> teacher, student = torch.randn(30, 8), torch.randn(30, 5, requires_grad=True)
    >>> loss = relatum.nn.TeacherLoss(teacher[:10])(student, teacher, student[:10])
    >>> loss.backward()
    """

    anchors_teacher: torch.Tensor

    def __init__(
        self,
        anchors_teacher: torch.Tensor,
        *,
        similarity: Spec | Sequence[Spec] = "cosine",
        center: bool = False,
        whiten: float | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("anchors_teacher", anchors_teacher.detach().clone())
        self.similarity, self.center = similarity, bool(center)
        self.whiten = _validation.check_whiten(whiten)

    def forward(
        self, X_student: torch.Tensor, X_teacher: torch.Tensor, anchors_student: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss of a batch, the student's anchors being encoded with it."""
        return relative_distillation_loss(
            X_student,
            X_teacher,
            anchors_student,
            self.anchors_teacher,
            similarity=self.similarity,
            center=self.center,
            whiten=self.whiten,
        )
