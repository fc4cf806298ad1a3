"""What MkDocs fills in while it builds the pages: the recipes, from `tfdarts.recipes`."""

import pathlib
import sys

ROOT = str(pathlib.Path(__file__).parent.parent)
MARK = "<!-- recipes -->"


def on_page_markdown(markdown, page, **_):
    """Puts every recipe in the place of the mark on the page of recipes."""
    return markdown.replace(MARK, recipes()) if page.file.src_uri == "recipes.md" else markdown


def recipes():
    """All recipes as Markdown: what each is for, and what it changes."""
    if ROOT not in sys.path:
        sys.path.append(ROOT)  # the program `mkdocs` does not look there
    from tfdarts.recipes import RECIPES

    return "\n\n".join(_recipe(each) for each in RECIPES.values())


def _recipe(recipe):
    base = f"a difference from [`{recipe.base}`](#{recipe.base})" if recipe.base else "the defaults of its space"
    lines = [f"## `{recipe.name}` {{: #{recipe.name} }}", "", recipe.doc, ""]
    lines += [f"Space `{recipe.space}`, for {' and '.join(recipe.stages)}; {base}."]
    for stage in recipe.stages:
        changes = recipe.changes.get(stage) or {} if recipe.base else getattr(recipe, stage)
        if changes:
            lines += ["", f"| {stage} | |", "|---|---|"]
            lines += [f"| `--{name}` | `{value}` |" for name, value in changes.items()]
    return "\n".join(lines)
