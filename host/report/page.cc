#include "report/page.h"

#include "report/format.h"

namespace tenure {
namespace {

constexpr std::string_view style = R"css(
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b2430;--soft:#5c6877;--line:#e1e5ea;--accent:#2463c9;
--good:#177a4b;--good-bg:#def3e7;--bad:#b3261e;--bad-bg:#fbe4e2;--warn:#8a5a00;--warn-bg:#fcefd2;--heat:#2a78d6;
--s0:#2466cc;--s1:#d1571c;--s2:#1c8a5f;--s3:#a53d96;--s4:#8c6a00;--s5:#0f8797;--s6:#c22f4e;--s7:#6650cc}
@media (prefers-color-scheme:dark){:root{--bg:#12161c;--card:#1b212a;--ink:#e6eaf0;--soft:#98a4b3;--line:#2d3541;--accent:#7fb0ff;
--good:#6ed6a0;--good-bg:#143626;--bad:#ff9a91;--bad-bg:#43201d;--warn:#f0c060;--warn-bg:#3b2d10;--heat:#3a7bd0;
--s0:#6ea8ff;--s1:#ff9356;--s2:#52cc98;--s3:#e387d6;--s4:#d9b33c;--s5:#45c8d8;--s6:#ff7d95;--s7:#a797ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:1240px;margin:0 auto;padding:28px 24px 64px}
h1{font-size:26px;line-height:1.2;margin:0;overflow-wrap:anywhere}h2{font-size:18px;margin:36px 0 12px}
small{color:var(--soft);font-size:12.5px;font-weight:400}
header .kind{color:var(--soft);letter-spacing:.04em;text-transform:uppercase;font-size:12px;margin:0 0 4px}
.headline{display:flex;flex-wrap:wrap;gap:12px;align-items:center}
.headline h2{margin:0}section{margin-top:30px}
.pill{display:inline-block;padding:2px 11px;border-radius:99px;font-weight:600;font-size:13px;white-space:nowrap}
.good{color:var(--good);background:var(--good-bg)}.bad{color:var(--bad)}.pill.bad{background:var(--bad-bg)}.warn{color:var(--warn);background:var(--warn-bg)}
.reasons{margin:12px 0 0;padding:10px 16px 10px 32px;border-radius:10px}.reasons.bad{background:var(--bad-bg)}
.chips{display:flex;flex-wrap:wrap;gap:8px;margin:18px 0 0;padding:0;list-style:none}
.chips li{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:7px 14px;max-width:100%}
.chips span{display:block;color:var(--soft);font-size:12px}.chips b{font-weight:600;overflow-wrap:anywhere}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;margin:0;padding:16px}
.wide{overflow-x:auto;margin-bottom:16px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:16px}
figcaption{font-weight:600;margin-bottom:8px;display:flex;gap:10px;align-items:baseline;flex-wrap:wrap}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:8px 12px;border-bottom:1px solid var(--line);vertical-align:top}
thead th{color:var(--soft);font-size:12.5px;font-weight:600;vertical-align:bottom;line-height:1.25}
tbody tr:last-child>*{border-bottom:0}tbody th{font-weight:400;white-space:nowrap}
.sortable thead th{cursor:pointer}.sortable thead th:hover{color:var(--accent)}
th[aria-sort=ascending]:after{content:" ↑"}th[aria-sort=descending]:after{content:" ↓"}
.n{text-align:right;white-space:nowrap}thead th.n{white-space:normal;min-width:72px}.sortable td:not(.n):not(.free){white-space:nowrap}.none{color:var(--soft);text-align:right}
.sortable tbody tr:hover{background:color-mix(in srgb,var(--accent) 6%,transparent)}
.meter{display:block;height:4px;border-radius:2px;background:var(--line);margin-top:4px;min-width:72px}
.meter i{display:block;height:100%;border-radius:2px;background:var(--accent);max-width:100%}
.swatch{display:inline-block;width:10px;height:10px;border-radius:3px;background:var(--c);margin-right:8px}
.heatmap caption{text-align:left;font-weight:600;padding-bottom:8px}
.heat{text-align:right;background:color-mix(in srgb,var(--heat) calc(var(--h)*.62),transparent);border-left:2px solid var(--card)}
.bars{list-style:none;margin:0;padding:0;display:grid;gap:10px}
.bars li{display:grid;grid-template-columns:minmax(110px,34%) 1fr 92px;gap:12px;align-items:center}
.bars span{overflow-wrap:anywhere;line-height:1.25}.bars i{background:var(--line);border-radius:4px;height:14px}
.bars b{display:block;background:var(--c);border-radius:4px;height:100%}.bars em{font-style:normal;text-align:right;font-variant-numeric:tabular-nums}
svg{display:block;width:100%;height:auto}
.grid{stroke:var(--line)}.tick,.axis{fill:var(--soft);font-size:12px}
.line{fill:none;stroke:var(--c);stroke-width:2.2;stroke-linejoin:round}.dot{fill:var(--card);stroke:var(--c);stroke-width:2.2}
.ci{stroke:var(--c);stroke-width:1.4;opacity:.45}.dot:hover{fill:var(--c)}
.faded{opacity:.14}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 16px;margin:10px 0 0;padding:0;font-size:13px}
.legend li{cursor:default}.legend i{display:inline-block;width:18px;border-top:3px solid var(--c);vertical-align:middle;margin-right:7px}.legend i.dashed{border-top-style:dashed}
#tip{position:fixed;z-index:9;pointer-events:none;background:var(--ink);color:var(--bg);border-radius:8px;padding:6px 10px;font-size:13px;white-space:pre-line;max-width:340px}
#tip[hidden]{display:none}
details summary{cursor:pointer;color:var(--accent)}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:8px 0 0;font-size:12.5px}
code{font-size:13px}.facts th{color:var(--soft);font-size:13px}.facts td{overflow-wrap:anywhere;font-size:13px}
footer{margin-top:40px;color:var(--soft);font-size:13px}
@media print{:root{color-scheme:light;--bg:#fff}body{font-size:12px}main{max-width:none;padding:0}.card{break-inside:avoid;overflow:visible}.charts{grid-template-columns:1fr 1fr}#tip{display:none}}
)css";

constexpr std::string_view script = R"js(
(function () {
  var tip = document.getElementById('tip');
  document.querySelectorAll('.dot').forEach(function (dot) {
    dot.addEventListener('mousemove', function (e) {
      tip.textContent = dot.dataset.tip;
      tip.hidden = false;
      tip.style.left = Math.min(e.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';
      tip.style.top = Math.max(8, e.clientY - tip.offsetHeight - 10) + 'px';
    });
    dot.addEventListener('mouseleave', function () { tip.hidden = true; });
  });
  document.querySelectorAll('.legend li').forEach(function (entry) {
    function only(on) {
      entry.closest('figure').querySelectorAll('.series').forEach(function (series) {
        series.classList.toggle('faded', on && series.dataset.s !== entry.dataset.s);
      });
    }
    ['mouseenter', 'focus'].forEach(function (name) { entry.addEventListener(name, function () { only(true); }); });
    ['mouseleave', 'blur'].forEach(function (name) { entry.addEventListener(name, function () { only(false); }); });
  });
  document.querySelectorAll('table.sortable').forEach(function (table) {
    var heads = Array.from(table.tHead.rows[0].cells), body = table.tBodies[0];
    heads.forEach(function (head, column) {
      function sort() {
        var up = head.getAttribute('aria-sort') !== 'ascending';
        heads.forEach(function (h) { h.removeAttribute('aria-sort'); });
        head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
        function key(row) {
          var cell = row.cells[column], v = cell.dataset.v;
          return v === undefined ? cell.textContent : v === '' ? -Infinity : Number(v);
        }
        Array.from(body.rows).sort(function (a, b) {
          var x = key(a), y = key(b);
          var order = typeof x === 'string' ? x.localeCompare(y, undefined, { numeric: true }) : x < y ? -1 : x > y ? 1 : 0;
          return up ? order : -order;
        }).forEach(function (row) { body.appendChild(row); });
      }
      head.addEventListener('click', sort);
      head.addEventListener('keydown', function (e) { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); sort(); } });
    });
  });
})();
)js";

}  // namespace

std::string html_page(std::string_view title, std::string_view body) {
  std::string page = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  page += "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n";
  // A prompt that slipped through escaping could still load and send nothing.
  page +=
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "script-src "
      "'unsafe-inline'\">\n<title>";
  page += escape_html(title);
  page += "</title>\n<style>";
  page += style;
  page += "</style>\n</head>\n<body>\n<main>\n";
  page += body;
  page += "\n</main>\n<div id=\"tip\" hidden></div>\n<script>";
  page += script;
  page += "</script>\n</body>\n</html>\n";
  return page;
}

}  // namespace tenure
