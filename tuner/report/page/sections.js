// SPDX-License-Identifier: Apache-2.0
// The sections of the report: one function for each, which fills its part of the page from the JSON block.
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
                          "between runs counts as a difference. Intervals and regrets are optimistic.";
  const meaning = "how much slower the chosen kernel is than the best measured one";
  let text;
  if (!tuned.series) {
    text = "No problem was timed often enough to score the rules: regret needs two blocks or more.";
  } else if (!fixed.series) {
    text = `The new rules’ mean regret – ${meaning} – is ${percent(tuned.mean)}; the built-in defaults were not timed.`;
  } else if (tuned.mean < fixed.mean) {
    text = `Tuning cut the mean regret – ${meaning} – from ${percent(fixed.mean)} with the built-in defaults to ` +
           `${percent(tuned.mean)}${tuned.mean > 0 ? "" : ", which is not measurable"}. It is weighted by use and cross-fitted.`;
  } else {
    text = `Tuning did not beat the built-in defaults. The mean regret – ${meaning} – is ${percent(tuned.mean)} with the new rules ` +
           `and ${percent(fixed.mean)} with the defaults. It is weighted by use and cross-fitted.`;
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
  if (!data.thresholds.length) return host.append(caption("The samples do not determine any threshold."));
  host.append(table("Thresholds", [
    {title: "Operation", cell: keyOf},
    {title: "Threshold", cell: (row) => el("code", {}, row.name)},
    {title: "Where", cell: (row) => row.where || "all"},
    {title: "Value", number: true, cell: (row) => el("strong", {}, count.format(row.value))},
    {title: "95 % interval", number: true, cell: (row) => interval(row.low, row.high, count.format)},
    {title: "Equivalent", number: true, cell: (row) => interval(row.band_low, row.band_high, count.format)},
    {title: "Regret", number: true, cell: (row) => percent(row.regret)},
    {title: "Decision", cell: (row) => (row.kept_default ? el("span", {class: "pill"}, "default kept") : "tuned")},
  ], data.thresholds),
  caption("The interval is a bootstrap over blocks. Equivalent values lose less than half a percent against the best one. An " +
          "earlier value in that range stays, so repeated tunings agree."));
}

function roofline() {
  const host = byId("roofline");
  const all = data.verdicts.filter(({fraction}) => known(fraction));
  if (!all.length) {
    const {read, copy, flops} = data.device.ceilings;
    return host.append(caption(read > 0 && copy > 0 && flops > 0
      ? "The roofline was measured with another number of threads than the chosen candidates."
      : "The roofline is unknown, so there is nothing to compare the times with. The command metallic tune measures it."));
  }
  const most = 400;  // bars that stay readable on a canvas
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
      label: `Bar chart of the fraction of the roofline for ${rows.length} problems (${groups[group.get()]}), lowest first`,
      config: {
        type: "bar", plugins: [marks(colors, {lines: [{x: 1, dash: [5, 4], label: ""}]})],
        data: {labels: rows.map(({label}) => label), datasets},
        options: {
          ...base(), indexAxis: "y", interaction: {mode: "nearest", axis: "y", intersect: false},
          scales: {
            x: axis(colors, "roofline time ÷ median time", {
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
              label: ({dataIndex}) => `${percent(rows[dataIndex].fraction)} of the roofline`,
              afterLabel: ({dataIndex}) => {
                const row = rows[dataIndex];
                return [choice(row.chosen), `median ${time(row.time)}, roofline ${time(row.floor)}`];
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
    `The roofline time is the longer of two: the least traffic at the measured bandwidth (softmax: copy, ${rate(copy, "B/s")}; ` +
    `matmul and sdpa: read, ${rate(read, "B/s")}), and the operations at ${rate(flops, "FLOP/s")}. A problem that fits in a cache ` +
    "can exceed 100 %, because a cache is faster than memory. The problems at the top would gain most from a better kernel."));
}

function rules() {
  const host = byId("rules");
  if (!data.lists.length) return host.append(caption("There are no new rules: the built-in rules apply to all problems."));
  host.append(caption("In each list the first matching rule decides. The margin is the median lead over the best other variant. The regret of a rule " +
                      "is measured on the shapes from which it was made."));
  for (const list of data.lists) {
    host.append(el("h3", {}, `${keyOf(list)} · ${list.numerics}`));
    if (!list.rules.length) {
      host.append(caption("This list is empty."));
      continue;
    }
    host.append(table(`Rules of ${keyOf(list)}`, [
      {title: "Rule", cell: (rule) => el("code", {}, rule.text)},
      {title: "Regret", number: true, cell: (rule) => percent(rule.regret)},
      {title: "Default regret", number: true, cell: (rule) => percent(rule.default_regret)},
      {title: "Margin", number: true, cell: (rule) => percent(rule.margin)},
      {title: "Samples", number: true, cell: (rule) => count.format(rule.samples)},
      {title: "Note", cell: (rule) => rule.note || none},
    ], list.rules));
  }
}

function summaryTable() {
  const {tuned, unseen, default: fixed} = data.regret;
  const rows = [
    {title: "These rules", ...tuned},
    {title: "Rules made without the shape (held out)", ...unseen},
    {title: "Built-in rules", ...fixed},
  ].filter(({series}) => series);
  if (!rows.length) return caption("No problem was timed often enough to score it: regret needs two blocks or more.");
  return table("Regret of the rules", [
    {title: "Rules", cell: ({title}) => title},
    {title: "Mean, by use", number: true, cell: ({mean}) => el("strong", {}, percent(mean))},
    {title: "95 %", number: true, cell: ({mean_low: low, mean_high: high}) => interval(low, high, percent)},
    {title: "95th percentile", number: true, cell: ({p95}) => percent(p95)},
    {title: "95 %", number: true, cell: ({p95_low: low, p95_high: high}) => interval(low, high, percent)},
    {title: "Worst", number: true, cell: ({worst}) => percent(worst)},
    {title: "Problems", number: true, cell: ({series}) => count.format(series)},
  ], rows);
}

function regret() {
  const host = byId("regret");
  if (!data.verdicts.length) return host.append(caption("There is no decision, so there is no regret to show."));
  const column = (title, field) =>
    ({title, cell: (row) => el("code", {}, choice(row[field])), sort: (row) => choice(row[field])});
  const figure = (title, field, format) =>
    ({title, number: true, cell: (row) => format(row[field]), sort: (row) => row[field]});
  host.append(
    caption("Regret is how much slower the chosen candidate is than the best one. It is cross-fitted: each block scores the choice " +
            "against the candidate that is best over all other blocks, so noise does not flatter the best. If the choice is the " +
            "best, chance can make its regret slightly negative. Intervals are 95 %, over problems."),
    summaryTable(),
    el("h3", {}, "By problem"),
    table("Regret by problem", [
      {title: "Problem", cell: (row) => el("code", {}, row.label), sort: (row) => row.label},
      {title: "Type", cell: (row) => row.dtype, sort: (row) => row.dtype},
      {title: "Cache", cell: (row) => row.cache, sort: (row) => row.cache},
      figure("Regret", "regret", percent),
      figure("Held out", "unseen_regret", percent),
      figure("Default regret", "default_regret", percent),
      figure("Weight", "weight", digits),
      column("Chosen", "chosen"),
      column("Best", "best"),
      column("Default", "default"),
    ], data.verdicts, {index: 3, descending: true}));
}

const seconds = (value) => `${number.format(value)}${nbsp}s`;

function samples() {
  const host = byId("samples");
  const {moments} = data, timed = data.series.filter(({screened}) => known(screened));
  if (!moments.length || !timed.length)
    return host.append(caption("The samples do not say when they were taken, so the run cannot be replayed."));
  const blocks = timed.reduce((sum, one) => sum + one.blocks, 0), end = moments.at(-1);
  const least = 1e-7;  // smaller expected losses are drawn as this
  host.append(
    caption(`${count.format(blocks)} blocks of ${count.format(timed.length)} problems in ${seconds(end.at_s)}. The expected residual ` +
            "regret is the probability of a wrong choice times its loss, averaged over problems, half by use and half evenly. " +
            `It was ${percent(end.residual)} at the end. A problem with fewer than two blocks counts as 100 %.`),
    el("h3", {}, "Expected residual regret over the run"));
  view(host, "low", (colors) => {
    const points = moments.map((moment) => ({x: moment.at_s, y: Math.max(moment.residual, least), moment}));
    const heights = points.map(({y}) => y);
    return {
      label: `Line chart of the expected residual regret over ${seconds(end.at_s)}, ` +
             `from ${percent(moments[0].residual)} to ${percent(end.residual)}`,
      config: {
        type: "line",
        data: {datasets: [{label: "expected residual regret", data: points, borderColor: colors.accent,
                           backgroundColor: colors.accent, borderWidth: 2, pointRadius: 4}]},
        options: {
          ...base(),
          scales: {
            x: axis(colors, "seconds since the run began", {type: "linear", min: 0}),
            y: logAxis(colors, "", Math.min(...heights) / 1.3, Math.max(...heights) * 1.3, oneTwoFive, roundPercent),
          },
          plugins: {legend: legend(colors), tooltip: tooltip(colors, {
            title: (items) => (items[0] ? `after ${seconds(items[0].raw.x)}` : ""),
            label: ({raw: {moment}}) => percent(moment.residual),
            afterLabel: ({raw: {moment}}) => `${count.format(moment.blocks)} blocks`,
          })},
        },
      },
    };
  })();
  host.append(el("h3", {}, "Blocks by expected loss"));
  view(host, "", (colors) => {
    const floored = (value) => Math.max(value, least);
    const dataset = (label, list, color) => ({label, data: list.map((one) => ({x: floored(one.screened), y: one.blocks, one})),
                                              borderColor: color, backgroundColor: color, pointRadius: 3});
    const weighed = timed.filter(({weight}) => weight > 0), audit = timed.filter(({weight}) => !(weight > 0));
    const all = timed.map(({screened}) => floored(screened));
    return {
      label: `Scatter chart of the blocks of ${timed.length} problems against their expected loss after two blocks`,
      config: {
        type: "scatter",
        data: {datasets: [
          dataset("shapes without weight", audit, colors.color(1)), dataset("shapes with weight", weighed, colors.color(0)),
        ].filter((one) => one.data.length)},
        options: {
          ...base(), interaction: {mode: "nearest", intersect: false},
          scales: {
            x: logAxis(colors, "part of the expected residual regret after two blocks", Math.min(...all) / 1.5, Math.max(...all) * 1.5,
                       oneTwoFive, (value) => (value <= least ? "none" : roundPercent(value))),
            y: axis(colors, "blocks", {type: "linear", min: 0}),
          },
          plugins: {legend: legend(colors), tooltip: tooltip(colors, {
            title: (items) => (items[0] ? `${items[0].raw.one.label} ${items[0].raw.one.dtype} ${items[0].raw.one.cache}` : ""),
            label: ({raw: {one}}) => `${count.format(one.blocks)} blocks`,
            afterLabel: ({raw: {one}}) => `expected loss ${digits(100 * one.screened)}${nbsp}% of all, now ${digits(100 * one.last)}${nbsp}%`,
          })},
        },
      },
    };
  })();
  host.append(caption("After the first two blocks of each problem, a fifth of the time goes to shapes without weight."));
}

function clock(gpu) {
  return [
    ["Clock", `${count.format(gpu.median_mhz)} MHz, from ${count.format(gpu.least_mhz)} to ${count.format(gpu.most_mhz)}, at up to ${gpu.most_celsius} °C`],
    ["Limited", `by the power cap in ${percent(gpu.power_cap_share)} of the readings, by heat in ${percent(gpu.heat_share)}, ` +
                  `by the hardware in ${percent(gpu.hardware_share)}`],
  ];
}

function noise() {
  const host = byId("noise"), {noise: seen} = data.device;
  if (!seen) return host.append(caption("These samples have no noise record."));
  const why = seen.why && `${seen.why[0].toUpperCase()}${seen.why.slice(1)}.`;
  host.append(
    el("p", seen.trust === "busy" ? {class: "warning"} : {}, why || "The machine was quiet."),
    el("dl", {class: "facts"}, ...[
      ["Verdict", seen.trust],
      ["Reference workload", `${count.format(seen.readings)} readings${seen.gpu ? " of the GPU clock" : ""}`],
      ["Disturbed", `${percent(seen.disturbed_share)} took over 1.15 times the undisturbed time, ${percent(seen.lost_share)} over twice`],
      ...(seen.gpu ? clock(seen.gpu) : []),
      ["Waited", seconds(seen.waited_s)],
      ["Drift", `${percent(Math.expm1(seen.drift))} between the thirds of the run that differ most`],
      ["Autocorrelation", `${digits(seen.autocorrelation)} of readings, ${digits(data.autocorrelation)} of blocks of one candidate`],
      ["Spread", `a factor of ${digits(Math.exp(seen.spread))} between the 10th and the 90th percentile`],
      ["Other programs", known(seen.others_share) ? `${percent(seen.others_share)} of ${count.format(seen.cpus)} cores` : "unknown"],
      ["Hypervisor", known(seen.steal_share) ? `${percent(seen.steal_share)} of the CPU time taken` : "unknown"],
      ...(known(seen.throttled_share) ? [["CPU quota", `ran out in ${percent(seen.throttled_share)} of its periods`]] : []),
    ].flatMap(([title, value]) => [el("dt", {}, title), el("dd", {}, value)])));
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
    ["Roofline", `read ${rate(top.read, "B/s")}, copy ${rate(top.copy, "B/s")}, ${rate(top.flops, "FLOP/s")}`],
    ["Model", profile.model],
    ["Build", builds.join(", ") || "unknown"],
    ["Date", distinct([profile.date, device.date].filter(Boolean).map(date)).join(", ")],
    ["Seed", device.seed],
    ["Samples", `${count.format(from.timed)} rows of ${count.format(from.series)} problems (one for each cache state), ` +
                `${count.format(from.arms)} candidates, ${blocks} blocks each`],
    ["Pairing", data.paired ? "paired: the candidates of a block were timed together" : "unpaired: not timed together"],
  ];
  byId("provenance").append(el("dl", {class: "facts"}, ...lines.filter(([, value]) => value).flatMap(([title, value]) =>
    [el("dt", {}, title), el("dd", {}, value)])));
}

Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
for (const section of [headline, thresholds, softmax, matmul, sdpa, roofline, rules, samples, regret, noise, provenance]) {
  try {
    section();
  } catch (error) {  // the other sections stay readable
    fault(`${section.name}: ${error.message}`);
  }
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraws.forEach((draw) => draw()));
requestAnimationFrame(() => {
  if (!document.documentElement.dataset.error) document.documentElement.dataset.ready = "true";
});
