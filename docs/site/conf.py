"""The site of the documentation: ``make docs`` builds it, without network, into ``build/docs``.

Pages are the Markdown files of the checkout, where they stand; ``navigation.yaml`` says which
there are, in which order. Formulas become MathML and notebooks become pages while the site is
built, so that it needs no script and no font from elsewhere.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import yaml
from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment
    from sphinx.writers.html5 import HTML5Translator

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "src"))

import drpflow  # noqa: E402

NAVIGATION: list[dict[str, Any]] = yaml.safe_load((HERE / "navigation.yaml").read_text())
FOLDERS = {"docs", "benchmarks", "config", "tests"}

project = "drpflow"
author = "The drpflow developers"
version = release = drpflow.__version__
root_doc = "docs/README"
include_patterns = ["*.md", "docs/**", "benchmarks/README.md", "config/README.md"]
exclude_patterns = [p.name for p in ROOT.iterdir() if p.is_dir() and p.name not in FOLDERS]
exclude_patterns += ["docs/site"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
highlight_language = "text"
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"drpflow {version}"
html_extra_path = ["start"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"

LOGGER = logging.getLogger(__name__)


class NotebookParser(MystParser):
    """Notebooks as pages: text, code and, where they are run, what they print and draw."""

    supported = ("notebook",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Turn the notebook into Markdown, and parse that."""
        notebook = nbformat.reads(inputstring, as_version=4)
        env = document.settings.env
        if env.config.run_notebooks:
            from nbclient import NotebookClient

            NotebookClient(notebook, timeout=600, resources=_folder(env)).execute()
        super().parse("\n\n".join(map(_markdown, notebook.cells)), document)


def _folder(env: BuildEnvironment) -> dict[str, dict[str, str]]:
    """Return where notebooks run: together, as some read what others have written."""
    folder = Path(env.doctreedir) / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    return {"metadata": {"path": str(folder)}}


def _markdown(cell: nbformat.NotebookNode) -> str:
    if cell.cell_type != "code":
        return str(cell.source)
    shown = [_output(output) for output in cell.outputs]
    return "\n\n".join([f"```python\n{cell.source}\n```", *filter(None, shown)])


def _output(output: nbformat.NotebookNode) -> str:
    if output.output_type == "stream":
        return f"```text\n{output.text}```"
    data = output.get("data", {})
    if "image/png" in data:
        image = data["image/png"].replace("\n", "")
        return f'<img alt="figure" src="data:image/png;base64,{image}">'
    return f"```text\n{data['text/plain']}\n```" if "text/plain" in data else ""


def formula(writer: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers draw by themselves."""
    block = isinstance(node, nodes.math_block)
    try:
        markup = latex2mathml.tex2mathml(node.astext(), as_block=block)
    except MathError as error:
        LOGGER.warning("%s in the formula %s", error, node.astext(), location=node)
        markup = f"<code>{writer.encode(node.astext())}</code>"
    writer.body.append(f'<div class="math">{markup}</div>' if block else markup)
    raise nodes.SkipNode


def add_navigation(app: Sphinx, docname: str, source: list[str]) -> None:
    """Add its tables of contents to a page, which the repository shows without them."""
    for part in NAVIGATION:
        if docname == part.get("below", app.config.root_doc):
            options = [f":caption: {part['caption']}"] if "caption" in part else []
            pages = [f"/{page}" for page in part["pages"]]
            lines = ["```{toctree}", ":hidden:", ":glob:", *options, "", *pages, "```"]
            source[0] += "\n\n" + "\n".join(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register what is above."""
    app.add_config_value("run_notebooks", False, "env", bool)
    app.add_source_suffix(".ipynb", "notebook")
    app.add_source_parser(NotebookParser)
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
    app.connect("source-read", add_navigation)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
