#include "orchestrator/pipeline/html_report.h"

namespace apr::pipeline {

const std::string_view kReportStyle = R"(
:root{--bg:#f6f7f9;--card:#fff;--ink:#1b2330;--soft:#5b6676;--line:#dfe4ea;--good:#16803c;--goodbg:#e3f5e9;
--bad:#c0262d;--badbg:#fde8e8;--warn:#9a6200;--warnbg:#fdf0d5;--calm:#2c5fb8;--calmbg:#e5edfb;--mute:#7a8494;
--mutebg:#eceff3;--code:#f1f3f6;--shade:#1b233033}
@media(prefers-color-scheme:dark){:root{--bg:#12161c;--card:#1a2029;--ink:#e6eaf0;--soft:#9aa6b6;--line:#2b3441;
--good:#5fd08a;--goodbg:#17331f;--bad:#ff8a8a;--badbg:#3d1d20;--warn:#f0bd5f;--warnbg:#372b12;--calm:#8db4ff;
--calmbg:#1b2a48;--mute:#8d98a8;--mutebg:#262e39;--code:#232b36;--shade:#000000a0}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"DejaVu Sans",sans-serif}
main{max-width:1040px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:26px;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:18px;margin:36px 0 12px}
h3{font-size:15px;margin:0}
p{margin:4px 0}
.soft{color:var(--soft)}
.small{font-size:13px}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin-top:20px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:12px 14px}
.tile b{display:block;font-size:21px;line-height:1.25;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}
.badge{display:inline-block;border-radius:99px;padding:1px 10px;font-size:13px;font-weight:600;white-space:nowrap}
.good{color:var(--good);background:var(--goodbg)}.bad{color:var(--bad);background:var(--badbg)}
.warn{color:var(--warn);background:var(--warnbg)}.calm{color:var(--calm);background:var(--calmbg)}
.mute{color:var(--mute);background:var(--mutebg)}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
.chart{overflow-x:auto;margin-top:12px}
.scroll,.chart{background:linear-gradient(90deg,var(--card) 40%,transparent) 0/36px 100% no-repeat local,
linear-gradient(270deg,var(--card) 40%,transparent) 100%/36px 100% no-repeat local,
linear-gradient(90deg,var(--shade),transparent) 0/14px 100% no-repeat scroll,
linear-gradient(270deg,var(--shade),transparent) 100%/14px 100% no-repeat scroll,var(--card)}
.gates td:first-child{width:1%}.gates td:nth-child(2){width:24%}
.graph svg,.chart svg{display:block;margin:0 auto;height:auto;max-width:100%}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:7px 10px;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600;font-size:13px;white-space:nowrap}
tr:last-child td{border-bottom:0}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
th.num{text-align:right}
.best{font-weight:700;color:var(--good)}
code,pre,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:12.5px}
pre{background:var(--code);border-radius:8px;padding:10px 12px;margin:8px 0 0;overflow-x:auto;white-space:pre-wrap;
overflow-wrap:anywhere;max-height:420px;overflow-y:auto}
.hash{overflow-wrap:anywhere}
details.stage{background:var(--card);border:1px solid var(--line);border-radius:12px;margin:0 0 10px;padding:0}
details.stage>summary{list-style:none;cursor:pointer;padding:12px 16px;display:flex;flex-wrap:wrap;gap:4px 12px;
align-items:center}
details.stage>summary::-webkit-details-marker{display:none}
details.stage>summary::after{content:"▾";color:var(--mute);margin-left:auto}
details.stage[open]>summary::after{content:"▴"}
details.stage>div{padding:0 16px 14px}
summary h3{overflow-wrap:anywhere}
.gate{border-left:3px solid var(--good);padding:2px 0 2px 12px;margin:10px 0;overflow-wrap:anywhere}
.gate.no{border-color:var(--bad)}
.gate details{margin-top:2px}
.gate summary,.more>summary{cursor:pointer;color:var(--soft);font-size:13px}
.error{background:var(--badbg);color:var(--bad);border-radius:8px;padding:10px 12px;margin:8px 0;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 14px;margin:8px 0;font-size:14px}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.bar{display:block;height:8px;border-radius:4px;background:var(--mutebg);overflow:hidden;min-width:80px;margin-top:6px}
.bar i{display:block;height:100%;background:var(--calm);border-radius:4px}
.time{position:relative;height:10px;background:var(--mutebg);border-radius:5px;min-width:120px;margin-top:6px}
.time i{position:absolute;top:0;height:100%;border-radius:5px;background:var(--calm);min-width:3px}
footer{margin-top:40px;color:var(--soft);font-size:13px}
@media(max-width:560px){main{padding:16px 12px 48px}h1{font-size:22px}.card{padding:12px}th,td{padding:6px 6px}
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:6px}.tiles{grid-template-columns:1fr 1fr;gap:8px}
.tile b{font-size:18px}.graph{padding:8px}.chart svg{min-width:440px}}
@media print{body{background:#fff}details.stage{break-inside:avoid}}
)";

}  // namespace apr::pipeline
