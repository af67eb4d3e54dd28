// SPDX-License-Identifier: Apache-2.0
// Building blocks of the sections: text and number formats, tables, controls, and charts that redraw themselves.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const redraws = [];  // one per chart; called again when the colour scheme changes

// Text: data enters the page only through text nodes and attributes, never as markup.

const byId = (id) => document.getElementById(id);

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean") node.toggleAttribute(key, value);
    else if (value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

const caption = (text) => el("p", {class: "caption"}, text);
const known = (value) => typeof value === "number" && Number.isFinite(value);
const none = "–";
const nbsp = "\u00a0";

const number = new Intl.NumberFormat("en", {maximumSignificantDigits: 3});
const count = new Intl.NumberFormat("en");
const digits = (value) => number.format(value).replace("-", "−");

function scaled(value, steps) {
  if (!known(value)) return none;
  const [size, unit] = steps.find(([size]) => Math.abs(value) >= size * 0.9995) ?? steps.at(-1);
  return `${digits(value / size)}${nbsp}${unit}`;
}
const time = (ns) => scaled(ns, [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]]);
const binary = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]];
const bytes = (n) => (n > 0 ? scaled(n, binary) : "unknown");
const rate = (perSecond, unit) =>
  (perSecond > 0 ? scaled(perSecond, [[1e12, `T${unit}`], [1e9, `G${unit}`], [1e6, `M${unit}`]]) : "unknown");

// Three digits with trailing zeros, so that columns line up.
function percent(fraction) {
  if (!known(fraction)) return none;
  const value = 100 * fraction, size = Math.abs(value);
  const text = value.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
  return `${Number(text) === 0 ? "0" : text.replace("-", "−")}${nbsp}%`;
}
const roundPercent = (fraction) => `${digits(100 * fraction)}${nbsp}%`;

const date = (text) => text.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)\S*Z$/, "$1 $2 UTC");
const choice = ({variant, tuning}) => (variant ? (tuning ? `${variant}@${tuning}` : variant) : none);
const interval = (low, high, format = digits) => (known(low) && known(high) ? `${format(low)} … ${format(high)}` : none);
const natural = (a, b) => a.localeCompare(b, "en", {numeric: true});
const distinct = (values) => [...new Set(values)];
const threads = (n) => (n === 1 ? "1 thread" : `${n} threads`);
const keyOf = (series) => [series.op, series.dtype, threads(series.threads), series.layout].join(" · ");

// Tables.

// columns: {title, cell(row) → text or node, sort(row) → key, number}; the first one heads its row.
function table(title, columns, rows, sorted) {
  const body = el("tbody");
  const heads = columns.map((column, index) => {
    const head = el("th", {scope: "col", class: column.number ? "number" : ""});
    if (sorted) head.append(el("button", {type: "button", onclick: () => order(index)}, column.title));
    else head.append(column.title);
    return head;
  });
  const lines = rows.map((row) => ({
    row,
    node: el("tr", {}, ...columns.map((column, index) =>
      el(index ? "td" : "th", {scope: index ? undefined : "row", class: column.number ? "number" : ""}, column.cell(row)))),
  }));
  let now = {};
  function order(index, descending = now.index === index ? !now.descending : Boolean(columns[index].number)) {
    now = {index, descending};
    const {sort} = columns[index];
    lines.sort(({row: a}, {row: b}) => {
      const [x, y] = [sort(a), sort(b)];
      if (x === null || y === null) return (x === null) - (y === null);  // unknown last in both directions
      const sign = typeof x === "number" ? x - y : natural(x, y);
      return descending ? -sign : sign;
    });
    heads.forEach((head, i) => head.setAttribute("aria-sort", i !== index ? "none" : descending ? "descending" : "ascending"));
    body.append(...lines.map(({node}) => node));
  }
  if (sorted) order(sorted.index, sorted.descending);
  else body.append(...lines.map(({node}) => node));
  return el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": title},
            el("table", {"aria-label": title}, el("thead", {}, el("tr", {}, ...heads)), body));
}

// Controls.

function picker(title, options, picked) {
  const select = el("select", {onchange: () => picked()});
  const fill = (texts) => select.replaceChildren(...texts.map((text, i) => el("option", {value: i}, text)));
  fill(options);
  const node = el("label", {}, el("span", {}, title), select);
  return {node, fill, get: () => Number(select.value), set: (i) => { select.value = i; }};
}

function segments(title, options, picked) {
  const name = `segments-${segments.count = (segments.count ?? 0) + 1}`;
  const inputs = options.map((_, i) => el("input", {type: "radio", name, value: i, checked: i === 0, onchange: picked}));
  const node = el("fieldset", {}, el("legend", {}, title),
                  el("span", {class: "segments"}, ...options.map((text, i) => el("label", {}, inputs[i], text))));
  const get = () => inputs.findIndex((input) => input.checked);
  const allow = (allowed) => {  // disables what the rest of the selection lacks, and deselects it
    inputs.forEach((input, i) => { input.disabled = !allowed(options[i]); });
    if (inputs[get()]?.disabled) inputs.find((input) => !input.disabled).checked = true;
  };
  return {node, get, allow};
}

// Charts.

// The variants of an operation. The order gives each its colour and shape in all charts.
const variantsOf = (op) => distinct([
  ...data.series.filter((series) => series.op === op).flatMap((series) => series.variants.map(({variant}) => variant)),
  ...data.verdicts.filter((verdict) => verdict.op === op).map(({chosen}) => chosen.variant),
].filter(Boolean)).sort(natural);
const variants = Object.fromEntries(["softmax", "matmul", "sdpa"].map((op) => [op, variantsOf(op)]));
const shapes = ["circle", "rect", "triangle", "rectRot", "rectRounded", "star", "crossRot"];

function theme() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  const series = (op, variant) => {
    const index = Math.max(variants[op].indexOf(variant), 0);
    const color = read(`series-${index % 8}`);
    return {color, shape: shapes[index % shapes.length], dash: index < 8 ? [] : [6, 3]};
  };
  return {text: read("text"), muted: read("muted"), grid: read("grid"), line: read("line"), card: read("card"),
          accent: read("accent"), band: read("band"), color: (index) => read(`series-${index}`), series};
}

// A chart that every draw creates again: configure(theme) returns {label, config}, or a sentence if there is nothing to draw.
function view(host, className, configure) {
  const canvas = el("canvas", {role: "img"});
  const box = el("div", {class: `chart ${className}`}, canvas);
  const empty = caption("");
  host.append(box, empty);
  let chart;
  const draw = () => {
    const hidden = new Set(chart?.data.datasets.filter((_, i) => !chart.isDatasetVisible(i)).map(({label}) => label));
    chart?.destroy();
    chart = undefined;
    const made = configure(theme(), box);
    box.hidden = typeof made === "string";
    empty.hidden = !box.hidden;
    if (box.hidden) return void (empty.textContent = made);
    canvas.setAttribute("aria-label", made.label);
    // Lines that the reader hid in the legend stay hidden.
    for (const dataset of made.config.data.datasets) dataset.hidden = hidden.has(dataset.label);
    chart = new Chart(canvas, made.config);
  };
  redraws.push(draw);
  return draw;
}

// Vertical lines with labels above the plot, a shaded interval, and whiskers for points with low and high.
const marks = (colors, {lines = [], band, whiskers} = {}) => ({
  id: "marks",
  beforeDatasetsDraw({ctx, chartArea: area, scales: {x}}) {
    const clamp = (value) => Math.min(Math.max(x.getPixelForValue(value), area.left), area.right);
    ctx.save();
    if (band) {
      ctx.fillStyle = colors.band;
      ctx.fillRect(clamp(band.low), area.top, Math.max(clamp(band.high) - clamp(band.low), 1), area.height);
    }
    ctx.strokeStyle = colors.accent;
    ctx.lineWidth = 1.5;
    for (const line of lines) {
      ctx.setLineDash(line.dash ?? []);
      ctx.beginPath();
      ctx.moveTo(clamp(line.x), area.top);
      ctx.lineTo(clamp(line.x), area.bottom);
      ctx.stroke();
    }
    ctx.restore();
  },
  afterDatasetsDraw(chart) {
    const {ctx, chartArea: area, scales: {x, y}} = chart;
    ctx.save();
    ctx.lineWidth = 1.5;
    if (whiskers) {
      chart.getSortedVisibleDatasetMetas().forEach((meta) => meta.data.forEach((point, i) => {
        const {low, high} = chart.data.datasets[meta.index].data[i];
        if (!known(low) || !known(high)) return;
        const [top, bottom] = [y.getPixelForValue(high), y.getPixelForValue(low)];
        ctx.strokeStyle = chart.data.datasets[meta.index].borderColor;
        ctx.beginPath();
        for (const end of [top, bottom]) {
          ctx.moveTo(point.x - 4, end);
          ctx.lineTo(point.x + 4, end);
        }
        ctx.moveTo(point.x, top);
        ctx.lineTo(point.x, bottom);
        ctx.stroke();
      }));
    }
    ctx.font = `12px ${Chart.defaults.font.family}`;
    ctx.fillStyle = colors.text;
    ctx.textBaseline = "bottom";
    lines.forEach(({x: at, label: text}, i) => {
      const label = at < x.min ? `← ${text}` : at > x.max ? `${text} →` : text;
      const half = ctx.measureText(label).width / 2;
      const center = Math.min(Math.max(x.getPixelForValue(at), area.left + half), Math.max(chart.width - half - 2, half));
      ctx.fillText(label, center - half, area.top - 3 - 16 * (lines.length - 1 - i));
    });
    ctx.restore();
  },
});

// Round ticks for a logarithmic axis: powers of two for sizes; 1-2-5 for times and speeds, or even steps if these are few.
function powersOfTwo(low, high) {
  const ticks = [];
  for (let value = 2 ** Math.ceil(Math.log2(low)); value <= high; value *= 2) ticks.push(value);
  return ticks;
}
function oneTwoFive(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); ++power)
    for (const step of [1, 2, 5]) ticks.push(Number(`${step}e${power}`));
  const inside = ticks.filter((value) => value >= low && value <= high);
  if (inside.length > 9) return inside.filter((value) => /^1/.test(value.toExponential()));
  if (inside.length > 2) return inside;
  const rough = (high - low) / 4, unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= rough);
  const even = [];
  for (let i = Math.ceil(low / step); i * step <= high; ++i) even.push(Number((i * step).toPrecision(12)));
  return even;
}

function axis(colors, title, extra = {}) {
  return {
    title: {display: Boolean(title), text: title, color: colors.muted},
    grid: {color: colors.grid, borderColor: colors.line},
    ...extra,
    ticks: {color: colors.muted, maxRotation: 0, autoSkipPadding: 8, major: {enabled: false}, ...extra.ticks},
  };
}
const logAxis = (colors, title, low, high, ticksOf, format) => axis(colors, title, {
  type: "logarithmic", min: low, max: high,
  afterBuildTicks: (scale) => { scale.ticks = ticksOf(low, high).map((value) => ({value})); },
  ticks: {callback: (value) => format(value)},
});

const tooltip = (colors, callbacks) => ({
  backgroundColor: colors.card, titleColor: colors.text, bodyColor: colors.text, footerColor: colors.muted,
  borderColor: colors.muted, borderWidth: 1, padding: 10, boxPadding: 4, usePointStyle: true, callbacks,
});
const legend = (colors, extra = {}) => ({
  position: "bottom", ...extra,
  labels: {color: colors.text, usePointStyle: true, boxHeight: 7, padding: 14, ...extra.labels},
});
const base = () => ({
  responsive: true, maintainAspectRatio: false, animation: false, normalized: true,
  interaction: {mode: "nearest", axis: "x", intersect: false},
});

function xRange(points) {
  const values = points.map(({x}) => x);
  return [Math.max(Math.min(...values), 1) / 1.2, Math.max(...values, 1) * 1.2];
}
