"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const n = data.ids.length;
  const FULL = 32767; // the place 1, as it is written
  const CELLS = 64; // a side of the grid in which the nearest point is looked up
  const MANY = 6000; // items from which on points are plain squares, which are drawn much quicker
  const REACH = 18; // pixels from which a point is taken
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const decode = (text, Type) => new Type(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

  const colourings = data.colourings.map((c) => ({ ...c, values: decode(c.values, Uint8Array) }));
  const numbers = data.numbers.map((c) => ({ ...c, values: decode(c.values, Float32Array) }));
  let colouring = colourings[0];
  let hidden = new Set(); // classes
  let chosen = -1;
  let hits = [], hit = -1; // what was found, and which of it is shown

  // Each panel has three canvases: all points, drawn seldom; what was found; the marks of one item.
  const panels = [...document.querySelectorAll(".plot")].map((box, k) => {
    const [points, found, marks] = box.querySelectorAll("canvas");
    const planes = data.panels[k].map((p) => ({ square: p.space === 1, at: decode(p.at, Int16Array) }));
    return { box, points, found, marks, planes, grid: grid(planes), size: 0, pointer: null };
  });

  // --- where points are ---------------------------------------------------------------------
  const across = (at, i, size) => (at[2 * i] / FULL * 0.46 + 0.5) * size;
  const down = (at, i, size) => (0.5 - at[2 * i + 1] / FULL * 0.46) * size;
  function cell(value) {
    return Math.max(0, Math.min(CELLS - 1, Math.floor((value / FULL + 1) / 2 * CELLS)));
  }
  // Points by cell: those of cell c are order[starts[c]] to order[starts[c + 1] - 1].
  function grid(planes) {
    const starts = new Int32Array(CELLS * CELLS + 1), order = new Int32Array(n * planes.length);
    const each = (visit) => planes.forEach((plane, p) => {
      for (let i = 0; i < n; i++) visit(CELLS * cell(plane.at[2 * i + 1]) + cell(plane.at[2 * i]), p * n + i);
    });
    each((c) => { starts[c + 1]++; });
    for (let c = 0; c < CELLS * CELLS; c++) starts[c + 1] += starts[c];
    const next = starts.slice();
    each((c, point) => { order[next[c]++] = point; });
    return { starts, order };
  }
  const visible = (i) => !colouring.classes.length || !hidden.has(colouring.values[i]);
  // The nearest item, looked for in rings of cells around the pointer.
  function nearest(panel, x, y) {
    const { starts, order } = panel.grid, size = panel.size, width = 0.92 * size / CELLS;
    const column = cell((x / size - 0.5) / 0.46 * FULL), row = cell((0.5 - y / size) / 0.46 * FULL);
    let best = REACH * REACH, found = -1;
    function look(r, c) {
      if (r < 0 || c < 0 || r >= CELLS || c >= CELLS) return;
      for (let k = starts[CELLS * r + c]; k < starts[CELLS * r + c + 1]; k++) {
        const i = order[k] % n, at = panel.planes[Math.floor(order[k] / n)].at;
        const d = (across(at, i, size) - x) ** 2 + (down(at, i, size) - y) ** 2;
        if (d < best && visible(i)) { best = d; found = i; }
      }
    }
    for (let ring = 0; (Math.max(0, ring - 1) * width) ** 2 <= best; ring++)
      for (let r = row - ring; r <= row + ring; r++)
        for (let c = column - ring; c <= column + ring; c += Math.abs(r - row) === ring ? 1 : 2 * ring) look(r, c);
    return found;
  }

  // --- drawing ------------------------------------------------------------------------------
  // Colours are lightened on a dark page.
  function shade(hex) {
    const light = dark.matches ? 0.28 : 0;
    return "rgb(" + [1, 3, 5].map((k) => {
      const c = parseInt(hex.slice(k, k + 2), 16);
      return Math.round(c + light * (255 - c));
    }).join() + ")";
  }
  function ramp() {
    return dark.matches
      ? [[146, 120, 232], [77, 150, 200], [64, 200, 140], [246, 226, 96]]
      : [[59, 47, 127], [49, 104, 142], [53, 183, 121], [224, 197, 48]];
  }
  function onRamp(value) {
    const stops = ramp(), at = value / 255 * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2), t = at - low;
    return "rgb(" + stops[low].map((c, k) => Math.round(c + t * (stops[low + 1][k] - c))).join() + ")";
  }
  const colourOf = (value) => colouring.classes.length ? shade(colouring.colours[value] || "#000000") : onRamp(value);

  function outline(context, x, y, r, square) {
    context.beginPath();
    if (square) context.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
    else context.arc(x, y, r, 0, 2 * Math.PI);
  }
  const radius = (size) => Math.max(Math.min(1.6, size / 150), Math.min(3.4, size / 4.3 / Math.sqrt(n)));
  function cleared(canvas, size) {
    const ratio = window.devicePixelRatio || 1, side = Math.round(size * ratio);
    const context = canvas.getContext("2d");
    if (canvas.width !== side) canvas.width = canvas.height = side;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, size, size);
    return context;
  }
  function drawItems(panel, canvas, items, alpha, larger) {
    const size = panel.size, r = radius(size) + larger, context = cleared(canvas, size);
    const colours = Array.from({ length: 256 }, (_, value) => colourOf(value));
    let last = null;
    context.globalAlpha = alpha;
    for (const i of items) if (visible(i)) for (const plane of panel.planes) {
      const x = across(plane.at, i, size), y = down(plane.at, i, size), value = colouring.values[i];
      if (value !== last) context.fillStyle = colours[last = value];
      if (n > MANY) { context.fillRect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r); continue; }
      outline(context, x, y, r, plane.square);
      context.fill();
    }
  }
  function drawMarks(panel) {
    const size = panel.size, context = cleared(panel.marks, size);
    if (chosen < 0) return;
    context.strokeStyle = dark.matches ? "#ffffff" : "#000000";
    context.lineWidth = 2;
    const at = panel.planes.map((plane) => [across(plane.at, chosen, size), down(plane.at, chosen, size)]);
    if (at.length > 1) { context.beginPath(); context.moveTo(...at[0]); context.lineTo(...at[1]); context.stroke(); }
    at.forEach(([x, y], k) => {
      outline(context, x, y, radius(size) + 4, panel.planes[k].square);
      context.fillStyle = colourOf(colouring.values[chosen]);
      context.fill();
      context.stroke();
    });
  }
  // Whatever asks for drawing, it is done once a frame; marks are drawn in each.
  const everyone = Array.from({ length: n }, (_, i) => i);
  let asked = 0, stale = new Set();
  function redraw(...layers) {
    layers.forEach((layer) => stale.add(layer));
    if (!asked) asked = requestAnimationFrame(frame);
  }
  function frame() {
    asked = 0;
    for (const panel of panels) {
      panel.size = panel.box.clientWidth;
      if (!panel.pointer) continue;
      const { x, y, pressed } = panel.pointer, i = nearest(panel, x, y);
      panel.pointer = null;
      if (i >= 0 || pressed) choose(i);
    }
    for (const panel of panels) if (panel.size) {
      if (stale.has("points")) drawItems(panel, panel.points, everyone, 0.75, 0);
      if (stale.has("found")) drawItems(panel, panel.found, hits, 1, hits.length < n / 10 ? 1.5 : 0);
      panel.box.classList.toggle("searched", hits.length > 0);
      drawMarks(panel);
    }
    stale = new Set();
  }

  // --- one item -----------------------------------------------------------------------------
  const item = byId("item"), unchosen = [...item.childNodes];
  function line(text) {
    const span = document.createElement("span");
    span.className = "soft";
    span.textContent = text;
    return span;
  }
  function choose(i) {
    if (i === chosen) return;
    chosen = i;
    redraw();
    item.classList.toggle("chosen", i >= 0);
    if (i < 0) { item.replaceChildren(...unchosen); return; }
    const head = document.createElement("b");
    head.textContent = data.ids[i] + (data.labels ? "  ·  " + data.labels[i] : "");
    item.replaceChildren(head);
    if (data.texts) item.append(document.createElement("br"), data.texts[i]);
    if (numbers.length) item.append(line(numbers.map((c) => c.words.replace("#", c.values[i].toFixed(c.digits))).join("  ·  ")));
  }
  function step(by) {
    let i = chosen;
    for (let tried = 0; tried < n; tried++) {
      i = i < 0 ? (by > 0 ? 0 : n - 1) : (i + by + n) % n;
      if (visible(i)) { choose(i); return; }
    }
  }
  const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  panels.forEach((panel) => {
    const moved = (pressed) => (e) => {
      const box = panel.marks.getBoundingClientRect();
      panel.pointer = { x: e.clientX - box.left, y: e.clientY - box.top, pressed };
      redraw();
    };
    panel.marks.addEventListener("pointermove", moved(false));
    panel.marks.addEventListener("pointerdown", moved(true));
    panel.marks.addEventListener("keydown", (e) => {
      if (e.key === "Escape") choose(-1);
      if (!STEPS[e.key]) return;
      e.preventDefault();
      step(STEPS[e.key]);
    });
  });
  document.addEventListener("click", (e) => {
    const pick = e.target.closest("[data-item]");
    if (!pick) return;
    choose(Number(pick.dataset.item));
    byId("pictures").scrollIntoView();
  });

  // --- search -------------------------------------------------------------------------------
  const search = byId("search"), count = byId("count");
  let words = null; // ids and texts in small letters, made when they are first searched
  function find() {
    const wanted = search.value.trim().toLowerCase();
    words = words || data.ids.map((id, i) => (id + "\n" + (data.texts ? data.texts[i] : "")).toLowerCase());
    hits = [];
    if (wanted) for (let i = 0; i < n; i++) if (visible(i) && words[i].includes(wanted)) hits.push(i);
    const same = hits.findIndex((i) => data.ids[i].toLowerCase() === wanted);
    if (same > 0) hits.unshift(...hits.splice(same, 1)); // the item of that very id comes first
    hit = hits.length ? 0 : -1;
    choose(hits.length ? hits[0] : -1);
    tell(wanted);
    redraw("found");
  }
  function tell(wanted) {
    count.textContent = hits.length ? hit + 1 + " of " + hits.length : wanted ? "nothing found" : "";
    byId("previous").disabled = byId("next").disabled = hits.length < 2;
  }
  function toHit(by) {
    if (!hits.length) return;
    hit = (hit + by + hits.length) % hits.length;
    choose(hits[hit]);
    tell(true);
  }
  search.addEventListener("input", find);
  search.addEventListener("keydown", (e) => {
    const by = { Enter: e.shiftKey ? -1 : 1, ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (by) { e.preventDefault(); toHit(by); }
    if (e.key === "Escape") { e.preventDefault(); search.value = ""; find(); }
  });
  byId("next").addEventListener("click", () => toHit(1));
  byId("previous").addEventListener("click", () => toHit(-1));

  // --- legend -------------------------------------------------------------------------------
  const legend = byId("legend");
  function entry(tag, kind, background, text) {
    const element = document.createElement(tag), i = document.createElement("i");
    i.className = kind;
    i.style.background = background;
    element.append(i, text);
    legend.append(element);
    return element;
  }
  function showLegend() {
    legend.replaceChildren();
    colouring.classes.forEach((name, c) => {
      const button = entry("button", "", shade(colouring.colours[c]), name);
      button.type = "button";
      button.setAttribute("aria-pressed", String(!hidden.has(c)));
      button.addEventListener("click", () => {
        if (hidden.has(c)) hidden.delete(c); else hidden.add(c);
        button.setAttribute("aria-pressed", String(!hidden.has(c)));
        if (search.value) find();
        if (chosen >= 0 && !visible(chosen)) choose(-1);
        redraw("points", "found");
      });
    });
    if (!colouring.classes.length) {
      const stops = ramp().map((c) => "rgb(" + c.join() + ")").join();
      entry("span", "scale", "linear-gradient(90deg," + stops + ")", colouring.meaning);
    }
    data.names.forEach((name, k) => entry("span", k ? "square" : "", "var(--soft)", name));
  }
  if (colourings.length > 1) {
    const select = byId("colouring");
    colourings.forEach((c, k) => select.add(new Option(c.title, String(k))));
    select.addEventListener("change", () => {
      colouring = colourings[Number(select.value)];
      hidden = new Set();
      if (search.value) find();
      showLegend();
      redraw("points", "found");
    });
    byId("colour-by").hidden = false;
  }

  new ResizeObserver(() => redraw("points", "found")).observe(document.querySelector(".panels"));
  dark.addEventListener("change", () => { showLegend(); redraw("points", "found"); });
  showLegend();
  redraw("points", "found");
})();
