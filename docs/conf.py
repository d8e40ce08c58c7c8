"""How Sphinx builds the documentation site: `make docs` writes it to build/site."""

from __future__ import annotations

import secateur

project = "secateur"
author = "The secateur authors"
project_copyright = "2026, the secateur authors"
version = release = secateur.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_external_toc",
    "sphinx_llm.txt",
]
exclude_patterns = ["examples", "figures"]
external_toc_path = "_toc.yml"

smartquotes = False  # --to stays two hyphens
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
# What the public surface needs only at run time; so the site builds without frameworks.
autodoc_mock_imports = ["PIL", "matplotlib", "pytest"]
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False

html_theme = "pydata_sphinx_theme"
html_title = "secateur"
html_logo = html_favicon = "_static/mark.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "secateur"},
    "navbar_end": ["version-switcher", "theme-switcher"],
    "switcher": {"json_url": "_static/switcher.json", "version_match": release},
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "show_toc_level": 1,
}
copybutton_exclude = ".linenos, .gp, .go"  # what is copied of an example is its input

llms_txt_description = (
    "Prune neural networks by one policy, with the same masks in Keras, PyTorch and Flax."
)
llms_txt_full_build = True
llms_txt_suppress_unknown_node_warnings = ["abbreviation"]  # the * of keyword-only arguments
