"""How a page looks: on a wide screen, a phone and paper, light and dark. Its classes are none of the picture's."""

from __future__ import annotations

COLOURS = """:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--paper:#fff;--field:#f6f8fa;--line:#d0d7de;
--good:#116329;--wrong:#b3122a;--good-field:#e6f4ea;--wrong-field:#fdecee;--mind:#7d4e00;--mind-field:#fff6e0;
--focus:#0969da}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa6b2;--paper:#0f1318;--field:#161c23;
--line:#30363d;--good:#4ac26b;--wrong:#ff8a94;--good-field:#10261a;--wrong-field:#331419;--mind:#e3b341;
--mind-field:#2b2310;--focus:#58a6ff}}
"""

BASE = """*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","Liberation Sans",sans-serif;overflow-wrap:break-word}
td:last-child,.why p,.broken li,.digest dd{overflow-wrap:anywhere}
.top,main{max-width:96rem;margin:0 auto;padding:0 clamp(1rem,3vw,2.5rem)}
.top{padding-top:1.5rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .6rem}
h1 small,h2 small{font-weight:400;color:var(--soft)}
h2{font-size:1.15rem;margin:0 0 .6rem;line-height:1.3}
h2 small{font-size:.95rem;margin-left:.4rem}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
section{margin:2.2rem 0}
.soft-text,.place{color:var(--soft)}
.place{font-size:.9em}
.sig{display:inline-block;width:1.3em;font-weight:700;text-align:center}
.ok>.sig,.ok .sig{color:var(--good)}.bad>.sig,.bad .sig{color:var(--wrong)}.open .sig{color:var(--soft)}
.hide{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
:focus-visible{outline:3px solid var(--focus);outline-offset:2px;border-radius:4px}
table{border-collapse:collapse;width:100%}
td,th{padding:.3rem .8rem .3rem 0;text-align:left;vertical-align:top;font-weight:400}
thead th{color:var(--soft);font-size:.85rem;border-bottom:1px solid var(--line)}
.rows tbody tr{border-bottom:1px solid var(--line)}
tbody th{font-weight:600;white-space:nowrap}
pre{overflow:auto;background:var(--field);padding:.8rem;border-radius:6px;font:12.5px/1.5 ui-monospace,Menlo,Consolas,
"DejaVu Sans Mono",monospace;overflow-wrap:normal}
details{margin-top:1rem}summary{cursor:pointer}
.picture{border:1px solid var(--line);border-radius:8px;overflow:auto;background:var(--paper)}
.picture svg{display:block;max-width:100%;height:auto;margin:0 auto}
.reach-wide{overflow:auto}.reach{width:auto}
.reach td,.reach th{border:1px solid var(--line);padding:.3rem .6rem;max-width:14rem}
.reach span{display:block}.reach-differs{list-style:none;margin:.4rem 0;padding:0;color:var(--wrong)}
.reaches b{color:var(--good)}.reaches-not,.reaches-perhaps,.reaches-unknown{color:var(--soft)}
.reach .reaches-wrong{color:var(--wrong);background:var(--wrong-field);font-weight:600;outline:2px solid var(--wrong)}
.way-of{display:none}
.way-of.right circle{fill:#116329}.way-of.wrong circle{fill:#b3122a}
"""

PAGE = (
    COLOURS
    + BASE
    + """.result{display:flex;flex-wrap:wrap;gap:.2rem .6rem;align-items:baseline;margin:.4rem 0 1rem;
padding:.7rem 1rem;border-radius:8px;font-size:1.1rem;background:var(--good-field);border-left:6px solid var(--good)}
.result.bad{background:var(--wrong-field);border-color:var(--wrong)}
.warning{margin:.4rem 0;padding:.5rem 1rem;border-radius:8px;background:var(--mind-field);border-left:6px solid
var(--mind)}
.facts{display:flex;flex-wrap:wrap;gap:.3rem 2rem;margin:0;font-size:.9rem}
.facts div{display:flex;gap:.5rem}.facts dt{color:var(--soft);white-space:nowrap}.facts dd{margin:0}
.digest dd{font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.85em;align-self:center}
.broken{background:var(--wrong-field);border-left:6px solid var(--wrong);border-radius:8px;padding:.8rem 1.2rem;
margin:1.2rem 0}
.broken ul{margin:0;padding-left:1.2rem}.broken li{margin:.3rem 0}.broken a{color:inherit}
.stage{display:grid;gap:1.5rem 2rem;grid-template-columns:minmax(0,1fr)}
.look{position:relative;min-width:0}
.zoom{position:absolute;right:0;top:.1rem;font-size:.9rem;color:var(--soft)}
.zoom label{cursor:pointer}.zoom input{vertical-align:-.1em;margin:0 .25rem 0 .8rem}
body:has(#zoom-full:checked) .picture svg{max-width:none}
body:has(#zoom-twice:checked) .picture svg{max-width:none;width:calc(2*var(--wide))}
.stage.wide .look{margin-inline:calc((100% - max(100%,100vw - 4rem))/2)}
fieldset{border:0;padding:0;margin:0;min-width:0}
legend{padding:0;color:var(--soft);font-size:.9rem;margin-bottom:.4rem}
.list{list-style:none;margin:0;padding:0}
.list>li{border:1px solid var(--line);border-radius:8px;margin:.5rem 0;padding:.6rem .8rem .6rem 2.2rem;
position:relative;scroll-margin-top:50vh}
.list>li.bad{border-color:var(--wrong)}
.list>li:has(:checked){border-color:var(--focus);box-shadow:inset 0 0 0 1px var(--focus);background:var(--field)}
.list input{position:absolute;left:.8rem;top:.95rem;margin:0;width:1rem;height:1rem;accent-color:var(--focus)}
.list label{display:flex;gap:.3rem;cursor:pointer}
.list label::before{content:"";position:absolute;inset:0}
.list .whole{padding-top:.45rem;padding-bottom:.45rem}.list .whole input{top:.7rem}
.svc{font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.92em}
.state{color:var(--good);margin-left:.3rem}
.bad .state{color:var(--wrong);font-weight:600}.open .state{color:var(--soft)}
.why p{margin:.25rem 0;font-size:.93rem}
.hops{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 0;margin:.35rem 0;padding:0;font:12px/1.4 ui-monospace,
Menlo,Consolas,"DejaVu Sans Mono",monospace}
.hops li{border:1px solid var(--line);border-radius:4px;padding:0 .35rem;margin-right:1.25rem;position:relative;
background:var(--paper)}
.hops li:not(:last-child)::after{content:"→";position:absolute;right:-.95rem;color:var(--soft)}
.hops .yes-text{border-color:var(--good);color:var(--good)}
.hops .no-text{border-color:var(--wrong);color:var(--wrong)}
.ok .hops .no-text{border-color:var(--good);color:var(--good)}
.bad .hops .yes-text{border-color:var(--wrong);color:var(--wrong)}
.risk{background:var(--mind-field);color:var(--mind);border-radius:4px;
padding:0 .4rem;font-size:.9em;white-space:nowrap}
.plain td:not(:last-child){white-space:nowrap}.plain td:last-child{width:100%}
.times .num{white-space:nowrap;text-align:right;font-variant-numeric:tabular-nums}
.bar-of{display:block;height:.7rem;margin-top:.4rem;min-width:2px;border-radius:2px;background:var(--soft)}
.checks tbody th{padding-right:1.2rem}.checks tr.bad{background:var(--wrong-field)}
@media screen and (min-width:64rem){
.stage{grid-template-columns:minmax(0,1.35fr) minmax(24rem,1fr)}
.stage.wide{grid-template-columns:minmax(0,1fr)}
.look{position:sticky;top:1rem;align-self:start}.wide .look{position:relative;top:0}
.look .picture{max-height:calc(100vh - 5rem)}
.list>li{scroll-margin-top:1rem}
}
@media screen and (max-width:63.99rem){
.look{position:sticky;top:0;z-index:2;background:var(--paper);padding:.5rem 0}
.look .picture{max-height:46vh}
}
@media screen and (max-width:36rem){
.rows:not(.checks) thead{display:none}
.checks thead{display:none}
.plan .rows tr{display:grid;grid-template-columns:2rem minmax(0,1fr);padding:.3rem 0}
.plan .rows td,.plan .rows th{padding:0}.plan .rows td:last-child{grid-column:2}
.checks tbody{display:block;margin-bottom:.8rem}
.checks tr{display:grid;grid-template-columns:1.8rem minmax(0,1fr);padding:.25rem 0}
.checks tbody th{grid-column:1/3;padding:.4rem 0 .1rem}
.checks td{padding:0}.checks td:last-child{grid-column:2;color:var(--soft)}
.plain tr{display:block;padding:.3rem 0}
.plain td{display:inline;padding:0 .5rem 0 0}.plain td:first-child{font-weight:600}
.bars{display:none!important}
}
@media print{
@page{size:A4 portrait;margin:14mm}
:root{--dim:.45}
body{font-size:10pt;line-height:1.35}.top,main{padding:0;max-width:none}
.zoom,legend,.list input,.list .whole{display:none}
.stage{display:block}.picture{border:0;overflow:visible}
.picture svg{width:auto;max-width:100%;height:auto;max-height:150mm}
.list>li{padding:.3rem 0;border:0;border-top:1px solid var(--line);border-radius:0;margin:0;box-shadow:none!important;
background:none!important}
section{margin:1.2rem 0}.asks{margin-top:1.2rem}
tr,.list>li,.result,.broken,.times{break-inside:avoid}.checks td:nth-last-child(2){min-width:13em}
h2,h3{break-after:avoid}thead{display:table-header-group}
.result,.broken,.warning,.risk,.bar-of{-webkit-print-color-adjust:exact;print-color-adjust:exact}
details{display:block}details::details-content{content-visibility:visible;block-size:auto}.picture:focus-visible{outline:none}
}
"""
)
