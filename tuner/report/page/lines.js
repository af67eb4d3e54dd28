// SPDX-License-Identifier: Apache-2.0
// Lines: the charts of an operation along its axis, one line for each variant, and below them the comparison of two families.
"use strict";

// Whether a threshold's `where` ("rows ≤ 1", "rows 2..64", "weights in A") holds for the fixed part of a chart's shapes.
const holds = (where, axes) => !where || where.split(/ and |, /).every((part) => {
  if (part.startsWith("weights in ")) return axes.side === (part.endsWith("A") ? 0 : 1);
  const [, name, low, high, sign, value] = part.match(/^(\w+) (?:(\d+)\.\.(\d+)|(≤|≥|=) (\d+))$/) ?? [];
  const at = axes[name];
  if (at === undefined) return false;
  if (low) return at >= Number(low) && at <= Number(high);
  return sign === "≤" ? at <= Number(value) : sign === "≥" ? at >= Number(value) : at === Number(value);
});

// The numbers and the side in a `where`, which match series with curves.
const place = (where) => (where.match(/\d+|\b[AB]\b/g) ?? []).join(" ");

// The properties of a series besides its shape and cache state.
const severalThreads = distinct(data.series.map((series) => series.threads)).length > 1;
const kindOf = (one) => [one.dtype, one.layout, severalThreads ? threads(one.threads) : ""].filter(Boolean).join(" · ");

// Groups of series that a chart draws as one line. Groups with weight or a crossover come first, then the longest.
function groupsOf(op, axis, crosses) {
  const groups = new Map();
  for (const series of data.series.filter((one) => one.op === op && one.variants.length)) {
    const kind = kindOf(series), key = `${kind} ${series.where}`;
    if (!groups.has(key)) groups.set(key, {kind, title: series.where, series: []});
    groups.get(key).series.push(series);
  }
  const all = [...groups.values()];
  for (const group of all) {
    const crossing = crosses(group.series);
    group.points = new Set(group.series.map(({axes}) => axes[axis])).size;
    group.weight = group.series.reduce((sum, {weight}) => sum + weight, 0);
    group.rank = (group.weight > 0 || crossing ? 1e6 : 0) + group.points + (crossing ? 0.5 : 0);
  }
  // If there are lines, single points appear in tables only.
  const drawn = all.filter(({kind, points}) => points >= 3 || !all.some((one) => one.kind === kind && one.points >= 3));
  return drawn.sort((a, b) => natural(a.kind, b.kind) || b.rank - a.rank || natural(a.title, b.title));
}

// One measure of each variant along an axis, with the crossover of two families marked, and below it their log ratio.
function lineSection(op, spec) {
  const host = byId(op);
  const allCurves = data.curves.filter((curve) => curve.op === op);
  const matches = (one, {first}) =>
    first && one.layout === first.layout && one.cache === first.cache && one.dtype === first.dtype &&
    one.threads === first.threads && place(one.where) === place(first.where);
  const crossing = allCurves.filter((one) => known(one.crossover));
  const allGroups = groupsOf(op, spec.axis, (series) => crossing.some((one) => series.some((first) => matches(one, {first}))));
  if (!allGroups.length) return host.append(caption(`No ${op} was timed.`));
  const caches = distinct(allGroups.flatMap(({series}) => series.map(({cache}) => cache))).sort(natural);
  const weightOf = (kind) => allGroups.reduce((sum, one) => sum + (one.kind === kind ? one.weight : 0), 0);
  const kinds = distinct(allGroups.map(({kind}) => kind)).sort((a, b) => weightOf(b) - weightOf(a));
  const curveTitle = (one) => `${one.a} against ${one.b} · ${one.where} · ${one.cache}`;

  let groups = allGroups, curves = allCurves;  // of the selected kind
  const kind = picker("Type and layout", kinds, () => picked());
  const shape = picker("Shape", [], () => selected());
  const cache = segments("Cache", caches, () => selected());
  const measure = segments("Measure", spec.measures.map(({name}) => name), () => drawLines());
  const curve = picker("Comparison", [], () => { drawLines(); drawRatio(); });
  const now = () => {
    const group = groups[shape.get()];
    const series = group.series.filter((one) => one.cache === caches[cache.get()])
      .sort((a, b) => a.axes[spec.axis] - b.axes[spec.axis]);
    return {group, series, first: series[0], measure: spec.measures[measure.get()]};
  };
  const threshold = ({first}) => first && data.thresholds.find((one) => one.op === op && one.name === spec.threshold &&
    one.layout === first.layout && one.dtype === first.dtype && one.threads === first.threads && holds(one.where, first.axes));
  const marked = (one, state) => {
    const rule = threshold(state);
    const lines = [];
    let band;
    if (one && matches(one, state) && known(one.crossover)) {
      lines.push({x: one.crossover, label: `crossover ${digits(one.crossover)}`});
      if (known(one.crossover_low) && known(one.crossover_high)) band = {low: one.crossover_low, high: one.crossover_high};
    }
    if (rule) lines.push({x: rule.value, dash: [5, 4], label: `rules use ${count.format(rule.value)}`});
    return {lines, band};
  };

  host.append(el("div", {class: "controls"}, ...(kinds.length > 1 ? [kind.node] : []), shape.node, cache.node, measure.node));
  const drawLines = view(host, "", (colors) => {
    const state = now();
    const {value} = state.measure;
    const points = (variant) => state.series.flatMap((series) => {
      const one = series.variants.find((candidate) => candidate.variant === variant);
      if (!one) return [];
      const [low, high] = known(one.low) ? [value(series, one.low), value(series, one.high)].sort((a, b) => a - b) : [];
      return {x: series.axes[spec.axis], y: value(series, one.time), low, high, tuning: one.tuning, label: series.label};
    });
    const datasets = variants[op].map((variant) => {
      const {color, shape: pointStyle, dash} = colors.series(op, variant);
      return {label: variant, data: points(variant), borderColor: color, backgroundColor: color, borderDash: dash,
              borderWidth: 2, pointStyle, pointRadius: 4, pointHoverRadius: 6};
    }).filter((dataset) => dataset.data.length);
    const all = datasets.flatMap((one) => one.data);
    if (!all.length) return "These candidates have no usable times.";
    const bounds = all.flatMap(({y, low, high}) => [y, low, high]).filter((one) => known(one) && one > 0);
    const [least, most] = [Math.min(...bounds) / 1.15, Math.max(...bounds) * 1.15];
    const found = marked(curves[curve.get()], state);
    fillValues(state, datasets);
    return {
      label: `Line chart of ${op} ${state.measure.name} against ${spec.axis} for ${state.group.title}, ` +
             `cache ${state.first.cache}: ` + datasets.map((one) => one.label).join(", "),
      config: {
        type: "line", data: {datasets}, plugins: [marks(colors, {...found, whiskers: true})],
        options: {
          ...base(), layout: {padding: {top: 18 * found.lines.length, right: 6}},
          scales: {x: logAxis(colors, spec.axisTitle, ...xRange(all), powersOfTwo, String),
                   y: logAxis(colors, state.measure.title, least, most, oneTwoFive, state.measure.tick)},
          plugins: {
            legend: legend(colors),
            tooltip: {...tooltip(colors, {
              title: (items) => items[0]?.raw.label ?? "",
              label: ({dataset, raw}) => `${dataset.label}  ${state.measure.format(raw.y)}`,
              afterLabel: ({raw}) => [
                raw.tuning, known(raw.low) ? `95 %: ${interval(raw.low, raw.high, state.measure.format)}` : "",
              ].filter(Boolean).join("  ·  "),
            }), itemSort: (a, b) => b.raw.y - a.raw.y},
          },
        },
      },
    };
  });
  host.append(caption(`${spec.note} Each variant is drawn at its best tuning for each problem. Bars are 95 % intervals of the ` +
                      "median. The solid line is the crossover of the comparison below, with its interval shaded. The dashed " +
                      "line is the threshold that the rules use."));
  const values = el("details", {}, el("summary", {class: "caption"}, "Values as a table"));
  host.append(values);
  function fillValues(state, datasets) {
    while (values.children.length > 1) values.lastChild.remove();
    values.append(table(`${op} values`, [
      {title: spec.axis, cell: (series) => String(series.axes[spec.axis])},
      ...datasets.map(({label}) => ({title: label, number: true, cell: (series) => {
        const one = series.variants.find(({variant}) => variant === label);
        if (!one) return none;
        return state.measure.format(state.measure.value(series, one.time)) + (one.tuning ? ` (${one.tuning})` : "");
      }})),
    ], state.series));
  }

  host.append(el("h3", {}, "Which family wins"));
  const verdict = caption("");
  const comparison = el("div", {class: "controls"}, curve.node);
  host.append(comparison);
  const drawRatio = view(host, "low", (colors) => {
    const one = curves[curve.get()];
    comparison.hidden = !one;
    verdict.textContent = "";
    if (!one) return "No two families were timed at three places of this axis, so there is no comparison to draw.";
    return ratioChart(colors, one, curveTitle(one), spec, marked(one, now()), verdict);
  });
  host.append(verdict);
  function selected() {
    cache.allow((name) => groups[shape.get()].series.some((series) => series.cache === name));
    const index = curves.findIndex((one) => matches(one, now()));
    if (index >= 0) curve.set(index);
    drawLines();
    drawRatio();
  }
  function picked() {
    groups = allGroups.filter((one) => one.kind === kinds[kind.get()]);
    curves = allCurves.filter((one) => kindOf(one) === kinds[kind.get()]);
    shape.fill(groups.map(({title}) => title));
    curve.fill(curves.map(curveTitle));
    selected();
  }
  picked();
}

function ratioChart(colors, curve, title, spec, found, verdict) {
  const {a, b, points} = curve;
  const wins = (ratio) => !known(ratio) ? "unknown" : `${ratio >= 0 ? a : b} takes ${percent(Math.expm1(Math.abs(ratio)))} longer`;
  const spread = known(curve.crossover_low) ? ` (95 %: ${interval(curve.crossover_low, curve.crossover_high)})` : "";
  verdict.textContent = known(curve.crossover)
    ? `Crossover at ${curve.axis} ≈ ${digits(curve.crossover)}${spread}: ${a} below, ${b} above.`
    : points.every(({log_ratio}) => log_ratio > 0) ? `No crossover: ${b} is faster at every point.`
    : points.every(({log_ratio}) => log_ratio < 0) ? `No crossover: ${a} is faster at every point.`
    : "No crossover: the ratio has no single, clear change of sign along this axis.";
  const values = points.flatMap(({log_ratio, low, high}) => [log_ratio, low, high]).filter(known);
  const top = Math.max(...values, Math.log(1.03)) * 1.12, bottom = Math.min(...values, -Math.log(1.03)) * 1.12;
  const line = (key, extra) =>
    ({data: points.map((point) => ({x: point.x, y: point[key], point})), pointRadius: 0, borderWidth: 0, ...extra});
  const ticks = [0];
  for (const side of [top, -bottom]) {
    let last = Infinity;
    for (const fraction of [99, 49, 19, 9, 4, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01]) {
      const at = Math.log1p(fraction), room = (top - bottom) / 8;
      if (at > side || last - at < room || at < room) continue;
      ticks.push(side === top ? at : -at);
      last = at;
    }
  }
  return {
    label: `Line chart of the time ratio of ${title}. ${verdict.textContent}`,
    config: {
      type: "line", plugins: [marks(colors, found)],
      data: {datasets: [
        line("low", {label: "low"}),
        line("high", {label: "95 % interval", fill: 0, backgroundColor: colors.band, pointStyle: "rect",
                      pointBorderColor: colors.accent}),
        line("log_ratio", {label: "mean ratio", borderColor: colors.accent, backgroundColor: colors.accent, borderWidth: 2,
                           pointRadius: 3}),
      ]},
      options: {
        ...base(), layout: {padding: {top: 18 * found.lines.length, right: 6}},
        scales: {
          x: logAxis(colors, spec.axisTitle, ...xRange(points), powersOfTwo, String),
          y: axis(colors, `← ${a} faster    ${b} faster →`, {
            min: bottom, max: top,
            afterBuildTicks: (scale) => { scale.ticks = [...ticks].sort((p, q) => p - q).map((value) => ({value})); },
            grid: {color: ({tick}) => (tick.value === 0 ? colors.muted : colors.grid), borderColor: colors.line},
            ticks: {autoSkip: false, callback: (value) => (value ? roundPercent(Math.expm1(Math.abs(value))) : "equal")},
          }),
        },
        plugins: {
          legend: legend(colors, {labels: {filter: ({datasetIndex}) => datasetIndex > 0}}),
          tooltip: {...tooltip(colors, {
            title: (items) => (items[0] ? `${curve.axis} = ${items[0].raw.x}` : ""),
            label: ({raw: {point}}) => wins(point.log_ratio),
            afterLabel: ({raw: {point}}) => [`95 %: ${wins(point.low)}`, `… ${wins(point.high)}`,
                                             `${a}  ${time(point.time_a)}`, `${b}  ${time(point.time_b)}`],
          }), filter: ({datasetIndex}) => datasetIndex === 2},
        },
      },
    },
  };
}

const softmax = () => lineSection("softmax", {
  axis: "seq_k", axisTitle: "seq_k, elements per row", threshold: "softmax_vec_block",
  note: "Lower is better.",
  measures: [
    {name: "time", title: "median time", value: (series, ns) => ns, format: time, tick: time},
    {name: "ns per element", title: "ns per element", value: (series, ns) => ns / (series.axes.rows * series.axes.seq_k),
     format: (value) => `${digits(value)}${nbsp}ns`, tick: digits},
  ],
});

const sdpa = () => lineSection("sdpa", {
  axis: "seq_k", axisTitle: "seq_k, keys of a query",
  note: "Lower is better.",
  measures: [
    {name: "time", title: "median time", value: (series, ns) => ns, format: time, tick: time},
    {name: "ns per key", title: "ns per key", value: (series, ns) => ns / series.axes.seq_k,
     format: (value) => `${digits(value)}${nbsp}ns`, tick: digits},
  ],
});

const matmul = () => lineSection("matmul", {
  axis: "n", axisTitle: "N, the smaller of the result’s sides", threshold: "smalln_max_n",
  note: "Higher is better.",
  measures: [
    {name: "GFLOP/s", title: "GFLOP/s", value: (series, ns) => series.flops / ns,
     format: (value) => `${digits(value)}${nbsp}GFLOP/s`, tick: digits},
    {name: "GB/s", title: "GB/s of the least traffic", value: (series, ns) => series.bytes / ns,
     format: (value) => `${digits(value)}${nbsp}GB/s`, tick: digits},
  ],
});
