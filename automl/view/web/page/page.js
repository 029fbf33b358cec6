// The page: asks what has changed, shows it, and sends what its buttons ask.
"use strict";
import * as model from "./model.js";
import { Table, TITLES, element } from "./table.js";
import * as plots from "./plots.js";
import { compared, details } from "./trial.js";

const $ = (id) => document.getElementById(id);
const EVERY_MS = 2000, QUIET_MS = 10000, TOLD_MS = 15000, CURVES = 100, LINES = 3000;
let drawn = -1, said = null, token = "", generation = "", since = 0, about = null, head = {}, board = null, axes = [], found = new Map(), pick = () => null;
let sort = "rank", down = false, opened = null, asking = null, shown = [], test = () => true, copied = null;
const chosen = new Set(), waiting = new Set();

// -- asking -----------------------------------------------------------------------------------------------------------

// The token comes in the address's fragment; it is kept for this tab alone and does not stay in the address.
function admitted() {
  const given = location.hash.slice(1);
  if (/^[\w-]{20,}$/.test(given)) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  token = sessionStorage.getItem("token") ?? "";
}

async function ask(path, body) {
  const options = { headers: { Authorization: "Bearer " + token } };
  if (body !== undefined) Object.assign(options, { method: "POST", body: JSON.stringify(body), headers: { ...options.headers, "Content-Type": "application/json" } });
  const answer = await fetch(path, options), content = await answer.json();
  if (!answer.ok) throw new Error(content.error.message);
  return content;
}

async function refresh() {
  clearTimeout(asking);
  if (!document.hidden) {
    try {
      let more = true;
      while (more) {
        const answer = await ask("/api/state?generation=" + encodeURIComponent(generation) + "&since=" + since);
        take(answer);
        more = answer.more;
        if (!more) await update();
      }
    } catch (error) {
      $("state").textContent = "no answer: " + error.message;
    }
  }
  asking = setTimeout(refresh, head.state === "ended" || head.state === "incomplete" ? QUIET_MS : EVERY_MS);
}

function take(answer) {
  if (answer.about) begin(answer.about);
  ({ generation, since, head } = answer);
  for (const row of answer.rows) waiting.add(row.trial);
  board.best = head.best;
  board.merge(answer.rows, answer.more ? null : head.order);
}

function begin(known) {
  about = known;
  board = new model.Board(about);
  found = new Map();
  document.title = about.study + ": automl watch";
  $("study").textContent = about.study;
  const goals = about.objectives.map((one) => model.clean(one.name) + (one.direction === "maximize" ? " (higher is better)" : " (lower is better)"));
  $("how").textContent = [...goals, ...about.limits.map(model.clean), "strategy " + about.strategy, "stopper " + about.stopper, "seed " + about.seed].join(", ");
  $("config").replaceChildren(...about.params.map(field));
  parallel.stretches.clear();
  stretchFields();
}

// -- showing ----------------------------------------------------------------------------------------------------------

// The head may come later than the rows that it speaks of, because it costs more.
async function update() {
  heading();
  if (waiting.size || drawn !== head.version) {
    drawn = head.version;
    list();
    await draw();
    if (opened !== null && waiting.has(opened)) await open(opened, false);
    waiting.clear();
  }
}

function fact(big, small) {
  const one = element("div");
  one.append(element("b", big), element("span", small));
  return one;
}

function heading() {
  const c = head.counts, states = model.STATES.filter((state) => c[state]).map((state) => c[state] + " " + state), best = board.rows.get(head.best);
  $("state").textContent = head.state + (head.paused ? " (by " + model.clean(head.paused) + ")" : "") + (head.stage ? ", " + head.stage : "");
  $("problem").textContent = head.problem;
  const left = head.left_s ? model.duration((head.left_s[0] + head.left_s[1]) / 2) + " left" : "";
  const facts = [fact(best ? model.number(best.value) : "-", "best " + model.clean(about.metric) + (best ? ", " + model.name(best.trial) : "")), fact(c.begun.toLocaleString("en"), "trials: " + states.join(", ")),
    fact(model.duration(head.elapsed_s), "search time" + (left ? ", about " + left : "")), fact(head.epochs.toLocaleString("en"), "epochs" + (head.saved ? ", " + Math.round(100 * head.saved) + " % saved by early stopping" : ""))];
  if (head.queue) facts.push(fact(head.queue, "configs waiting"));
  $("facts").replaceChildren(...facts);
  $("progress-text").textContent = head.progress[0];
  $("progress").value = head.progress[1];
  for (const [k, input] of inputs().entries()) {
    const [low, high] = head.ranges[about.params[k].name];
    if (about.params[k].kind !== "choice") input.placeholder = model.short(low) + " to " + model.short(high);
  }
  $("pause").disabled = head.paused !== null;
  $("resume").disabled = head.paused === null;
  $("result").textContent = head.result.map(model.clean).join("\n");
  $("edits").replaceChildren(...head.edits.map((edit) => element("li", model.duration(edit.at_s) + ", " + edit.by + ": " + edit.what)));
  const shares = Object.entries(head.importance), table = element("table");
  for (const [key, share] of shares) {
    const line = table.insertRow(), meter = element("meter"), title = element("th", model.clean(key));
    title.scope = "row";
    meter.value = share;
    meter.setAttribute("aria-label", "importance of " + model.clean(key));
    line.append(title, element("td", Math.round(100 * share) + " %"));
    line.insertCell().append(meter);
  }
  $("importance").replaceChildren(shares.length ? table : element("p", "not known: fewer than twenty trials have ended, or no hyperparameter matters more than by chance", "help"));
}

function columns() {
  const params = [...head.columns, ...about.params.map((one) => one.name).filter((key) => !head.columns.includes(key))].map((key) => "config." + key);
  const values = about.objectives.length > 1 || about.limits.length ? [...new Set([...board.rows.values()].flatMap((row) => Object.keys(row.values ?? {})))].filter((key) => key !== about.metric).map((key) => "values." + key) : [];
  return ["rank", "trial", "state", "value", ...values, ...(about.objectives.length > 1 ? ["front"] : []), "step", "seconds", ...params, "reason"];
}

function list() {
  const all = columns(), wanted = model.filter($("filter").value, [...all, ...Object.keys(about.constants).map((key) => "config." + key)], about.metric), state = $("states").value;
  axes = [...all.filter((column) => column.startsWith("config.")).map(axis), metricAxis()];
  const inside = model.brushed(axes, parallel.stretches), kept = (row) => (!state || row.state === state) && wanted.test(row, board.ranks);
  test = inside;
  $("filter").setAttribute("aria-invalid", String(wanted.problem !== ""));
  const visible = board.sorted(kept, sort, down);
  shown = visible;
  const rows = parallel.stretches.size ? visible.filter(inside) : visible;
  const titles = all.map((column) => (column === "value" ? model.clean(about.metric) : TITLES[column] ?? model.clean(column.replace(/^(config|values)\./, ""))));
  table.chosen = chosen;
  table.show(rows, all, titles, board, sort, down);
  $("shown").textContent = wanted.problem || rows.length.toLocaleString("en") + " of " + board.rows.size.toLocaleString("en") + " trials";
  const picked = [...chosen].map((trial) => board.rows.get(trial)).filter(Boolean);
  $("compare").hidden = picked.length === 0;
  if (picked.length) $("compared").replaceChildren(compared(picked, about, board));
}

function axis(column) {
  const described = about.params.find((one) => "config." + one.name === column) ?? { kind: "choice", choices: [] };
  return new model.Axis(column, model.clean(column.slice(7)), described);
}

function metricAxis() {
  const [low, high] = model.span([...board.rows.values()].map((row) => row.value).filter((value) => value !== null), board.sign);
  return new model.Axis("value", model.clean(about.metric), { kind: "float", low, high, log: false });
}

async function draw() {
  plots.history($("history"), board, head.so_far);
  const lines = shown.length > LINES ? shown.filter((row, k) => k % Math.ceil(shown.length / LINES) === 0 || row.trial === head.best) : shown;
  const room = Math.max(Math.floor($("parallel").clientWidth / 70), 4);
  const drawable = axes.filter((one, k) => k < room - 1 || one.column === "value" || parallel.stretches.has(one.column));
  parallel.draw(drawable, lines.filter((row) => row.value !== null), test, board, chosen);
  const kept = shown.filter(test);
  const left = axes.length - drawable.length, part = (lines.length < shown.length ? " A part of " + shown.length + " is drawn." : "") + (left ? " " + left + " less important parameters are left out." : "");
  $("left-out").textContent = left ? "Left out for want of room, the least important: " + left + " parameters." : "";
  $("parallel").setAttribute("aria-label", "Parallel coordinates of " + plots.label(board, kept.length, head.best) + "." + part);
  $("history").setAttribute("aria-label", "Values of " + plots.label(board, board.rows.size, head.best));
  await curves(kept);
}

// Curves of the best trials that are shown, of those that run, and of those that are compared.
async function curves(kept) {
  const running = [...board.rows.values()].filter((row) => row.state === "running").slice(-50), best = kept.filter((row) => row.value !== null).slice(0, CURVES);
  const wanted = [...new Set([head.best, ...chosen, ...running.map((row) => row.trial), ...best.map((row) => row.trial)])].filter((trial) => trial !== null && board.rows.get(trial)?.step > 0);
  const news = wanted.filter((trial) => !found.has(trial) || waiting.has(trial));
  for (let k = 0; k < news.length; k += 150) {
    const answer = await ask("/api/curves?trials=" + news.slice(k, k + 150).join(","));
    for (const [trial, points] of Object.entries(answer.curves)) found.set(Number(trial), points);
  }
  pick = plots.curves($("curves"), board, new Map(wanted.filter((trial) => found.has(trial)).map((trial) => [trial, found.get(trial)])), chosen, head.best);
  $("curves").setAttribute("aria-label", "Curves of " + plots.label(board, wanted.length, head.best));
}

async function again() {
  if (!board) return;
  list();
  await draw().catch(say);
}

// -- one trial --------------------------------------------------------------------------------------------------------

async function open(trial, focus = true) {
  try {
    const one = await ask("/api/trial?number=" + trial), pinned = head.pinned.includes(trial), ending = head.ending.includes(trial), ended = ["done", "stopped", "failed"].includes(one.state);
    opened = trial;
    copied = one.config;
    $("title-trial").textContent = "Trial " + model.name(trial) + (trial === head.best ? ", the best" : "");
    replaced($("details"), details(one, about));
    $("stop").disabled = ended || ending;
    $("stop").textContent = ending ? "Ends with its next report" : "Stop";
    $("pin").disabled = ended || pinned;
    $("pin").textContent = pinned ? "Pinned" : "Pin";
    $("trial").hidden = false;
    if (focus) $("title-trial").focus();
  } catch (error) {
    say(error);
  }
}

// Put in new parts; what was folded stays folded, and a text stays where it was scrolled to, or at its end.
function replaced(root, parts) {
  const before = new Map([...root.querySelectorAll("details")].map((one) => {
    const shown = one.querySelector("pre");
    return [one.firstChild.textContent, [one.open, shown.scrollTop, shown.scrollTop + shown.clientHeight >= shown.scrollHeight - 2]];
  }));
  root.replaceChildren(...parts);
  for (const one of root.querySelectorAll("details")) {
    const shown = one.querySelector("pre"), [open, top, end] = before.get(one.firstChild.textContent) ?? [true, 0, true];
    one.open = open;
    shown.scrollTop = end ? shown.scrollHeight : top;
  }
}

function close() {
  const trial = opened;
  opened = null;
  $("trial").hidden = true;
  if (trial !== null) table.table.focus();
}

function choose(trial) {
  if (!chosen.delete(trial)) chosen.add(trial);
  again();
}

// -- changes ----------------------------------------------------------------------------------------------------------

function say(words) {
  $("told").textContent = words instanceof Error ? words.message : words;
  clearTimeout(said);
  said = setTimeout(() => { $("told").textContent = ""; }, TOLD_MS);
}

async function change(wanted) {
  say("asking the search");
  try {
    say((await ask("/api/edit", wanted)).done.map(model.clean).join("; "));
  } catch (error) {
    say(error);
  }
  await refresh();
  if (opened !== null) await open(opened, false);
}

function field(one) {
  const label = element("label", model.clean(one.name)), choice = one.kind === "choice", input = element(choice ? "select" : "input");
  if (choice) input.append(element("option", ""), ...one.choices.map((value) => element("option", model.short(value, 12))));
  else Object.assign(input, { inputMode: "decimal", autocomplete: "off" });
  label.append(input);
  return label;
}

const inputs = () => [...$("config").querySelectorAll("input, select")];

function filled() {
  const config = [];
  for (const [k, input] of inputs().entries()) {
    const { name, kind, choices } = about.params[k];
    if (kind === "choice" ? input.selectedIndex <= 0 : input.value.trim() === "") continue;
    config.push([name, kind === "choice" ? choices[input.selectedIndex - 1] : Number(input.value)]);
    if (Number.isNaN(config.at(-1)[1])) throw new Error(model.clean(name) + " needs a number");
  }
  return Object.fromEntries(config);
}

function fill(config) {
  for (const [k, input] of inputs().entries()) {
    const { name, kind, choices } = about.params[k], value = Object.hasOwn(config, name) ? config[name] : undefined;
    if (kind === "choice") input.selectedIndex = 1 + choices.findIndex((one) => value !== undefined && model.short(one, 12) === model.short(value, 12));
    else input.value = value ?? "";
  }
}

// -- brushes ----------------------------------------------------------------------------------------------------------

function stretchFields() {
  const fields = [...about.params.map((one) => axis("config." + one.name))].map((one) => {
    const label = element("div"), pair = element("div", undefined, "pair"), ends = ["from", "to"].map((end) => {
      const input = element("input");
      input.setAttribute("aria-label", one.label + " " + end);
      input.placeholder = end;
      input.addEventListener("change", () => typed(one, ends));
      return input;
    });
    label.append(element("label", one.label), pair);
    pair.append(...ends);
    return label;
  });
  $("fields").replaceChildren(...fields);
}

function typed(one, ends) {
  const [from, to] = ends.map((input) => input.value.trim()), place = (text, otherwise) => (text === "" ? otherwise : one.kind === "choice" ? one.at(text) : one.at(Number(text)));
  const low = place(from, 0), high = place(to, 1);
  parallel.set(one.column, from === "" && to === "" ? null : [Math.min(low, high) - 1e-9, Math.max(low, high) + 1e-9]);
}

function narrowing() {
  const wanted = [];
  for (const [column, [low, high]] of parallel.stretches) {
    const one = axes.find((other) => other.column === column), range = column.startsWith("config.") && one ? one.narrowed(Math.max(low, 0), Math.min(high, 1)) : null;
    if (range) wanted.push([column.slice(7), range]);
  }
  return Object.fromEntries(wanted);
}

// -- the page's parts -------------------------------------------------------------------------------------------------

const table = new Table($("board"), {
  sort: (column) => { [sort, down] = [column, column === sort && !down]; again(); },
  open, choose,
});
let drawing = 0;
const parallel = new plots.Parallel($("parallel"), () => {
  $("narrow").disabled = Object.keys(narrowing()).length === 0;
  cancelAnimationFrame(drawing);
  drawing = requestAnimationFrame(again);
});

$("filter").addEventListener("input", again);
$("states").addEventListener("change", again);
for (const id of ["tools", "budgeting", "adding"]) $(id).addEventListener("submit", (event) => event.preventDefault());
$("clear").addEventListener("click", () => {
  $("filter").value = $("states").value = "";
  for (const input of $("fields").querySelectorAll("input")) input.value = "";
  parallel.stretches.clear();
  parallel.changed(parallel.stretches);
});
$("unchoose").addEventListener("click", () => { chosen.clear(); again(); });
$("close").addEventListener("click", close);
$("trial").addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
$("curves").addEventListener("click", (event) => {
  const box = $("curves").getBoundingClientRect(), trial = pick(event.clientX - box.left, event.clientY - box.top);
  if (trial !== null) open(trial);
});
$("stop").addEventListener("click", () => { if (confirm("Stop trial " + model.name(opened) + "?")) change({ stop: opened }); });
$("pin").addEventListener("click", () => change({ pin: opened }));
$("again").addEventListener("click", () => { fill(copied); $("change").scrollIntoView(); inputs()[0]?.focus(); });
$("pause").addEventListener("click", () => change({ pause: true }));
$("resume").addEventListener("click", () => change({ resume: true }));
$("budgeting").addEventListener("submit", () => change({ budget: $("budget").value.trim() }));
$("adding").addEventListener("submit", () => {
  try {
    change({ add: filled() });
  } catch (error) {
    say(error);
  }
});
$("narrow").addEventListener("click", () => {
  const wanted = narrowing(), words = Object.entries(wanted).map(([key, range]) => model.clean(key) + " to " + range.map((end) => model.short(end)).join(", "));
  if (confirm("Narrow " + words.join("; ") + "? Ranges only become smaller.")) change({ narrow: wanted });
});
$("draw").addEventListener("click", async () => {
  $("draw").disabled = true;
  say("drawing the report");
  try {
    $("report").href = (await ask("/api/report", {})).path;
    $("report").hidden = false;
    say("the report is drawn");
  } catch (error) {
    say(error);
  }
  $("draw").disabled = false;
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
window.addEventListener("resize", again);
window.addEventListener("hashchange", () => { admitted(); refresh(); });
admitted();
refresh();
