"""Translation as the last module of a sentence-transformers model.

``model.encode`` then gives rows in the target encoder's space, and saving, loading and
pushing are those of sentence-transformers. Needs the extra ``sentence-transformers``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from relatum import _array, _validation, artifact
from relatum._kernel_maps import KernelPart
from relatum._translation_map import TranslationMap, translate
from relatum.translation import Translation

try:
    import torch
    from sentence_transformers.base.modules import Dense, Module
except ImportError as error:
    raise _validation.MissingExtraError(
        "relatum.sentence_transformers_module needs sentence-transformers 5.4 or newer; install it "
        "with: pip install 'relatum[sentence-transformers]'"
    ) from error

__all__ = ["TranslationModule", "to_dense"]

FILE = "translation.safetensors"
"""The artefact in the module's folder."""


class TranslationModule(Module):
    """Bring ``sentence_embedding`` into the space of another encoder.

    The translation is fitted before and fixed: it has no weights to train, though the
    gradient passes through it to the encoder.

    Parameters
    ----------
    translation : Translation
        Fitted, from the space of the modules before this one.

    Raises
    ------
    TypeError
        Another object than a translation.
    NotFittedError
        A translation that was not fitted.
    ValueError
        Where the model is built, and in the forward pass: embeddings of another width
        than the translation was fitted on.

    Notes
    -----
    ``model.save`` writes the translation as relatum's artefact,
    ``translation.safetensors``, which ``relatum info`` reads. sentence-transformers 6 takes
    modules of other packages with ``SentenceTransformer(folder, trust_remote_code=True)``
    only; :func:`to_dense` gives a module that needs neither that nor relatum.

    The output has the input's dtype and device; half precision is computed in float32.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> from sentence_transformers import SentenceTransformer
    >>> from sentence_transformers.sentence_transformer.modules import BoW
    >>> from relatum.sentence_transformers_module import TranslationModule
    >>> encoder = SentenceTransformer(modules=[BoW(["cat", "dog", "fish"])], device="cpu")
    >>> texts = ["cat", "dog", "fish", "cat dog", "cat fish", "dog fish"]
    >>> target = encoder.encode(texts)[:, [2, 0, 1]]  # as another encoder has them
    >>> translation = relatum.Translation("procrustes").fit(encoder.encode(texts), target)
    >>> encoder.append(TranslationModule(translation))
    SentenceTransformer(...)
    >>> bool(np.allclose(encoder.encode(texts), target, atol=1e-5))
    True
    """

    # float32 buffers of the translation's arrays; the artefact holds them, not state_dict
    matrix: Any
    bias: Any
    mean: Any
    anchors: Any
    coefficients: Any

    def __init__(self, translation: Translation) -> None:
        super().__init__()
        if not isinstance(translation, Translation):
            raise TypeError(
                f"translation is {type(translation).__name__}; expected a fitted "
                "relatum.Translation"
            )
        check_is_fitted(translation)
        self.translation = translation
        fitted, kernel = translation.forward_, translation.forward_.kernel
        self._hold("matrix", fitted.matrix)
        self._hold("bias", fitted.bias)
        self._hold("mean", fitted.mean)
        self._hold("anchors", None if kernel is None else kernel.anchors)
        self._hold("coefficients", None if kernel is None else kernel.coefficients)

    def _hold(self, name: str, array: Any) -> None:
        values = None if array is None else torch.tensor(array, dtype=torch.float32)
        self.register_buffer(name, values, persistent=False)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Replace ``sentence_embedding`` (n_texts, n_features_x) by its translation."""
        X = features["sentence_embedding"]
        self._check_width(X.shape[1])
        kernel = None if self.anchors is None else KernelPart(self.anchors, self.coefficients)
        fitted = TranslationMap(self.matrix, self.bias, self.mean, kernel)
        Y = translate(_array.astype(X, _array.float_dtype(X)), fitted)
        features["sentence_embedding"] = Y.to(X.dtype)
        return features

    def on_model_ready(self, model: Any) -> None:
        """Refuse an encoder of another width; sentence-transformers calls this."""
        modules = list(model)
        if self not in modules:  # on a Router's route, where the forward pass checks
            return
        for module in reversed(modules[: modules.index(self)]):
            if hasattr(module, "get_embedding_dimension"):
                width = module.get_embedding_dimension()
                if width is not None:  # None: a module that cannot say it
                    self._check_width(width)
                return

    def _check_width(self, width: int) -> None:
        if width != self.translation.n_features_in_:
            raise ValueError(
                f"the encoder gives {width} features; this translation was fitted on "
                f"{self.translation.n_features_in_}"
            )

    def get_embedding_dimension(self) -> int:
        """Return the width of the target's space."""
        return int(self.translation.n_features_out_)

    def get_config_dict(self) -> dict[str, Any]:
        """Return what ``repr`` shows."""
        return {
            "method": self.translation.method_,
            "in_features": self.translation.n_features_in_,
            "out_features": self.translation.n_features_out_,
        }

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write the translation's artefact into the module's folder."""
        artifact.save(self.translation, Path(output_path, FILE))

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        init_defaults: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Read what :meth:`save` wrote, from a folder or from a hub.

        Raises
        ------
        FileNotFoundError, ValueError
            As in :func:`relatum.load`.
        """
        path = cls.load_file_path(
            model_name_or_path, FILE, subfolder, token, cache_folder, revision, local_files_only
        )
        if path is None:
            raise FileNotFoundError(f"{Path(model_name_or_path, subfolder)} has no {FILE}")
        return cls(artifact.load(path))


def to_dense(translation: Translation) -> Dense:
    """Return an affine translation as sentence-transformers' own ``Dense``, in float32.

    A model that ends in it loads where relatum is not installed, and without
    ``trust_remote_code``. Its matrix and bias are weights, which training changes.

    Raises
    ------
    ValueError
        The translation is not affine.

    Examples
    --------
    >>> import numpy as np, relatum, torch
    >>> from relatum.sentence_transformers_module import to_dense
    >>> X = np.random.default_rng(0).normal(size=(40, 8))
    >>> dense = to_dense(relatum.Translation("procrustes").fit(X, X[:, ::-1]))
    >>> dense({"sentence_embedding": torch.zeros(1, 8)})["sentence_embedding"].shape
    torch.Size([1, 8])
    """
    matrix, bias = translation.as_affine()
    return Dense(
        len(matrix),
        len(bias),
        activation_function=torch.nn.Identity(),
        init_weight=torch.tensor(matrix.T, dtype=torch.float32),
        init_bias=torch.tensor(bias, dtype=torch.float32),
    )
