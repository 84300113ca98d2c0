"""What all our pages look like: system fonts, two colour schemes, tables that scroll."""

from __future__ import annotations

from typing import Final

LOOK: Final = """\
:root {
  --ground: #ffffff; --text: #1f2328; --soft: #57606a; --line: #d0d7de; --panel: #f6f8fa;
  --link: #0550ae; --good: #1a7f37; --some: #9a6700; --bad: #cf222e; --hatch: #b1bac4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0d1117; --text: #e6edf3; --soft: #9da7b3; --line: #30363d; --panel: #161b22;
    --link: #79c0ff; --good: #3fb950; --some: #d29922; --bad: #ff7b72; --hatch: #484f58;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 76rem; background: var(--ground);
  color: var(--text); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 0.75rem; }
h2 {
  font-size: 1.25rem; margin: 2.5rem 0 0.75rem; padding-top: 0.75rem;
  border-top: 1px solid var(--line); overflow-wrap: anywhere;
}
a { color: var(--link); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1rem; margin: 0 0 1rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 1rem 0; position: relative; }
.scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
table { border-collapse: collapse; font-size: 0.9rem; width: 100%; }
caption { text-align: left; font-weight: 600; padding: 0 0 0.35rem; }
th, td { text-align: left; vertical-align: top; padding: 0.35rem 0.5rem; }
th { font-weight: 600; }
thead th { background: var(--panel); border-bottom: 1px solid var(--line); vertical-align: bottom; }
@media (min-width: 48rem) { tbody th { white-space: nowrap; } }
tbody th, tbody td { border-bottom: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
code { font: 0.85em ui-monospace, SFMono-Regular, Menlo, monospace; overflow-wrap: anywhere; }
time span { white-space: nowrap; }
strong.good { color: var(--good); }
strong.unsure { color: var(--some); }
strong.bad { color: var(--bad); }
summary { cursor: pointer; font-weight: 600; }
"""
