"""Sphinx settings. The tables of similarities and measures are made from the library."""

from __future__ import annotations

import sys
from pathlib import Path

import relatum

sys.path.insert(0, str(Path(__file__).parent))
import tables

project = "relatum"
author = "relatum maintainers"
release = version = relatum.__version__
html_title = f"relatum {release}"
copyright = "2026, relatum maintainers"

# No intersphinx: building the docs needs no network.
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath", "substitution"]
myst_heading_anchors = 3
smartquotes = False  # `--anchors` stays as it is typed
myst_substitutions = {
    "similarities": tables.similarities(),
    "invariances": tables.invariances(),
    "translations": tables.translations(),
    "transformations": tables.transformations(),
    "measures": tables.measures(),
    "names": tables.names(),
}

autodoc_typehints = "none"  # the docstrings say shapes, which types do not
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

html_theme = "furo"
html_static_path = ["_static"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def skip_member(app, what, name, member, skip, options):
    """Leave out the methods that scikit-learn adds to every estimator for metadata routing."""
    return True if name.startswith("set_") and name.endswith("_request") else skip


def setup(app):
    app.connect("autodoc-skip-member", skip_member)


# A word such as n_rows in the type of a parameter is no reference, but is taken for one.
suppress_warnings = ["ref.python"]
