"""How the dashboard is shown: facts as a table, curves and bars drawn with Plotly, one page that needs no network."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

Traces = list[tuple[str, Any, Any]]  # label, x, y

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1200px; padding: 1em; color: #222; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin-top: 1.6em; }
table { border-collapse: collapse; } td, th { padding: .2em .8em .2em 0; text-align: left; }
.panels > div { min-width: 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 8px; }
"""


def page(title: str, sections: Sequence[str]) -> str:
    """A whole page of sections, with Plotly in it."""
    from plotly.offline import get_plotlyjs

    body = "\n".join(sections)
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style><script>{get_plotlyjs()}</script></head>"
        f"<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>"
    )


def facts_table(facts: dict[str, Any]) -> str:
    """Names and values as a table; what is not known is left out."""
    rows = ""
    for name, value in facts.items():
        if value is not None:
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            rows += f"<tr><th>{html.escape(name)}</th><td>{html.escape(shown)}</td></tr>"
    return f"<table>{rows}</table>"


def panels(title: str, panels: Sequence[tuple[str, str, Traces]]) -> str:
    """Pictures side by side under a title; a picture is its title, its axis and its traces."""
    figures = "\n".join(_figure(*panel) for panel in panels if panel[2])
    return f"<h2>{html.escape(title)}</h2><div class='panels'>{figures}</div>"


def _figure(title: str, axis: str, traces: Traces) -> str:
    import plotly.graph_objects as go

    figure = go.Figure()
    for label, x, y in traces:
        x, y = np.asarray(x).tolist(), np.asarray(y).tolist()
        if axis == "bar":
            figure.add_trace(go.Bar(name=label, x=x, y=y))
        elif "mark" in axis:
            figure.add_trace(go.Scatter(name=label, x=x, y=y, mode="markers"))
        else:
            figure.add_trace(go.Scatter(name=label, x=x, y=y, mode="lines"))
    figure.update_layout(
        title=title,
        template="plotly_white",
        height=340,
        margin={"l": 50, "r": 20, "t": 50, "b": 45},
        xaxis_title=None if axis == "bar" else axis,
        showlegend=len(traces) > 1 and axis != "bar",
    )
    options = {"displayModeBar": False, "responsive": True}
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=options))
