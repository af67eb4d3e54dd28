// The report's sections: each is a function that fills its part of the page from the JSON block.
"use strict";

function headline() {
  const {profile, device, regret: {tuned, default: fixed}, measurements} = data;
  const name = device.facts.model || profile.fingerprint || "Unknown device";
  document.title = `${name} – Metallic tuning report`;
  byId("device").textContent = name;
  byId("subject").textContent = [
    `Tuned for ${!profile.model || profile.model === "any" ? "any model’s shapes" : `the shapes of ${profile.model}`}`,
    device.facts.isa, threads(device.threads), date(profile.date || device.date),
  ].filter(Boolean).join(" · ");
  const warning = byId("unpaired");
  warning.hidden = data.paired;
  if (!data.paired)
    warning.textContent = "Unpaired results: the candidates were not timed together in blocks, so drift of the machine " +
                          "between runs counts as difference. Intervals and regrets are optimistic.";
  const meaning = "how much slower the chosen kernel is than the best one measured";
  let text;
  if (!tuned.series) {
    text = "No problem was timed often enough to score the rules: regret takes at least two blocks.";
  } else if (!fixed.series) {
    text = `The new rules’ mean regret – ${meaning} – is ${percent(tuned.mean)}; the guide’s fixed defaults were not timed.`;
  } else if (tuned.mean < fixed.mean) {
    text = `Tuning cut the mean regret – ${meaning} – from ${percent(fixed.mean)} with the guide’s fixed defaults to ` +
           `${tuned.mean > 0 ? "" : "nothing that can be measured, "}${percent(tuned.mean)}, weighted by use and cross-fitted.`;
  } else {
    text = `Tuning did not beat the guide’s fixed defaults here: the mean regret – ${meaning} – is ${percent(tuned.mean)} ` +
           `with the new rules and ${percent(fixed.mean)} with the defaults, weighted by use and cross-fitted.`;
  }
  byId("summary").textContent = text;
  const tile = (title, big, small) => el("div", {class: "tile"}, el("dt", {}, title),
                                         el("dd", {class: "big"}, big), el("dd", {class: "small"}, small));
  const regret = (title, field) => tile(title, tuned.series ? percent(tuned[field]) : none,
                                        `fixed defaults ${fixed.series ? percent(fixed[field]) : none}`);
  const fewer = fixed.series && fixed.series !== tuned.series;
  const scored = fewer ? `defaults scored on ${count.format(fixed.series)}` : `${count.format(measurements.timed)} samples`;
  byId("tiles").append(regret("Mean regret", "mean"), regret("95th percentile", "p95"), regret("Worst case", "worst"),
                       tile("Cases scored", count.format(tuned.series), scored));
}

function thresholds() {
  const host = byId("thresholds");
  if (!data.thresholds.length) return host.append(caption("The samples decide no threshold."));
  host.append(table("Thresholds", [
    {title: "Operation", cell: keyOf},
    {title: "Threshold", cell: (row) => el("code", {}, row.name)},
    {title: "Where", cell: (row) => row.where || "all"},
    {title: "Value", number: true, cell: (row) => el("strong", {}, count.format(row.value))},
    {title: "95 % interval", number: true, cell: (row) => interval(row.low, row.high, count.format)},
    {title: "Regret", number: true, cell: (row) => percent(row.regret)},
    {title: "Decision", cell: (row) => (row.kept_default ? el("span", {class: "pill"}, "default kept") : "tuned")},
  ], data.thresholds),
  caption("Bootstrap intervals over blocks. A default is kept where the samples do not speak clearly against it."));
}

// True where a threshold's `where` ("rows ≤ 1", "rows 2..64", "weights in A") holds for what a chart holds fixed.
const holds = (where, axes) => !where || where.split(/ and |, /).every((part) => {
  if (part.startsWith("weights in ")) return axes.side === (part.endsWith("A") ? 0 : 1);
  const [, name, low, high, sign, value] = part.match(/^(\w+) (?:(\d+)\.\.(\d+)|(≤|≥|=) (\d+))$/) ?? [];
  const at = axes[name];
  if (at === undefined) return false;
  if (low) return at >= Number(low) && at <= Number(high);
  return sign === "≤" ? at <= Number(value) : sign === "≥" ? at >= Number(value) : at === Number(value);
});

// The numbers and the side that a `where` names, by which series and curves that were described apart are matched.
const place = (where) => (where.match(/\d+|\b[AB]\b/g) ?? []).join(" ");

function groupsOf(op) {
  const all = data.series.filter((series) => series.op === op && series.variants.length);
  const several = distinct(all.map((series) => `${series.dtype} ${series.threads}`)).length > 1;
  const groups = new Map();
  for (const series of all) {
    const title = `${series.where} · ${series.layout}${several ? ` · ${series.dtype} · ${threads(series.threads)}` : ""}`;
    if (!groups.has(title)) groups.set(title, {title, series: []});
    groups.get(title).series.push(series);
  }
  return [...groups.values()].sort((a, b) => natural(a.title, b.title));
}

// Lines of one measure per variant along an axis, with the crossover of two families marked, and below it their log ratio.
function lineSection(op, spec) {
  const host = byId(op);
  const groups = groupsOf(op);
  const curves = data.curves.filter((curve) => curve.op === op);
  if (!groups.length) return host.append(caption(`No ${op} was timed.`));
  const caches = distinct(groups.flatMap(({series}) => series.map(({cache}) => cache))).sort(natural);
  const several = distinct(curves.map((one) => `${one.dtype} ${one.threads}`)).length > 1;
  const curveTitle = (one) => `${one.a} against ${one.b} · ${one.where} · ${one.cache} · ${one.layout}` +
    (several ? ` · ${one.dtype} · ${threads(one.threads)}` : "");

  const shape = picker("Shape", groups.map(({title}) => title), () => selected());
  const cache = segments("Cache", caches, () => selected());
  const measure = segments("Measure", spec.measures.map(({name}) => name), () => drawLines());
  const curve = picker("Comparison", curves.map(curveTitle), () => { drawLines(); drawRatio(); });
  const now = () => {
    const group = groups[shape.get()];
    const series = group.series.filter((one) => one.cache === caches[cache.get()])
      .sort((a, b) => a.axes[spec.axis] - b.axes[spec.axis]);
    return {group, series, first: series[0], measure: spec.measures[measure.get()]};
  };
  const matches = (one, {first}) =>
    first && one.layout === first.layout && one.cache === first.cache && one.dtype === first.dtype &&
    one.threads === first.threads && place(one.where) === place(first.where);
  // The longest line is shown first, of equal ones one with a crossover.
  const telling = ({series}) => new Set(series.map(({axes}) => axes[spec.axis])).size +
    (curves.some((one) => known(one.crossover) && matches(one, {first: series[0]})) ? 0.5 : 0);
  shape.set(groups.reduce((best, group, i) => (telling(group) > telling(groups[best]) ? i : best), 0));
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

  host.append(el("div", {class: "controls"}, shape.node, cache.node, measure.node));
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
  host.append(caption(`${spec.note} Each variant is drawn at its best tuning for each problem; bars are 95 % intervals of ` +
                      "the median. The solid line is the crossover of the comparison below with its interval shaded, the " +
                      "dashed one what the rules use."));
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
  let drawRatio = () => {};
  const verdict = caption("");
  if (curves.length) {
    host.append(el("div", {class: "controls"}, curve.node));
    drawRatio = view(host, "low", (colors) => {
      const one = curves[curve.get()];
      return ratioChart(colors, one, curveTitle(one), spec, marked(one, now()), verdict);
    });
    host.append(verdict);
  } else {
    host.append(caption("No two families were timed along this axis, so there is no comparison to draw."));
  }
  function selected() {
    cache.allow((name) => groups[shape.get()].series.some((series) => series.cache === name));
    const index = curves.findIndex((one) => matches(one, now()));
    if (index >= 0) curve.set(index);
    drawLines();
    drawRatio();
  }
  selected();
}

function ratioChart(colors, curve, title, spec, found, verdict) {
  const {a, b, points} = curve;
  const wins = (ratio) => `${ratio >= 0 ? a : b} takes ${percent(Math.expm1(Math.abs(ratio)))} longer`;
  const spread = known(curve.crossover_low) ? ` (95 %: ${interval(curve.crossover_low, curve.crossover_high)})` : "";
  verdict.textContent = known(curve.crossover)
    ? `Crossover at ${curve.axis} ≈ ${digits(curve.crossover)}${spread}: ${a} below, ${b} above.`
    : points.length && points.every(({log_ratio}) => log_ratio > 0) ? `No crossover: ${b} is faster at every point.`
    : points.length && points.every(({log_ratio}) => log_ratio < 0) ? `No crossover: ${a} is faster at every point.`
    : "No crossover: the sign of the ratio does not change once and clearly along this axis.";
  if (!points.length) {
    verdict.textContent = "";
    return "This comparison has no points.";
  }
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
        line("log_ratio", {label: "median ratio", borderColor: colors.accent, backgroundColor: colors.accent, borderWidth: 2,
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
    {name: "GB/s", title: "GB/s of least traffic", value: (series, ns) => series.bytes / ns,
     format: (value) => `${digits(value)}${nbsp}GB/s`, tick: digits},
  ],
});

function ceilings() {
  const host = byId("ceilings");
  const all = data.verdicts.filter(({fraction}) => known(fraction));
  if (!all.length) {
    const {read, copy, flops} = data.device.ceilings;
    return host.append(caption(read > 0 && copy > 0 && flops > 0
      ? "No chosen candidate was timed with as many threads as the machine’s ceilings were measured with."
      : "The machine’s ceilings are unknown, so there is nothing to compare the times with; metallic tune measures them."));
  }
  const most = 400;  // bars that a canvas still shows as something to read
  const groups = [...new Map(all.map((one) => [`${one.op} ${one.dtype}, ${one.cache}`, one])).keys()];
  const group = picker("Problems", groups, () => draw());
  host.append(el("div", {class: "controls"}, group.node));
  const scroll = el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Fractions by problem"});
  host.append(scroll);
  const note = caption("");
  const draw = view(scroll, "", (colors, box) => {
    const here = all.filter((one) => `${one.op} ${one.dtype}, ${one.cache}` === groups[group.get()]).sort((p, q) => p.fraction - q.fraction);
    const rows = here.slice(0, most), {op} = rows[0];
    note.textContent = here.length > most ? `The ${most} lowest of ${count.format(here.length)} problems.` : "";
    box.style.height = `${rows.length * 20 + 100}px`;
    const datasets = variants[op].filter((variant) => rows.some((row) => row.chosen.variant === variant)).map((variant) => ({
      label: variant, data: rows.map((row) => (row.chosen.variant === variant ? row.fraction : null)), grouped: false,
      backgroundColor: colors.series(op, variant).color, pointStyle: "rect", barThickness: 11, borderRadius: 2,
    }));
    const narrow = scroll.clientWidth < 520;
    return {
      label: `Bar chart of the fraction of the ceiling for ${rows.length} problems (${groups[group.get()]}), lowest first`,
      config: {
        type: "bar", plugins: [marks(colors, {lines: [{x: 1, dash: [5, 4], label: ""}]})],
        data: {labels: rows.map(({label}) => label), datasets},
        options: {
          ...base(), indexAxis: "y", interaction: {mode: "nearest", axis: "y", intersect: false},
          scales: {
            x: axis(colors, "floor time ÷ median time", {
              position: "top", min: 0, suggestedMax: 1.05,
              ticks: {maxTicksLimit: narrow ? 5 : 11, callback: (value) => roundPercent(value)},
            }),
            y: axis(colors, "", {grid: {display: false}, ticks: {
              autoSkip: false, font: {size: 11},
              callback(value) {
                const text = this.getLabelForValue(value);
                const room = narrow ? 18 : 44;
                return text.length > room ? `${text.slice(0, room - 1)}…` : text;
              },
            }}),
          },
          plugins: {
            legend: legend(colors, {position: "top", align: "start"}),
            tooltip: tooltip(colors, {
              label: ({dataIndex}) => `${percent(rows[dataIndex].fraction)} of the ceiling`,
              afterLabel: ({dataIndex}) => {
                const row = rows[dataIndex];
                return [choice(row.chosen), `median ${time(row.time)}, floor ${time(row.floor)}`];
              },
            }),
          },
        },
      },
    };
  });
  draw();
  const {read, copy, flops} = data.device.ceilings;
  host.append(note, caption(
    `The floor is the longer of least traffic at the machine’s measured bandwidth (softmax: copying, ${rate(copy, "B/s")}; ` +
    `matmul and sdpa: reading, ${rate(read, "B/s")}) and operations at ${rate(flops, "FLOP/s")}. Values above 100 % are legitimate: a ` +
    "problem that fits in a cache moves its bytes faster than memory can. Lowest first: the top is where a better kernel " +
    "would gain most."));
}

function rules() {
  const host = byId("rules");
  if (!data.lists.length) return host.append(caption("There are no rules: the built-in ones apply to everything."));
  host.append(caption("In each list the first rule that matches decides. Margin: median lead over the next best variant."));
  for (const list of data.lists) {
    host.append(el("h3", {}, `${keyOf(list)} · ${list.numerics}`));
    if (!list.rules.length) {
      host.append(caption("This list is empty."));
      continue;
    }
    host.append(table(`Rules of ${keyOf(list)}`, [
      {title: "Rule", cell: (rule) => el("code", {}, rule.text)},
      {title: "Regret", number: true, cell: (rule) => percent(rule.regret)},
      {title: "Default’s", number: true, cell: (rule) => percent(rule.default_regret)},
      {title: "Margin", number: true, cell: (rule) => percent(rule.margin)},
      {title: "Samples", number: true, cell: (rule) => count.format(rule.samples)},
      {title: "Note", cell: (rule) => rule.note || none},
    ], list.rules));
  }
}

function regret() {
  const host = byId("regret");
  if (!data.verdicts.length) return host.append(caption("No problem was decided, so there is no regret to show."));
  const column = (title, field) =>
    ({title, cell: (row) => el("code", {}, choice(row[field])), sort: (row) => choice(row[field])});
  const figure = (title, field, format) =>
    ({title, number: true, cell: (row) => format(row[field]), sort: (row) => row[field]});
  host.append(
    caption("Cross-fitted: the best candidate is picked on one half of the blocks and timed on the other, so that noise does " +
            "not flatter it; where the choice is the best, chance can make the regret slightly negative."),
    table("Regret by problem", [
      {title: "Problem", cell: (row) => el("code", {}, row.label), sort: (row) => row.label},
      {title: "Type", cell: (row) => row.dtype, sort: (row) => row.dtype},
      {title: "Cache", cell: (row) => row.cache, sort: (row) => row.cache},
      figure("Regret", "regret", percent),
      figure("Default’s", "default_regret", percent),
      figure("Weight", "weight", digits),
      column("Chosen", "chosen"),
      column("Best", "best"),
      column("Default", "default"),
    ], data.verdicts, {index: 3, descending: true}));
}

function provenance() {
  const {profile, device, measurements: from, device: {facts, ceilings: top}} = data;
  const {fewest_blocks: fewest, most_blocks: most} = from;
  const blocks = fewest === most ? String(most) : `${fewest} to ${most}`;
  const builds = distinct([profile.build, from.build, device.build].filter((build) => build && build !== "unknown"));
  const lines = [
    ["Fingerprint", profile.fingerprint || from.device],
    ["In the samples", profile.fingerprint && profile.fingerprint !== from.device ? from.device : ""],
    ["Processor", [facts.model, facts.isa].filter(Boolean).join(", ")],
    ["Backend", facts.backend],
    ["Cores", `${facts.cores}, ${device.threads} used`],
    ["Caches", `L1d ${bytes(facts.l1d_bytes)}, L2 ${bytes(facts.l2_bytes)}, last level ${bytes(facts.llc_bytes)}`],
    ["Memory", bytes(facts.memory_bytes)],
    ["Ceilings", `read ${rate(top.read, "B/s")}, copy ${rate(top.copy, "B/s")}, ${rate(top.flops, "FLOP/s")}`],
    ["Model", profile.model],
    ["Build", builds.join(", ") || "unknown"],
    ["Date", distinct([profile.date, device.date].filter(Boolean).map(date)).join(", ")],
    ["Seed", device.seed],
    ["Samples", `${count.format(from.timed)} rows of ${count.format(from.series)} problems in their cache states, ` +
                `${count.format(from.arms)} candidates, ${blocks} blocks each`],
    ["Pairing", data.paired ? "paired: a block’s candidates were timed together" : "unpaired: not timed together"],
  ];
  byId("provenance").append(el("dl", {class: "facts"}, ...lines.filter(([, value]) => value).flatMap(([title, value]) =>
    [el("dt", {}, title), el("dd", {}, value)])));
}

Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
for (const section of [headline, thresholds, softmax, matmul, sdpa, ceilings, rules, regret, provenance]) {
  try {
    section();
  } catch (error) {  // the other sections are still worth reading
    fault(`${section.name}: ${error.message}`);
  }
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraws.forEach((draw) => draw()));
requestAnimationFrame(() => {
  if (!document.documentElement.dataset.error) document.documentElement.dataset.ready = "true";
});
