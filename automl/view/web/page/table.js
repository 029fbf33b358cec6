// The board: a table that only has the rows which are in sight, however many there are.
"use strict";
import { get, name, number, short, duration } from "./model.js";

const HEIGHT = 26, MARGIN = 8;
export const TITLES = { rank: "rank", trial: "trial", state: "state", step: "step", seconds: "time", reason: "note", front: "front", attempt: "attempt" };

export function element(tag, text, kind) {
  const one = document.createElement(tag);
  if (text !== undefined && text !== null) one.textContent = String(text);
  if (kind) one.className = kind;
  return one;
}

export class Table {
  // `on`: {sort(column), open(trial), choose(trial)}.
  constructor(root, on) {
    this.root = root;
    this.on = on;
    this.rows = [];
    this.columns = [];
    this.chosen = new Set();
    this.active = null;
    this.table = element("table");
    this.head = this.table.createTHead();
    this.body = this.table.createTBody();
    this.table.setAttribute("role", "grid");
    this.table.setAttribute("aria-label", "Trials");
    this.table.setAttribute("aria-multiselectable", "true");
    this.table.tabIndex = 0;
    root.append(this.table);
    root.addEventListener("scroll", () => this.paint());
    this.table.addEventListener("keydown", (event) => this.key(event));
    this.body.addEventListener("click", (event) => {
      const line = event.target.closest("tr[data-trial]");
      if (!line) return;
      const trial = Number(line.dataset.trial);
      this.move(trial);
      if (event.target.closest("td").cellIndex === 0) this.on.choose(trial); else this.on.open(trial);
    });
    new ResizeObserver(() => this.paint()).observe(root);
  }

  // What is shown from now on.
  show(rows, columns, titles, board, sort, down) {
    const before = this.columns.join("\n") + this.sort + this.down;
    Object.assign(this, { rows, columns, titles, board, sort, down });
    if (before !== columns.join("\n") + sort + down) this.titled();
    this.table.setAttribute("aria-rowcount", String(rows.length + 1));
    if (this.active !== null && !rows.some((row) => row.trial === this.active)) this.active = null;
    this.paint();
  }

  titled() {
    const line = element("tr"), choose = element("th");
    choose.append(element("span", "compare", "hidden"));
    choose.scope = "col";
    line.append(choose);
    for (const [k, column] of this.columns.entries()) {
      const cell = element("th"), button = element("button", this.titles[k]);
      cell.scope = "col";
      button.type = "button";
      button.title = "sort by " + this.titles[k];
      button.addEventListener("click", () => this.on.sort(column));
      cell.setAttribute("aria-sort", column === this.sort ? (this.down ? "descending" : "ascending") : "none");
      cell.append(button);
      line.append(cell);
    }
    this.head.replaceChildren(line);
  }

  paint() {
    const first = Math.max(Math.floor(this.root.scrollTop / HEIGHT) - MARGIN, 0);
    const last = Math.min(first + Math.ceil(this.root.clientHeight / HEIGHT) + 2 * MARGIN, this.rows.length);
    const lines = [];
    for (let k = first; k < last; k++) lines.push(this.line(this.rows[k], k));
    this.body.replaceChildren(this.gap(first), ...lines, this.gap(this.rows.length - last));
    if (this.active !== null) this.table.setAttribute("aria-activedescendant", "row-" + this.active);
    else this.table.removeAttribute("aria-activedescendant");
  }

  gap(rows) {
    const line = element("tr", undefined, "gap"), cell = element("td");
    line.setAttribute("aria-hidden", "true");
    cell.colSpan = this.columns.length + 1;
    cell.style.height = rows * HEIGHT + "px";
    line.append(cell);
    return line;
  }

  line(row, k) {
    const line = element("tr", undefined, row.state), choose = element("td", this.chosen.has(row.trial) ? "☑" : "☐", "choose");
    line.id = "row-" + row.trial;
    line.dataset.trial = row.trial;
    line.setAttribute("aria-rowindex", String(k + 2));
    line.setAttribute("aria-selected", String(this.chosen.has(row.trial)));
    choose.setAttribute("aria-label", this.chosen.has(row.trial) ? "compared" : "not compared");
    if (row.trial === this.board.best) line.classList.add("best");
    if (row.trial === this.active) line.classList.add("active");
    line.append(choose, ...this.columns.map((column) => this.cell(row, column)));
    return line;
  }

  cell(row, column) {
    const value = get(row, column, this.board.ranks);
    if (column === "trial") return element("td", name(value), "number");
    if (column === "seconds") return element("td", duration(value), "number");
    if (column === "value" || column.startsWith("values.")) return element("td", number(value), "number");
    const text = value === null && !column.startsWith("config.") ? "-" : short(value), one = element("td", text, typeof value === "number" ? "number" : "text");
    if (text.length > 24) one.title = text;
    return one;
  }

  key(event) {
    const page = Math.max(Math.floor(this.root.clientHeight / HEIGHT) - 2, 1), at = this.rows.findIndex((row) => row.trial === this.active);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.rows.length, End: this.rows.length };
    if (event.target !== this.table || !this.rows.length || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in steps) {
      const next = at < 0 ? (event.key === "End" ? this.rows.length - 1 : 0) : Math.min(Math.max(at + steps[event.key], 0), this.rows.length - 1);
      this.move(this.rows[next].trial);
    } else if (event.key === "Enter" && this.active !== null) this.on.open(this.active);
    else if (event.key === " " && this.active !== null) this.on.choose(this.active);
    else return;
    event.preventDefault();
  }

  // Make a trial's row the active one, and bring it into sight.
  move(trial) {
    const at = this.rows.findIndex((row) => row.trial === trial), top = at * HEIGHT, head = this.head.offsetHeight;
    this.active = trial;
    if (at >= 0 && top < this.root.scrollTop) this.root.scrollTop = top;
    else if (at >= 0 && top + HEIGHT + head > this.root.scrollTop + this.root.clientHeight) this.root.scrollTop = top + HEIGHT + head - this.root.clientHeight;
    this.paint();
  }
}
