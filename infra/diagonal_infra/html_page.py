"""A page that needs nothing else: no fonts, scripts or pictures from outside, light and dark."""

from html import escape

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Forbids any request, whatever a caption or a label from a stranger's page holds."""

CSS = """
:root { color-scheme: light dark; --bg: #f6f6f3; --card: #fff; --ink: #1c1d22; --muted: #676a73;
  --line: #e1e1dc; --accent: #7a3b8f; --grey: #b9bac2; --good: #1e7f4f; --bad: #b3362b; }
@media (prefers-color-scheme: dark) { :root { --bg: #131318; --card: #1c1c23; --ink: #ececf1;
  --muted: #9b9daa; --line: #31323c; --accent: #c185d6; --grey: #5b5d69; --good: #5fc795;
  --bad: #f08b80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 40px 22px 80px; }
h1 { font-size: 30px; letter-spacing: -.02em; margin: 0 0 4px; }
h2 { font-size: 19px; letter-spacing: -.01em; margin: 0 0 6px; }
h3 { font-size: 14px; margin: 20px 0 6px; color: var(--muted); font-weight: 600; }
p { margin: 0 0 14px; max-width: 76ch; }
.lead, .note, figcaption { color: var(--muted); }
.note, figcaption { font-size: 13px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 24px 26px; margin: 20px 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 14px;
  margin: 24px 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 16px 18px; }
.tile b { display: block; font-size: 30px; letter-spacing: -.02em; line-height: 1.2;
  font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: 13px; color: var(--muted); }
.tile .what { color: var(--ink); font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 10px; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { font-size: 12.5px; color: var(--muted); font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
tr.strong td { font-weight: 650; }
tr.reference td { color: var(--muted); }
td small { color: var(--muted); font-weight: 400; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(124px, 1fr)); gap: 12px; }
.sheet figure { margin: 0; padding: 8px; border: 1px solid var(--line); border-radius: 8px;
  overflow-wrap: anywhere; }
.sheet img { width: 100%; aspect-ratio: 1; object-fit: contain; background: #fff; display: block;
  border-radius: 5px; }
.sheet figcaption { margin-top: 7px; font-size: 12.5px; line-height: 1.35; color: var(--ink); }
.sheet small { display: block; color: var(--muted); }
.sheet ol { margin: 4px 0 0; padding-left: 18px; color: var(--muted); }
.sheet .hit { color: var(--good); font-weight: 600; }
.sheet figure.right { border-color: var(--good); }
.sheet figure.wrong { border-color: var(--bad); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 24px; }
.pair figure { margin: 0; }
.pair img { width: 100%; image-rendering: pixelated; border-radius: 4px; display: block; }
.scale { display: flex; align-items: center; gap: 10px; margin-top: 14px; font-size: 13px;
  color: var(--muted); }
.scale img { width: 260px; height: 12px; border-radius: 3px; }
svg.chart { max-width: 100%; height: auto; display: block; }
svg text { font: 12.5px system-ui, sans-serif; fill: var(--ink); }
svg .tick { fill: var(--muted); font-size: 11.5px; }
svg .bar { fill: var(--accent); }
svg .muted { fill: var(--grey); }
svg .whisker { stroke: var(--ink); stroke-width: 1.2; fill: none; }
svg .axis, svg .grid { stroke: var(--line); }
svg polyline { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; }
svg polyline.raw { stroke-width: 1; opacity: .35; }
.c0 { --accent: #7a3b8f; } .c1 { --accent: #c2561a; } .c2 { --accent: #1e7f4f; }
.c3 { --accent: #2563b8; } .c4 { --accent: #b3362b; } .c5 { --accent: #8a7a10; }
.c6 { --accent: #0f8a94; } .c7 { --accent: #c2408c; }
@media (prefers-color-scheme: dark) { .c0 { --accent: #c185d6; } .c1 { --accent: #f0965a; }
  .c2 { --accent: #5fc795; } .c3 { --accent: #79aef2; } .c4 { --accent: #f08b80; }
  .c5 { --accent: #d3c254; } .c6 { --accent: #58ccd6; } .c7 { --accent: #f08cc4; } }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 14px; font-size: 13px; }
.legend span::before { content: ""; display: inline-block; width: 18px; height: 3px;
  margin: 0 7px 4px 0; background: var(--accent); }
pre { margin: 0; overflow-x: auto; font: 12.5px/1.5 ui-monospace, Menlo, Consolas, monospace; }
"""


def html_page(title: str, body: str) -> str:
    """A whole page around a body, which is HTML already; the title is escaped here."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )
