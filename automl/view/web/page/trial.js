// One trial in full, and several beside one another.
"use strict";
import { clean, duration, get, name, number, short } from "./model.js";
import { element } from "./table.js";

const EXACT = 12;
const REPORTS = 20;

function table(title, head, lines) {
  const made = element("table");
  made.append(element("caption", title));
  if (head.length) {
    const line = made.createTHead().insertRow();
    for (const words of head) {
      const cell = element("th", words);
      cell.scope = "col";
      line.append(cell);
    }
  }
  const body = made.createTBody();
  for (const [first, ...cells] of lines) {
    const line = body.insertRow(), title = element("th", first);
    title.scope = "row";
    line.append(title, ...cells.map((words) => element("td", words)));
  }
  return made;
}

// A text of many lines, of which only what is harmless is left.
function output(title, text) {
  const part = element("details"), shown = element("pre", text.split("\n").map(clean).join("\n"));
  shown.tabIndex = 0;
  part.open = true;
  part.append(element("summary", title), shown);
  return part;
}

// What is known of a trial, as parts of a page.
export function details(found, about) {
  const values = Object.entries(found.values ?? {}).filter(([key]) => key !== about.metric).map(([key, value]) => [clean(key), number(value)]);
  const facts = [
    ["state", found.state],
    [clean(about.metric), number(found.value) + (found.rank ? ", rank " + found.rank : "")],
    ...values,
    ...(found.front ? [["front", found.front]] : []),
    ["step", found.step],
    ["time", duration(found.seconds)],
    ...(found.attempt > 1 ? [["attempt", found.attempt]] : []),
    ...(found.origin ? [["suggested by", clean(found.origin)]] : []),
    ...(found.reason ? [["note", clean(found.reason)]] : []),
  ];
  const parts = [table("Result", [], facts), table("Config", [], Object.entries(found.config).map(([key, value]) => [clean(key), short(value, EXACT)]))];
  const names = [...new Set(found.reports.flatMap((report) => Object.keys(report)))].filter((key) => key !== "step"), last = found.reports.slice(-REPORTS).reverse();
  if (last.length) {
    const title = found.reports.length > REPORTS ? "The last " + REPORTS + " of " + found.reports.length + " reports" : "Reports";
    parts.push(table(title, ["step", ...names.map(clean)], last.map((report) => [report.step, ...names.map((key) => number(report[key]))])));
  }
  if (found.failure) parts.push(output("Failure: " + clean(found.failure.kind) + " at step " + found.failure.step, found.failure.message));
  if (found.traceback) parts.push(output("Traceback", found.traceback));
  if (found.text) parts.push(output("Printed", found.text));
  return parts;
}

// Configs and results of several trials, a column each; lines in which they differ are marked.
export function compared(rows, about, board) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.config)))];
  const lines = [["rank", ...rows.map((row) => board.ranks.get(row.trial) ?? "-")], ["state", ...rows.map((row) => row.state)],
    [clean(about.metric), ...rows.map((row) => number(row.value))], ["step", ...rows.map((row) => row.step)], ["time", ...rows.map((row) => duration(row.seconds))],
    ...names.map((key) => [clean(key), ...rows.map((row) => short(get(row, "config." + key), 6))])];
  const made = table("Compared", ["", ...rows.map((row) => name(row.trial))], lines);
  for (const line of made.tBodies[0].rows) if (new Set([...line.cells].slice(1).map((cell) => cell.textContent)).size > 1) line.classList.add("differs");
  return made;
}
