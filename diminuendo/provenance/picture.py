"""The ancestry as a picture: a Mermaid graph, and a self-contained page."""

from __future__ import annotations

from pathlib import Path

from diminuendo.core.files import write_text
from diminuendo.core.plain_text import one_line
from diminuendo.provenance.branches import SHORT, Branch, branches_of
from diminuendo.provenance.descent import Model
from diminuendo.provenance.trace import Trace

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Ancestry of {{ tree.title }}</title><style>
body { font: 14px/1.45 system-ui, sans-serif; color: #1c2733; margin: 2rem; max-width: 70rem; }
ul { list-style: none; padding-left: 1.4rem; border-left: 1px solid #c9d3dd; margin: .3rem 0 .3rem .6rem; }
body > ul { border: 0; padding: 0; margin: 0; }
details > summary { cursor: pointer; }
.name { font-weight: 600; } .kind { color: #fff; border-radius: 3px; padding: 0 .4em; font-size: 12px; }
.model { background: #2b6cb0; } .checkpoint { background: #6b46c1; }
.corpus { background: #2f855a; } .raw { background: #975a16; }
code { font: 12px ui-monospace, monospace; } table { border-collapse: collapse; margin: .2rem 0 .2rem 1.4rem; }
td { padding: 0 .8rem 0 0; vertical-align: top; } td:first-child { color: #5a6b7b; white-space: nowrap; }
td:last-child { overflow-wrap: anywhere; }
</style></head><body><h1>Ancestry of {{ tree.title.split()[0] }}</h1>
{%- macro show(branch) %}
<li><details{{ "" if branch.seen else " open" }}><summary><span class="kind {{ branch.kind }}">{{ branch.kind }}</span>
{% if branch.kind == "model" %}<span class="name">{{ branch.title.split("  ")[0] }}</span>{% endif %}
{% for part in branch.title.split("  ")[1:] %}<code>{{ part }}</code> {% endfor -%}
{{ "(see above)" if branch.seen }}</summary>
{%- if branch.facts %}<table>{% for label, text in branch.facts %}
<tr><td>{{ label }}</td><td><code>{{ text }}</code></td></tr>{% endfor %}</table>{% endif %}
{%- if branch.children %}<ul>{% for child in branch.children %}{{ show(child) }}{% endfor %}</ul>{% endif %}
</details></li>
{%- endmacro %}
<ul>{{ show(tree) }}</ul>
{% for note in notes %}<p>{{ note }}</p>{% endfor %}</body></html>
"""


def mermaid(model: Model) -> str:
    """A flowchart (https://mermaid.js.org) from the raw data to the model; arrows point to what was made."""
    lines = ["flowchart LR"]
    arrows = []
    for corpus in model.corpora():
        node = f"c{corpus.digest[:SHORT]}"
        lines.append(f'  {node}[("corpus<br/>{corpus.digest[:SHORT]}")]')
        if corpus.raw:
            lines.append(f'  r{corpus.raw[:SHORT]}[/"raw data<br/>{corpus.raw[:SHORT]}"/]')
            arrows.append(f"  r{corpus.raw[:SHORT]} -->|prepare| {node}")
    for made in model.chain():
        node = f"m{made.digest[:SHORT]}"
        lines.append(f'  {node}["{_label(made.name)}<br/>{made.digest[:SHORT]}"]')
        for index, parent in enumerate(made.parents):
            label = _label(made.stage) if index == 0 else "teaches"
            arrows.append(f"  m{parent.digest[:SHORT]} -->|{label}| {node}")
        if (begun := made.checkpoint) is not None:
            name = _label(begun.source)
            lines.append(f'  p{begun.digest[:SHORT]}{{{{"{name}<br/>{begun.digest[:SHORT]}"}}}}')
            arrows.append(f"  p{begun.digest[:SHORT]} -->|{_label(made.stage)}| {node}")
        if made.corpus and not made.parents:
            arrows.append(f"  c{made.corpus.digest[:SHORT]} -->|{_label(made.stage)}| {node}")
        elif made.corpus:
            arrows.append(f"  c{made.corpus.digest[:SHORT]} -.-> {node}")
    return "\n".join([*lines, *arrows]) + "\n"


def _label(text: str) -> str:
    """A name inside a node or an arrow; Mermaid reads ``#60;`` as a character."""
    return "".join(f"#{ord(c)};" if c in '"<>|#;{}[]()&' else c for c in one_line(text))


def page(tree: Branch, notes: tuple[str, ...] = ()) -> str:
    """The tree as HTML that folds without scripts."""
    from jinja2 import Environment

    return Environment(autoescape=True).from_string(_PAGE).render(tree=tree, notes=notes)


def write_pictures(model: Model, folder: Path) -> list[Path]:
    """``ancestry.mmd`` and ``ancestry.html`` from the record in the file, for the run that makes it."""
    graph, html = folder / "ancestry.mmd", folder / "ancestry.html"
    write_text(graph, mermaid(model))
    write_text(html, page(branches_of(Trace(model, {}, {}, frozenset(), ()))))
    return [graph, html]
