// The picture: bars per process over time, drawn from the data of this page. Nothing is loaded, no text is taken for
// markup: every text goes through textContent.
(function () {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const SVG = "http://www.w3.org/2000/svg";
  const GUTTER = 118, ROW = 24, BAR = 18, SHAPES = ["ok", "failed, no effect", "outcome unknown", "event", "leads", "stands for election", "follows", "down"];
  const INSTANT = 3, LEADER = 4, CANDIDATE = 5, FOLLOWER = 6, DOWN = 7;

  function el(name, attributes, parent, text) {
    const node = document.createElement(name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.appendChild(node);
    return node;
  }
  function svg(name, attributes, parent, text) {
    const node = document.createElementNS(SVG, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.appendChild(node);
    return node;
  }
  function clear(node) { while (node.firstChild) node.removeChild(node.firstChild); }

  // --- light and dark -------------------------------------------------------------------------------------------
  const themeButton = document.getElementById("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  function theme(next) {
    if (next) root.dataset.theme = next;
    themeButton.textContent = dark() ? "light" : "dark";
    themeButton.setAttribute("aria-label", "Show this page " + (dark() ? "light" : "dark"));
  }
  const toggle = () => theme(dark() ? "light" : "dark");
  if (location.hash === "#dark" || location.hash === "#light") root.dataset.theme = location.hash.slice(1);
  themeButton.hidden = false;
  themeButton.addEventListener("click", toggle);
  theme();
  const copy = document.getElementById("copy");
  if (copy && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", () => navigator.clipboard.writeText(document.getElementById("command").textContent)
      .then(() => { copy.textContent = "copied"; }, () => { copy.textContent = "not allowed here"; }));
  }

  const host = document.getElementById("viewer");
  if (!host || !data || !data.tabs.length) return;

  // --- the data -------------------------------------------------------------------------------------------------
  const tabs = data.tabs.map((tab) => {
    const items = tab.items.map((a) => ({
      lane: a[0], start: a[1], end: a[2], shape: a[3], label: a[4], letter: a[5], place: a[6], effect: a[7],
      words: a[8], who: a[9], lines: a[10],
    }));
    const core = items.filter((item) => item.letter && item.letter !== "!").sort((a, b) => a.start - b.start || a.letter.localeCompare(b.letter));
    return Object.assign({}, tab, { items, core });
  });
  let current = 0, from = 0, to = 1, picked = null, coreAt = -1;

  // --- the parts of the page ------------------------------------------------------------------------------------
  const tabBar = el("div", { class: "tabs", role: "tablist", "aria-label": "Keys and nodes" }, host);
  const tools = el("div", { class: "tools", role: "toolbar", "aria-label": "Picture" }, host);
  const windowText = el("span", { class: "window", "aria-live": "polite" }, tools);
  el("span", { class: "grow" }, tools);
  function tool(text, title, action) {
    const button = el("button", { type: "button", title }, tools, text);
    button.addEventListener("click", action);
    return button;
  }
  const previous = tool("‹ core", "The previous operation of the counterexample (p)", () => step(-1));
  const next = tool("core ›", "The next operation of the counterexample (n)", () => step(1));
  const fitCore = tool("jump to it", "All of the counterexample (c)", () => jump());
  tool("−", "Wider (-)", () => zoom(1.6));
  tool("+", "Closer (+)", () => zoom(1 / 1.6));
  tool("all", "All that is drawn (0)", () => show(tabs[current].drawn[0], tabs[current].drawn[1]));
  tool("?", "Keys (?)", () => help.showModal());
  const search = el("input", { type: "search", placeholder: "find a key", "aria-label": "Find a key" });
  if (tabs.length + data.others.length > 8) tools.insertBefore(search, tools.firstChild);
  const minimap = svg("svg", { class: "minimap", role: "img", "aria-label": "The whole key; click to go there" }, host);
  const axis = svg("svg", { class: "axis", "aria-hidden": "true" }, host);
  const lanes = el("div", { class: "lanes", tabindex: "0", role: "application",
    "aria-label": "Operations as bars. Arrow keys move, plus and minus zoom, n and p go through the counterexample, question mark for help." }, host);
  const chart = svg("svg", {}, lanes);
  const detail = el("div", { class: "detail", "aria-live": "polite" }, host);
  const legend = el("p", { class: "legend" }, host);
  const note = el("p", { class: "hint" }, host);
  const tip = el("div", { class: "tip", hidden: "" }, document.body);
  const help = el("dialog", { class: "help", "aria-label": "Keys" }, document.body);
  el("h2", {}, help, "Keys");
  const helpTable = el("table", {}, help);
  [["← →", "move through time"], ["↑ ↓", "scroll the rows"], ["+ −", "closer, wider"], ["n p", "next and previous operation of the counterexample"],
    ["c", "all of the counterexample"], ["0", "all that is drawn"], ["[ ]", "previous and next tab"], ["/", "find a key"],
    ["t", "light or dark"], ["Esc", "let go of what is selected"], ["?", "this table"]].forEach(([keys, what]) => {
    const row = el("tr", {}, helpTable), cell = el("td", {}, row);
    keys.split(" ").forEach((key) => { el("kbd", {}, cell, key); cell.append(" "); });
    el("td", {}, row, what);
  });
  el("p", { class: "hint" }, help, "Drag to move, Ctrl and the wheel to zoom, click a bar to keep its words below the picture.");
  el("button", { type: "button", autofocus: "" }, help, "close").addEventListener("click", () => help.close());

  // --- words ----------------------------------------------------------------------------------------------------
  const trim = (value, digits) => String(Number(value.toFixed(digits)));
  function time(ns) {
    if (data.lines) return "line " + Math.round(ns);
    return trim(ns / 1e6, 3) + " ms";
  }
  function length(ns) {
    if (data.lines) return Math.round(ns) + " lines";
    return ns >= 1e9 ? trim(ns / 1e9, 2) + " s" : ns >= 1e6 ? trim(ns / 1e6, 2) + " ms" : trim(ns / 1e3, 1) + " µs";
  }
  function words(item) {
    const tab = tabs[current];
    const lines = [(item.letter === "!" ? "! no order explains this answer and everything before it: " : item.letter ? item.letter + ": " : "") + item.words];
    if (item.end === item.start) lines.push(time(item.start));
    else if (item.end === null) lines.push(time(item.start) + " to the end: it never ended");
    else lines.push(time(item.start) + " to " + time(item.end) + (data.lines ? "" : " (" + length(item.end - item.start) + ")"));
    lines.push(item.who + (item.lines ? " · " + item.lines : "") + (item.shape <= 2 ? " · " + SHAPES[item.shape] : ""));
    if (item.place) lines.push("number " + item.place + " of the order that was found");
    else if (tab.unit === "operations" && item.shape !== 1 && tab.items.some((one) => one.place)) lines.push("not in the order that was found");
    return lines.join("\n");
  }

  // --- tabs -----------------------------------------------------------------------------------------------------
  function drawTabs() {
    clear(tabBar);
    const wanted = search.value.trim().toLowerCase();
    tabs.forEach((tab, at) => {
      if (wanted && !tab.label.toLowerCase().includes(wanted)) return;
      const button = el("button", { type: "button", role: "tab", "aria-selected": String(at === current), tabindex: at === current ? "0" : "-1",
        title: tab.label + ": " + tab.total + " " + tab.unit }, tabBar, (tab.violated ? "✗ " : "") + tab.label + " ");
      if (tab.violated) button.className = "violated";
      el("small", {}, button, String(tab.total));
      button.addEventListener("click", () => select(at));
    });
    const rest = data.others.filter(([name]) => wanted && name.toLowerCase().includes(wanted)).slice(0, 20);
    rest.forEach(([name, total]) => {
      const button = el("button", { type: "button", disabled: "", title: "counted, not drawn" }, tabBar, name + " ");
      el("small", {}, button, total + ", not drawn");
    });
    if (!wanted && data.others.length) {
      el("small", {}, tabBar, " and " + (data.others.length + data.more) + " smaller keys, which are not drawn");
    }
  }
  search.addEventListener("input", drawTabs);
  search.addEventListener("keydown", (event) => {
    const first = tabBar.querySelector("button:not([disabled])");
    if (event.key === "Enter" && first) first.click();
    if (event.key === "Escape") { search.value = ""; drawTabs(); lanes.focus(); }
  });
  function select(at) {
    current = (at + tabs.length) % tabs.length;
    picked = null; coreAt = -1;
    const tab = tabs[current];
    drawTabs();
    detail.textContent = tab.reason || "Hover a bar, or click it to keep its words here.";
    note.textContent = tab.note + (tab.items.length < tab.total
      ? " Drawn are " + tab.items.length + " of " + tab.total + " " + tab.unit + (tab.core.length ? ", those nearest to what was found" : ", the first ones") + "; the strip above counts all." : "");
    for (const button of [previous, next, fitCore]) button.hidden = !tab.core.length;
    drawLegend(tab);
    jump();
  }
  function drawLegend(tab) {
    clear(legend);
    const shapes = [...new Set(tab.items.map((item) => item.shape))].sort();
    for (const shape of shapes) {
      const swatch = svg("svg", { width: 30, height: 14, style: "vertical-align:-3px;margin:0 6px 0 10px" }, legend);
      const group = svg("g", { class: "item s" + shape }, swatch);
      body(group, shape, 2, 1, 26, 12, shape === 2);
      legend.append(SHAPES[shape]);
    }
    if (tab.core.length) {
      const swatch = svg("svg", { width: 30, height: 14, style: "vertical-align:-3px;margin:0 6px 0 10px" }, legend);
      body(svg("g", { class: "item is-core s" + tab.core[0].shape }, swatch), tab.core[0].shape, 2, 1, 26, 12, false);
      legend.append("the counterexample");
    }
  }

  // --- the window -----------------------------------------------------------------------------------------------
  function jump() {
    const tab = tabs[current];
    if (!tab.core.length) {
      const wide = tab.drawn[1] - tab.drawn[0];
      const some = tab.items.length > 400 ? wide * 400 / tab.items.length : wide;
      return show(tab.drawn[0], tab.drawn[0] + some);
    }
    const ends = tab.core.flatMap((item) => [item.start, item.end === null ? item.start : item.end]);
    const low = Math.min(...ends), high = Math.max(...ends), margin = Math.max((high - low) * 0.12, data.lines ? 2 : 2e6);
    show(low - margin, high + margin);
    const rows = tab.core.map((item) => item.lane);
    lanes.scrollTop = Math.max(0, Math.min(...rows) * ROW - 60);
  }
  function show(a, b) {
    const tab = tabs[current];
    const least = data.lines ? 4 : 20000;
    if (b - a < least) { const middle = (a + b) / 2; a = middle - least / 2; b = middle + least / 2; }
    const pad = (tab.span[1] - tab.span[0]) * 0.02 + least;
    const wide = Math.min(b - a, tab.span[1] - tab.span[0] + 2 * pad);
    a = Math.max(tab.span[0] - pad, Math.min(a, tab.span[1] + pad - wide));
    from = a; to = a + wide;
    schedule();
  }
  function zoom(factor, at) {
    const middle = at === undefined ? (picked && picked.start >= from && picked.start <= to ? picked.start : (from + to) / 2) : at;
    show(middle - (middle - from) * factor, middle + (to - middle) * factor);
  }
  const move = (share) => show(from + (to - from) * share, to + (to - from) * share);
  function step(by) {
    const core = tabs[current].core;
    if (!core.length) return;
    coreAt = coreAt < 0 ? (by > 0 ? 0 : core.length - 1) : (coreAt + by + core.length) % core.length;
    pick(core[coreAt]);
    const item = core[coreAt], wide = to - from, end = item.end === null ? item.start : item.end;
    if (item.start < from + wide * 0.05 || end > to - wide * 0.05) show((item.start + end - wide) / 2, (item.start + end + wide) / 2);
    lanes.scrollTop = Math.max(0, item.lane * ROW - lanes.clientHeight / 2);
  }
  function pick(item) {
    picked = item;
    detail.textContent = item ? words(item) : tabs[current].reason;
    schedule();
  }

  // --- drawing --------------------------------------------------------------------------------------------------
  let waiting = false;
  function schedule() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }
  // One bar. Its outline tells how it ended, also without colour.
  function body(group, shape, x, y, width, height, open) {
    const right = x + width;
    if (shape === INSTANT) {
      const r = height / 2;
      svg("path", { class: "body", d: `M${x} ${y}l${r} ${r}l${-r} ${r}l${-r} ${-r}z` }, group);
    } else if (shape === FOLLOWER) {
      svg("rect", { class: "body", x, y: y + height / 2 - 1.5, width, height: 3 }, group);
    } else if (shape === DOWN) {
      svg("path", { class: "body", d: `M${x} ${y + 3}V${y + height - 3}M${x} ${y + height / 2}H${right}` }, group);
    } else if (open) {
      const tooth = Math.min(7, width);
      svg("path", { class: "body", d: `M${x} ${y}H${right - tooth}l${tooth} ${height / 3}l${-tooth} ${height / 6}l${tooth} ${height / 6}l${-tooth} ${height / 3}H${x}z` }, group);
    } else {
      svg("rect", { class: "body", x, y, width, height, rx: shape === 1 ? 0 : 3 }, group);
    }
  }
  function ticks(width) {
    const rough = (to - from) / Math.max(2, width / 130), power = Math.pow(10, Math.floor(Math.log10(rough)));
    const unit = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough) || rough;
    const found = [];
    for (let at = Math.ceil(from / unit) * unit; at <= to; at += unit) if (at >= 0) found.push(at);
    return found;
  }
  function draw() {
    const tab = tabs[current], width = Math.max(320, lanes.clientWidth), height = Math.max(1, tab.lanes.length) * ROW + 6;
    const x = (at) => GUTTER + (at - from) / (to - from) * (width - GUTTER - 8);
    clear(chart);
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("height", height);
    const hatch = svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("defs", {}, chart));
    svg("rect", { class: "hatch-ground", width: 6, height: 6 }, hatch);
    svg("line", { class: "hatch-line", x1: 0, y1: 0, x2: 0, y2: 6 }, hatch);
    tab.lanes.forEach((_, lane) => {
      if (lane % 2) svg("rect", { class: "stripe", x: 0, y: lane * ROW + 3, width, height: ROW }, chart);
    });
    const clipped = (a, b) => [Math.max(GUTTER, x(a)), Math.min(width, x(b))];
    for (const band of data.bands) {
      const end = band.to === null ? Infinity : band.to;
      if (band.from > to || end < from) continue;
      const [a, b] = clipped(band.from, Math.min(end, to));
      svg("rect", { class: "band", x: a, y: 0, width: Math.max(1, b - a), height }, chart);
    }
    for (const at of ticks(width)) svg("line", { class: "rule", x1: x(at), x2: x(at), y1: 0, y2: height }, chart);
    for (const mark of data.marks) {
      if (mark.kind === "phase" && mark.at >= from && mark.at <= to) svg("line", { class: "phase", x1: x(mark.at), x2: x(mark.at), y1: 0, y2: height }, chart);
    }
    const dots = [];
    // What is red is drawn last, over the others.
    const visible = tab.items.filter((item) => item.start <= to && (item.end === null || item.end >= from));
    visible.sort((a, b) => (a.letter ? 1 : 0) - (b.letter ? 1 : 0) || (a.shape === INSTANT) - (b.shape === INSTANT));
    for (const item of visible) drawItem(item, x, width, dots);
    for (const [at, lane, place] of dots) {
      svg("circle", { class: "dot", cx: at, cy: lane * ROW + ROW + 1, r: 2.8 }, chart);
    }
    svg("rect", { class: "gutter", x: 0, y: 0, width: GUTTER - 6, height }, chart);
    tab.lanes.forEach((name, lane) => svg("text", { class: "lane", x: 6, y: lane * ROW + 19 }, chart, name));
    drawAxis(x, width);
    drawMinimap();
    windowText.textContent = length(to - from) + " from " + time(Math.max(0, from));
  }
  function drawItem(item, x, width, dots) {
    const group = svg("g", { class: "item s" + item.shape + (item.letter === "!" ? " is-break" : item.letter ? " is-core" : "") + (item === picked ? " is-picked" : "") }, chart);
    const a = Math.max(GUTTER - 6, x(item.start)), end = item.end === null ? to : item.end;
    const wide = item.shape === INSTANT ? 0 : Math.max(3, Math.min(width + 8, x(end)) - a), y = item.lane * ROW + 3 + (ROW - BAR) / 2;
    body(group, item.shape, a, y, wide, BAR, item.shape === 2 || item.end === null);
    let text = item.letter ? item.letter + (item.label ? " " + item.label : "") : item.label;
    let room = Math.floor((wide - 8) / 6.4);
    if (item.shape === INSTANT) {
      if (item.letter) svg("text", { x: a, y: y + 13, "text-anchor": "middle" }, group, item.letter);
    } else {
      if (item.place && !item.letter && wide > 30 && item.shape !== 1) room -= 1 + String(item.place).length;
      if (item.letter && room < text.length && wide > 9) { text = item.letter; room = Math.max(room, text.length); }
      if (room >= Math.min(text.length, 3) && text) {
        svg("text", { x: a + Math.min(5, wide / 4), y: y + 13 }, group, text.length > room ? text.slice(0, Math.max(1, room - 1)) + "…" : text);
      }
      if (item.place) {
        const at = x(Math.min(item.effect, end));
        if (at >= GUTTER && at <= width) dots.push([at, item.lane, item.place]);
        if (wide > 44) svg("text", { class: "number", x: a + wide - 4, y: y + 16, "text-anchor": "end", style: "fill:currentColor" }, group, item.place);
      }
    }
    group.addEventListener("pointerenter", (event) => { tip.textContent = words(item); tip.hidden = false; place(event); });
    group.addEventListener("pointermove", place);
    group.addEventListener("pointerleave", () => { tip.hidden = true; });
    group.addEventListener("click", () => { coreAt = tabs[current].core.indexOf(item); pick(item); });
  }
  function place(event) {
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
    tip.style.top = (event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 10 : event.clientY + 18) + "px";
  }
  function drawAxis(x, width) {
    clear(axis);
    axis.setAttribute("viewBox", `0 0 ${width} 40`);
    let free = GUTTER, freeMark = GUTTER;
    for (const band of data.bands) {
      const end = band.to === null ? Infinity : band.to;
      if (band.from > to || end < from) continue;
      const at = Math.max(GUTTER, x(band.from));
      const b = Math.min(width, x(Math.min(end, to)));
      const shape = svg("rect", { class: "band", x: at, y: 0, width: Math.max(1, b - at), height: 40 }, axis);
      svg("title", {}, shape, band.label + "\n" + band.detail);
      if (at >= free) {
        svg("text", { class: "bandname", x: at + 3, y: 11 }, axis, band.label);
        free = at + band.label.length * 6.2 + 14;
      }
    }
    for (const mark of data.marks) {
      if (mark.at < from || mark.at > to) continue;
      const at = x(mark.at);
      if (mark.kind === "leader") svg("title", {}, svg("path", { class: "leader", d: `M${at} 15l4 8h-8z` }, axis), mark.label);
      if (at >= freeMark) {
        svg("text", { class: "tick", x: at + 6, y: 23 }, axis, mark.label);
        freeMark = at + mark.label.length * 6 + 18;
      }
    }
    const unit = ticks(width);
    for (const at of unit) {
      svg("line", { class: "rule", x1: x(at), x2: x(at), y1: 36, y2: 40 }, axis);
      const digits = unit.length > 1 ? Math.max(0, Math.ceil(-Math.log10((unit[1] - unit[0]) / 1e6))) : 3;
      svg("text", { class: "tick", x: x(at), y: 35, "text-anchor": "middle" }, axis, data.lines ? String(at) : (at / 1e6).toFixed(digits) + " ms");
    }
  }
  function drawMinimap() {
    const tab = tabs[current], width = Math.max(320, minimap.clientWidth), wide = Math.max(1, tab.span[1] - tab.span[0]);
    const x = (at) => Math.max(0, Math.min(width, (at - tab.span[0]) / wide * width));
    clear(minimap);
    minimap.setAttribute("viewBox", `0 0 ${width} 36`);
    for (const band of data.bands) {
      const b = x(band.to === null ? tab.span[1] : band.to);
      svg("rect", { class: "band", x: x(band.from), y: 0, width: Math.max(1, b - x(band.from)), height: 36 }, minimap);
    }
    const most = Math.max(1, ...tab.density), part = width / tab.density.length;
    tab.density.forEach((count, at) => {
      const high = count / most * 30;
      if (count) svg("rect", { class: "part", x: at * part, y: 34 - high, width: Math.max(0.6, part - 0.4), height: high }, minimap);
    });
    svg("line", { class: "drawn", x1: x(tab.drawn[0]), x2: Math.max(x(tab.drawn[1]), x(tab.drawn[0]) + 2), y1: 35, y2: 35 }, minimap);
    for (const item of tab.core) svg("line", { class: "tickcore", x1: x(item.start), x2: x(item.start), y1: 0, y2: 36 }, minimap);
    svg("rect", { class: "view", x: x(from), y: 0.5, width: Math.max(3, x(to) - x(from)), height: 35 }, minimap);
  }

  // --- hands ----------------------------------------------------------------------------------------------------
  function inMinimap(event) {
    const box = minimap.getBoundingClientRect(), tab = tabs[current];
    const at = tab.span[0] + (event.clientX - box.left) / box.width * (tab.span[1] - tab.span[0]), wide = to - from;
    show(at - wide / 2, at + wide / 2);
  }
  minimap.addEventListener("pointerdown", (event) => { minimap.setPointerCapture(event.pointerId); inMinimap(event); });
  minimap.addEventListener("pointermove", (event) => { if (event.buttons & 1) inMinimap(event); });
  let dragged = null;
  lanes.addEventListener("pointerdown", (event) => { if (event.button === 0) dragged = { x: event.clientX, from, to }; });
  addEventListener("pointermove", (event) => {
    if (!dragged) return;
    if (!(event.buttons & 1)) { dragged = null; lanes.classList.remove("drag"); return; }
    const moved = (event.clientX - dragged.x) / (lanes.clientWidth - GUTTER) * (dragged.to - dragged.from);
    if (Math.abs(event.clientX - dragged.x) > 3) { lanes.classList.add("drag"); show(dragged.from - moved, dragged.to - moved); }
  });
  addEventListener("pointerup", () => { dragged = null; lanes.classList.remove("drag"); });
  lanes.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const box = lanes.getBoundingClientRect();
      zoom(Math.exp(event.deltaY * 0.003), from + (event.clientX - box.left - GUTTER) / (box.width - GUTTER) * (to - from));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      move(event.deltaX / lanes.clientWidth);
    }
  }, { passive: false });
  addEventListener("resize", schedule);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    const inside = host.contains(event.target) || event.target === document.body;
    const actions = {
      "+": () => zoom(1 / 1.6), "=": () => zoom(1 / 1.6), "-": () => zoom(1.6), n: () => step(1), p: () => step(-1), c: jump,
      0: () => show(tabs[current].drawn[0], tabs[current].drawn[1]), "[": () => select(current - 1), "]": () => select(current + 1),
      t: toggle, "?": () => help.showModal(), "/": () => search.isConnected && search.focus(), Escape: () => pick(null),
    };
    if (inside) Object.assign(actions, { ArrowLeft: () => move(-0.15), ArrowRight: () => move(0.15) });
    if (lanes.contains(event.target)) Object.assign(actions, { ArrowUp: () => { lanes.scrollTop -= ROW; }, ArrowDown: () => { lanes.scrollTop += ROW; } });
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  document.querySelectorAll("[data-tab]").forEach((button) => {
    button.parentElement.hidden = false;
    button.addEventListener("click", () => {
      select(Number(button.dataset.tab));
      host.scrollIntoView({ block: "start" });
      lanes.focus({ preventScroll: true });
    });
  });
  select(Math.max(0, tabs.findIndex((tab) => tab.core.length)));
})();
