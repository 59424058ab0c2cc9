"""The torch shells of the relative projection and its inverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from relatum import _array, _validation
from relatum._nn_anchors import HALF, Anchored, check_input, state_of
from relatum.projection import Projection, inverse_project, project_unchecked
from relatum.similarity import Spec


class RelativeProjection(Anchored):
    """Relative projection as a torch module, onto fixed or re-encoded anchors.

    The formula is that of :func:`relatum.relative_projection`, differentiable in
    the input. Values are not checked in the forward pass (it would wait for the
    device): NaN goes through as NaN, and a row without a direction gives zeros.

    Parameters
    ----------
    anchors : array (n_anchors, n_features), optional
        Absolute representations of the anchors, held as a buffer.
    similarity, center, whiten
        As in :func:`relatum.relative_projection`.
    encoder : module or callable, optional
        Instead of ``anchors``: encodes ``anchor_samples`` anew as it trains. It is
        *not* registered here: the model that owns it has its parameters once, and
        moves it and sets its mode; a copy of this module alone copies it too.
    anchor_samples : tensor, or whatever ``encoder`` takes
        The raw anchor items; a tensor becomes a buffer, anything else must
        already be where the encoder wants it.
    refresh : int
        While training, encode the anchors at every ``refresh``-th forward pass. In
        evaluation mode they are encoded once, and again after training resumed,
        :meth:`refresh_anchors`, or a change of the encoder's weights in place.
    anchor_gradient : bool
        Let the gradient pass through the anchors as well (the paper's code does
        not); takes ``refresh=1``.
    update_batch_norm : bool
        Let the anchors' pass update running statistics of the encoder (the paper's
        code does). Otherwise every buffer of the encoder stays as it was. In
        training mode batch norm still normalises the anchors by their own batch,
        and dropout still drops: the anchors are noisy as the samples are.
    anchor_ids : sequence, optional
        The anchors' ids: a hash of them in :attr:`space` and ``state_dict`` tells
        parallel anchor sets from others.

    Raises
    ------
    TypeError, ValueError
        Neither or both of ``anchors`` and ``encoder`` with ``anchor_samples``, and
        what :func:`relatum.projection.fit_projection` refuses.

    Notes
    -----
    In half precision the similarities are computed in float32. The output has
    the input's dtype; under autocast it is float32. ``state_dict`` holds the
    anchors (or ``anchor_samples``) and ``anchor_ids_hash``; ``torch.compile``
    takes the module, with a break in its graph where anchors are cached. After
    changing ``anchors`` in place under ``torch.compile``, call
    :meth:`refresh_anchors`.

    References
    ----------
    Moschella et al., *Relative representations enable zero-shot latent space
    communication*, ICLR 2023, section 3.

    Examples
    --------
    >>> import torch, relatum.nn
    >>> encoder = torch.nn.Linear(6, 4)
    >>> x = torch.randn(32, 6)
    >>> fixed = relatum.nn.RelativeProjection(encoder(x[:10]))
    >>> fixed(encoder(x)).shape
    torch.Size([32, 10])
    >>> live = relatum.nn.RelativeProjection(encoder=encoder, anchor_samples=x[:10])
    >>> bool(torch.allclose(live(encoder(x)), fixed(encoder(x))))
    True
    >>> len(list(live.parameters()))  # they are the encoder's, whoever owns it
    0
    """

    relatum_role = "projection"
    anchor_samples: torch.Tensor | None

    def __init__(
        self,
        anchors: Any = None,
        *,
        similarity: Spec | Sequence[Spec] = "cosine",
        center: bool = False,
        whiten: float | None = None,
        encoder: Callable[..., Any] | None = None,
        anchor_samples: Any = None,
        refresh: int = 1,
        anchor_gradient: bool = False,
        update_batch_norm: bool = False,
        anchor_ids: Any = None,
    ) -> None:
        _check_source(anchors, encoder, anchor_samples)
        super().__init__(anchors, similarity, center, whiten, anchor_ids)
        self.refresh = _validation.check_integer(refresh, "refresh")
        if anchor_gradient and (anchors is not None or self.refresh > 1):
            raise ValueError(
                "anchor_gradient=True takes anchors that are encoded at every step: "
                "encoder and anchor_samples, with refresh=1"
            )
        self.anchor_gradient = bool(anchor_gradient)
        self.update_batch_norm = bool(update_batch_norm)
        is_tensor = isinstance(anchor_samples, torch.Tensor)
        if is_tensor and anchor_ids is not None and len(anchor_ids) != len(anchor_samples):
            raise ValueError(
                f"anchor_ids has {len(anchor_ids)} ids, anchor_samples has {len(anchor_samples)} "
                "rows; expected one id for each anchor"
            )
        self.register_buffer("anchor_samples", anchor_samples if is_tensor else None)
        self._samples = None if is_tensor else anchor_samples
        self._encoder = (encoder,)  # in a tuple, so that it is not registered as a submodule
        self._n_forwards = 0

    @classmethod
    def from_estimator(cls, estimator: Any) -> RelativeProjection:
        """Return the module that does what a fitted scikit-learn projection does.

        Parameters
        ----------
        estimator : relatum.RelativeProjection
            Fitted; else scikit-learn's NotFittedError is raised.

        Examples
        --------
        >>> import numpy as np, relatum, relatum.nn
        >>> X = np.random.default_rng(0).normal(size=(50, 8))
        >>> estimator = relatum.RelativeProjection(10, random_state=0).fit(X)
        >>> relatum.nn.RelativeProjection.from_estimator(estimator).space == estimator.space_
        True
        """
        space = estimator.space_
        anchors = torch.as_tensor(_array.to_numpy(estimator.anchors_))
        return cls(
            anchors,
            similarity=estimator.similarity,
            center=estimator.center,
            whiten=estimator.whiten,
            anchor_ids=None if space.anchor_ids is None else estimator.anchor_ids_,
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the relative representation ``(n_samples, n_outputs)`` of ``X``."""
        half = X.dtype in HALF
        wide = X.float() if half else X
        projection = self._projection(wide.dtype)
        check_input(X, "X", projection.n_features, "anchors has")
        with torch.autocast(X.device.type, enabled=False):
            R: torch.Tensor = project_unchecked(wide, projection)
        return R.to(X.dtype) if half and not torch.is_autocast_enabled(X.device.type) else R

    def inverse(self) -> InverseRelativeProjection:
        """Return the module that leads back from these anchors, as they are now."""
        anchors = self.anchors if self.anchors is not None else self._encode().detach()
        module = InverseRelativeProjection(
            anchors, similarity=self.similarity, center=self.center, whiten=self.whiten
        )
        module._set_ids_hash(self._ids_hash)
        module._renew()
        return module

    def refresh_anchors(self) -> None:
        """Encode (or, fixed ones, prepare) the anchors anew at the next forward pass."""
        self._renew()

    def _count_anchors(self) -> int:
        for rows in (self.anchors, self.anchor_samples):
            if rows is not None:
                return int(rows.shape[0])
        with torch.no_grad():
            return int(self._encode().shape[0])

    def train(self, mode: bool = True) -> RelativeProjection:
        if mode != self.training and self.anchors is None:
            self._renew()
        return super().train(mode)

    def _projection(self, dtype: torch.dtype) -> Projection:
        if self.anchors is not None:
            return self._fixed(dtype)
        each_time = self.training and self.refresh == 1
        if each_time or (self.anchor_gradient and torch.is_grad_enabled()):
            return self._prepare(self._encode())
        held: Projection = self._cached(dtype)
        return held

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _cached(self, dtype: torch.dtype) -> Projection:
        """Return the anchors as last encoded, encoded anew where that is due."""
        if self.training:
            due = self._n_forwards % self.refresh == 0
            self._n_forwards += 1
        else:
            due = self._seen != state_of(self._encoder_state())
        if due or not self._prepared:
            # tensors made under inference_mode could not serve a later backward pass
            with torch.inference_mode(False), torch.no_grad():
                anchors = self._encode()
                self._keep(self._prepare(anchors), anchors.dtype)
            self._seen = state_of(self._encoder_state())
        return self._held(dtype)

    def _renew(self) -> None:
        super()._renew()
        self._n_forwards = 0

    def _encoder_state(self) -> list[Any]:
        encoder: Any = self._encoder[0]
        is_module = isinstance(encoder, torch.nn.Module)
        state = [*encoder.parameters(), *encoder.buffers()] if is_module else []
        return [*state, self.anchor_samples]

    def _encode(self) -> torch.Tensor:
        encoder: Any = self._encoder[0]
        samples = self._samples if self.anchor_samples is None else self.anchor_samples
        with torch.set_grad_enabled(self.anchor_gradient and torch.is_grad_enabled()):
            if self.update_batch_norm or not _trains(encoder):
                anchors = encoder(samples)
            else:
                # on copies of its buffers, so that no running statistic moves
                copies = {name: b.clone() for name, b in encoder.named_buffers()}
                anchors = torch.func.functional_call(encoder, copies, (samples,))
        self._check_encoded(anchors)
        result: torch.Tensor = anchors.float() if anchors.dtype in HALF else anchors
        return result

    def _check_encoded(self, anchors: Any) -> None:
        n = "n_anchors" if self.anchor_samples is None else self.anchor_samples.shape[0]
        shape = tuple(getattr(anchors, "shape", ()))
        if len(shape) != 2 or shape[0] < 2 or n not in ("n_anchors", shape[0]):
            raise ValueError(
                f"encoder gives {type(anchors).__name__} of shape {shape} for anchor_samples; "
                f"expected a tensor of shape ({n}, n_features), and at least 2 anchors"
            )


class InverseRelativeProjection(Anchored):
    """Inverse relative projection as a torch module: back to the anchors' space.

    The formula is that of :func:`relatum.inverse_relative_projection`,
    differentiable in the input.

    Parameters
    ----------
    anchors : array (n_anchors, n_features)
        Absolute representations of the anchors in the space to return to.
    similarity, center, whiten
        As in :func:`relatum.relative_projection`; cosine, dot, angular and
        euclidean have an inverse.
    anchor_ids : sequence, optional
        As in :class:`RelativeProjection`.

    Raises
    ------
    TypeError, ValueError
        What :func:`relatum.inverse_relative_projection` refuses.

    Examples
    --------
    >>> import torch, relatum.nn
    >>> x = torch.nn.functional.normalize(torch.randn(20, 4), dim=1)
    >>> there = relatum.nn.RelativeProjection(x[:8])
    >>> back = relatum.nn.InverseRelativeProjection(x[:8])
    >>> bool(torch.allclose(back(there(x)), x, atol=1e-5))
    True
    """

    relatum_role = "inverse"

    def __init__(
        self,
        anchors: Any,
        *,
        similarity: Spec | Sequence[Spec] = "cosine",
        center: bool = False,
        whiten: float | None = None,
        anchor_ids: Any = None,
    ) -> None:
        super().__init__(anchors, similarity, center, whiten, anchor_ids)

    def _renew(self) -> None:
        super()._renew()
        for dtype, projection in self._prepared.items():
            # refuses a similarity without an inverse now, not in the first batch
            with torch.inference_mode(False), torch.no_grad():
                zeros = torch.zeros(1, projection.n_outputs, dtype=dtype)
                inverse_project(zeros.to(projection.parts[0].anchors.device), self._held(None))

    @property
    def n_features(self) -> int:
        """How many features the absolute representations have."""
        return self._fixed(None).n_features

    def forward(self, R: torch.Tensor) -> torch.Tensor:
        """Return absolute representations ``(n_samples, n_features)``."""
        half = R.dtype in HALF
        wide = R.float() if half else R
        projection = self._fixed(None)
        check_input(R, "R", projection.n_outputs, "the projection gives")
        with torch.autocast(R.device.type, enabled=False):
            X: torch.Tensor = inverse_project(wide, projection)
        return X.to(R.dtype) if half and not torch.is_autocast_enabled(R.device.type) else X


def _check_source(anchors: Any, encoder: Any, anchor_samples: Any) -> None:
    live = encoder is not None and anchor_samples is not None
    part = (encoder is not None) != (anchor_samples is not None)
    if part or live == (anchors is not None):
        given = {"anchors": anchors, "encoder": encoder, "anchor_samples": anchor_samples}
        names = [name for name, value in given.items() if value is not None]
        raise TypeError(
            f"RelativeProjection got {', '.join(names) or 'no anchors'}; expected either "
            "anchors, or encoder and anchor_samples"
        )
    if encoder is not None and not callable(encoder):
        raise TypeError(f"encoder is {type(encoder).__name__}; expected a module or a callable")


def _trains(encoder: Any) -> bool:
    return isinstance(encoder, torch.nn.Module) and any(m.training for m in encoder.modules())
