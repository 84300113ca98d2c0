"""The style of a report's page: what all pages share, charts, paper."""

from __future__ import annotations

from typing import Final

from monitor.look import LOOK

STYLE: Final = (
    LOOK
    + """\
section[aria-labelledby="method"] dl { display: block; }
section[aria-labelledby="method"] dt { color: var(--text); font-weight: 600; margin-top: 0.5rem; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; list-style: none; padding: 0; }
figure { margin: 1.25rem 0; }
figcaption { font-size: 0.9rem; margin-bottom: 0.4rem; }
svg { display: block; width: 100%; }
svg.defs { position: absolute; width: 0; height: 0; }
svg.strip { height: 36px; }
svg.latency { height: 120px; border-bottom: 1px solid var(--line); }
svg.incidents { height: 20px; background: var(--panel); }
.hatch-ground { fill: var(--panel); }
.hatch-line { fill: var(--hatch); }
rect.good { fill: var(--good); }
rect.some { fill: var(--some); }
rect.bad { fill: var(--bad); }
rect.ours { fill: var(--soft); }
rect.unmeasured { fill: url(#hatch); }
polyline, line { fill: none; vector-effect: non-scaling-stroke; }
polyline.p95 { stroke: var(--link); stroke-width: 1.5; }
line.point { stroke: var(--link); stroke-width: 6; stroke-linecap: round; }
line.failure { stroke: var(--bad); stroke-width: 3; }
line.limit { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 6 4; }
.axis, .scale { margin: 0.2rem 0 0; font-size: 0.8rem; color: var(--soft); }
.axis { display: flex; justify-content: space-between; }
.legend {
  display: flex; flex-wrap: wrap; gap: 0.1rem 1.1rem; margin: 0.3rem 0 0; padding: 0;
  list-style: none; font-size: 0.8rem; color: var(--soft);
}
.key { display: inline-block; width: 0.8rem; height: 0.8rem; margin-right: 0.4rem; vertical-align: -0.1rem; }
.key.good { background: var(--good); }
.key.some { background: var(--some); }
.key.bad { background: var(--bad); }
.key.ours { background: var(--soft); }
.key.unmeasured {
  background: repeating-linear-gradient(45deg, var(--hatch) 0 2px, var(--panel) 2px 6px);
}
.key.point { background: var(--link); border-radius: 50%; }
.key.failure { background: var(--bad); width: 0.2rem; }
.key.limit { height: 0; border-top: 2px dashed var(--soft); vertical-align: 0.25rem; }
@media print {
  :root {
    --ground: #ffffff; --text: #000000; --soft: #333333; --line: #999999; --panel: #eeeeee;
    --link: #0550ae; --good: #1a7f37; --some: #9a6700; --bad: #cf222e; --hatch: #999999;
  }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  table { font-size: 8pt; }
  th, td { padding: 0.15rem 0.35rem; }
  nav { display: none; }
  .scroll { overflow: visible; }
  thead th { white-space: normal; }
  figure, tr { break-inside: avoid; }
  h2, caption { break-after: avoid; }
  details::details-content { content-visibility: visible; height: auto; }
}
"""
)
