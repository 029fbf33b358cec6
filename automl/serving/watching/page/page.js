"use strict";
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
let inputs = {};

function element(name, text, kind) {
  const one = document.createElement(name);
  if (text !== undefined && text !== null) one.textContent = String(text);
  if (kind) one.className = kind;
  return one;
}

function row(table, cells, head) {
  const line = element("tr");
  for (const cell of cells) {
    const one = element(head ? "th" : "td");
    if (cell instanceof Node) one.append(cell); else one.textContent = cell === null || cell === undefined ? "" : String(cell);
    line.append(one);
  }
  table.append(line);
}

function wide(table) {
  const part = element("div", null, "wide");
  part.append(table);
  return part;
}

function bars(svg, values) {
  const top = Math.max(1e-9, ...values), width = 300 / values.length;
  svg.replaceChildren(...values.map((value, k) => {
    const bar = document.createElementNS(SVG, "rect"), height = 58 * value / top;
    for (const [name, size] of [["x", k * width], ["y", 60 - height], ["width", width * 0.8], ["height", height]]) bar.setAttribute(name, size.toFixed(2));
    return bar;
  }));
}

const number = (value, digits) => value === null || value === undefined ? "-" : value.toFixed(digits);
const percent = (value) => (100 * value).toFixed(1) + " %";

function version(model, one) {
  const part = element("div"), roles = [];
  if (one.version === model.current) roles.push("current");
  if (model.canary[one.version]) roles.push("canary " + percent(model.canary[one.version]));
  if (model.shadow === one.version) roles.push("shadow");
  part.append(element("h2", model.name + " " + one.version + (roles.length ? " (" + roles.join(", ") + ")" : "")));
  part.append(element("p", one.rows + " rows predicted; drift in " + one.alarms + " of " + one.windows + " windows" + (one.compared ? "; as shadow, other answers for " + one.disagreed + " of " + one.compared + " rows" : "")));
  if (one.feedback && one.feedback.value !== null) {
    const score = one.feedback, between = score.interval ? ", 95 % interval " + number(score.interval[0], 4) + " to " + number(score.interval[1], 4) : "";
    part.append(element("p", "On feedback: " + score.metric + " " + number(score.value, 4) + between + ", " + score.rows + " rows"));
  }
  const total = one.predictions.reduce((sum, entry) => sum + entry.count, 0);
  if (total) {
    const table = element("table");
    row(table, ["prediction", "share", ""], true);
    for (const entry of one.predictions) {
      if (!entry.count) continue;
      const meter = element("meter");
      meter.max = 1; meter.value = entry.count / total;
      row(table, [entry.as, percent(entry.count / total), meter]);
    }
    part.append(wide(table));
  }
  if (one.inputs.length) {
    const found = Object.fromEntries(one.drift.map((entry) => [entry.name, entry])), table = element("table");
    row(table, ["input", "missing (training)", "unseen", "outside", "PSI (limit)", "KS (limit)", ""], true);
    for (const entry of one.inputs) {
      const drift = found[entry.name];
      row(table, [entry.name, percent(entry.missing_share) + " (" + percent(entry.missing_in_training) + ")", entry.unseen, entry.outside,
        drift ? number(drift.psi, 3) + " (" + number(drift.psi_limit, 3) + ")" : "", drift && drift.ks !== null ? number(drift.ks, 3) + " (" + number(drift.ks_limit, 3) + ")" : "",
        drift && drift.alarm && one.window_complete ? element("span", "changed", "bad") : ""]);
    }
    part.append(wide(table));
  }
  return part;
}

async function refresh() {
  try {
    const answer = await fetch("/v1/status"), state = await answer.json();
    if (!answer.ok) throw new Error(state.error.message);
    const seconds = state.seconds, last = seconds.slice(-10);
    $("server").textContent = "automl " + state.version + ", " + state.workers + " worker(s), up since " + new Date(1000 * state.started).toLocaleString() + (state.draining ? ", ending" : "");
    bars($("rates"), seconds.map((s) => s[0])); bars($("failures"), seconds.map((s) => s[1])); bars($("latencies"), seconds.map((s) => s[3]));
    $("rate").textContent = number(last.reduce((sum, s) => sum + s[0], 0) / last.length, 1);
    $("errors").textContent = number(last.reduce((sum, s) => sum + s[1], 0) / last.length, 1);
    const busy = last.filter((s) => s[0]);
    $("latency").textContent = busy.length ? number(busy.reduce((sum, s) => sum + s[3], 0) / busy.length, 1) : "-";
    const totals = element("table");
    row(totals, ["p50 ms", "p95 ms", "p99 ms", "waiting rows", ...Object.keys(state.statuses)], true);
    row(totals, [number(state.latency_ms.p50, 1), number(state.latency_ms.p95, 1), number(state.latency_ms.p99, 1), state.queue.rows, ...Object.values(state.statuses)]);
    $("totals").replaceChildren(...totals.childNodes);
    $("models").replaceChildren(...state.models.flatMap((model) => model.versions.filter((one) => one.rows || one.version === model.current).map((one) => version(model, one))));
  } catch (error) {
    $("server").textContent = "no answer: " + error.message;
  }
}

function bound(role, value) {
  if (role === "date") return new Date(86400000 * value).toISOString().slice(0, 10);
  if (role === "time") return new Date(1000 * value).toISOString().slice(11, 19);
  return Number(value.toPrecision(4));
}

function form() {
  const input = inputs[$("model").value], fields = [], sample = input.sample[0] || {};
  if (input.form !== "table") {
    const area = element("textarea");
    area.name = "rows"; area.value = JSON.stringify(input.sample);
    fields.push(area);
  } else {
    for (const column of input.columns.filter((one) => one.role !== "unused")) {
      const label = element("label", column.name + (column.range ? " (" + column.range.map((end) => bound(column.role, end)).join(" to ") + ")" : ""));
      const field = element("input"), value = sample[column.name];
      field.name = column.name; field.value = value === null || value === undefined ? "" : String(value);
      if (column.values) {
        const list = element("datalist");
        list.id = "values of " + column.name;
        for (const one of column.values) { const choice = element("option"); choice.value = one; list.append(choice); }
        field.setAttribute("list", list.id);
        label.append(list);
      }
      label.append(field);
      fields.push(label);
    }
  }
  $("row").replaceChildren(...fields);
}

function rows() {
  const input = inputs[$("model").value];
  if (input.form !== "table") return JSON.parse($("row").elements.rows.value);
  const made = {};
  for (const column of input.columns.filter((one) => one.role !== "unused")) {
    const text = $("row").elements.namedItem(column.name).value.trim();
    made[column.name] = text === "" ? null : column.role === "number" && Number.isFinite(Number(text)) ? Number(text) : text;
  }
  return [made];
}

async function ask() {
  try {
    const content = { model: $("model").value, rows: rows() };
    if (inputs[content.model].task === "classification") content.proba = true;
    const answer = await fetch("/v1/predict", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
    $("answer").textContent = JSON.stringify(await answer.json(), null, 1);
  } catch (error) {
    $("answer").textContent = error.message;
  }
}

async function start() {
  const known = await (await fetch("/v1/models")).json();
  for (const model of known.models) {
    const card = await (await fetch("/v1/models/" + encodeURIComponent(model.name))).json(), choice = element("option", model.name);
    inputs[model.name] = { ...card.input, task: card.task };
    choice.value = model.name;
    $("model").append(choice);
  }
  $("model").addEventListener("change", form);
  $("row").addEventListener("submit", (event) => { event.preventDefault(); return ask(); });
  form();
}

refresh();
setInterval(refresh, 2000);
start();
