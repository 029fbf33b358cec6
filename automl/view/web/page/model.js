// What the page knows, without a document: rows and their order, filters, axes, and numbers as text.
"use strict";

export const STATES = ["running", "paused", "done", "stopped", "failed"];
export const FIXED = ["rank", "trial", "state", "value", "step", "seconds", "started_s", "attempt", "front", "reason"];

// -- text -------------------------------------------------------------------------------------------------------------

// Without control, format and bidirectional characters, on one line.
export function clean(text) {
  return String(text).replace(/[\t\r\n\u2028\u2029]+/g, " ").replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}]/gu, "");
}

function exponent(text) {
  const [mantissa, power] = text.split("e");
  if (power === undefined) return text;
  return (mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa) + "e" + Number(power);
}

// A score: decimals from 0.01 to 100, else significant digits.
export function number(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "-";
  const size = Math.abs(value);
  if (value === 0 || (size >= 0.01 && size < 100)) return value.toFixed(digits);
  return exponent(size >= 1e-3 && size < 1e6 ? String(Number(value.toPrecision(digits))) : value.toExponential(digits - 1));
}

// One hyperparameter.
export function short(value, digits = 3) {
  if (value === undefined) return "";
  if (value === null) return "null";
  if (typeof value === "number" && !Number.isInteger(value)) {
    const size = Math.abs(value);
    return size >= 0.01 && size < 10 ** digits ? String(Number(value.toPrecision(digits))) : exponent(value.toExponential(digits - 1));
  }
  return clean(typeof value === "object" ? JSON.stringify(value) : value);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "-";
  const two = (n) => String(n).padStart(2, "0"), whole = Math.round(seconds);
  if (seconds < 9.95) return seconds.toFixed(1) + "s";
  if (whole < 60) return whole + "s";
  if (whole < 3600) return Math.floor(whole / 60) + "m" + two(whole % 60) + "s";
  if (whole < 86400) return Math.floor(whole / 3600) + "h" + two(Math.floor(whole % 3600 / 60)) + "m";
  return Math.floor(whole / 86400) + "d" + two(Math.floor(whole % 86400 / 3600)) + "h";
}

export const name = (trial) => "t" + String(trial).padStart(4, "0");

// -- rows -------------------------------------------------------------------------------------------------------------

// A column is one of FIXED, "config.NAME" or "values.NAME": names come from users, so they are never looked up bare.
export function get(row, column, ranks) {
  if (column === "rank") return ranks ? ranks.get(row.trial) ?? null : null;
  if (column.startsWith("config.")) {
    const key = column.slice(7);
    return Object.hasOwn(row.config, key) ? row.config[key] : undefined;
  }
  if (column.startsWith("values.")) return row.values && Object.hasOwn(row.values, column.slice(7)) ? row.values[column.slice(7)] : undefined;
  return row[column];
}

export class Board {
  constructor(about) {
    this.about = about;
    this.sign = about.direction === "maximize" ? -1 : 1;
    this.rows = new Map();
    this.ranks = new Map();
    this.ordered = [];
  }

  // Take changed rows, and the order of the trials where several objectives decide it.
  merge(rows, order) {
    for (const row of rows) this.rows.set(row.trial, row);
    if (order) this.ordered = order.map((n) => this.rows.get(n)).filter((row) => row && row.state !== "failed");
    else if (rows.length) this.ordered = [...this.rows.values()].filter((row) => row.value !== null && row.state !== "failed").sort((a, b) => this.order(a, b));
    else return;
    this.ranks = new Map(this.ordered.map((row, k) => [row.trial, k + 1]));
  }

  order(a, b) {
    return this.sign * (a.value - b.value) || (a.state !== "done") - (b.state !== "done") || a.trial - b.trial;
  }

  // The rows that a test keeps, in the order of a column; rows without a value come last.
  sorted(test, column, down) {
    if (column === "rank") {
      const ranked = this.ordered.filter(test), rest = [...this.rows.values()].filter((row) => !this.ranks.has(row.trial) && test(row));
      return [...(down ? ranked.reverse() : ranked), ...rest.sort((a, b) => (a.state === "failed") - (b.state === "failed") || a.trial - b.trial)];
    }
    const keyed = [];
    for (const row of this.rows.values()) if (test(row)) keyed.push([get(row, column, this.ranks), row]);
    return keyed.sort((a, b) => compare(a[0], b[0], down) || a[1].trial - b[1].trial).map((pair) => pair[1]);
  }
}

const missing = (value) => value === null || value === undefined;

export function compare(a, b, down) {
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : typeof b === "number" ? 1 : String(a) < String(b) ? -1 : 1;
  if (typeof a !== "number") [a, b] = [short(a), short(b)];
  return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
}

// -- filters ----------------------------------------------------------------------------------------------------------

const TERM = /("[^"]*"|[^\s<>=!"]+)\s*(<=|>=|!=|==|=|<|>)\s*("[^"]*"|[^\s"]+)|("[^"]*"|[^\s"]+)/g;
const bare = (text) => text.replace(/^"|"$/g, "");

// {test, problem} of a text such as `lr<1e-3 state=done adam`; a word without an operator is looked for everywhere.
export function filter(text, columns, metric) {
  const known = new Map(columns.map((column) => [column.replace(/^(config|values)\./, ""), column])), tests = [];
  for (const column of FIXED) if (!known.has(column)) known.set(column, column);
  if (!known.has(metric)) known.set(metric, "value");
  for (const [, left, operator, right, word] of text.matchAll(TERM)) {
    if (word !== undefined) {
      const wanted = bare(word).toLowerCase();
      tests.push((row) => words(row).includes(wanted));
      continue;
    }
    const column = known.get(bare(left));
    if (column === undefined) return { test: () => true, problem: "there is no column " + clean(bare(left)) };
    tests.push(condition(column, operator, bare(right)));
  }
  return { test: (row, ranks) => tests.every((test) => test(row, ranks)), problem: "" };
}

function words(row) {
  return [name(row.trial), row.state, row.reason, row.origin, ...Object.values(row.config)].map((one) => short(one)).join(" ").toLowerCase();
}

function condition(column, operator, wanted) {
  const amount = Number(wanted), numeric = wanted.trim() !== "" && !Number.isNaN(amount);
  return (row, ranks) => {
    const value = get(row, column, ranks);
    if (operator === "=" || operator === "==" || operator === "!=") {
      const same = typeof value === "number" && numeric ? value === amount : short(value, 12) === wanted;
      return same === (operator !== "!=") && value !== undefined;
    }
    if (typeof value !== "number" || !numeric) return false;
    return operator === "<" ? value < amount : operator === "<=" ? value <= amount : operator === ">" ? value > amount : value >= amount;
  };
}

// -- axes -------------------------------------------------------------------------------------------------------------

export const NOT_THERE = -0.06;

// Where the values of a parameter lie on an axis, from 0 to 1; `NOT_THERE` where a config has none.
export class Axis {
  constructor(column, label, described) {
    Object.assign(this, { column, label, ...described });
    if (this.kind === "choice") this.places = new Map(this.choices.map((value, k) => [short(value, 12), this.choices.length > 1 ? k / (this.choices.length - 1) : 0.5]));
  }

  at(value) {
    if (missing(value) && this.kind !== "choice") return NOT_THERE;
    if (this.kind === "choice") return value === undefined ? NOT_THERE : this.places.get(short(value, 12)) ?? NOT_THERE;
    if (this.high === this.low) return 0.5;
    const [low, high, x] = this.log ? [Math.log(this.low), Math.log(this.high), Math.log(Math.max(value, 1e-300))] : [this.low, this.high, value];
    return Math.min(Math.max((x - low) / (high - low), 0), 1);
  }

  // The value at a place, for numbers.
  value(place) {
    if (this.log) return Math.exp(Math.log(this.low) + place * (Math.log(this.high) - Math.log(this.low)));
    return this.low + place * (this.high - this.low);
  }

  // [place, text] of a few marks.
  get marks() {
    if (this.kind === "choice") return this.choices.map((value) => [this.at(value), short(value)]);
    return [[0, short(this.low)], [0.5, short(this.value(0.5))], [1, short(this.high)]];
  }

  // What a stretch from `low` to `high` (places) means as the range of `narrow`; null where nothing is left.
  narrowed(low, high) {
    if (this.kind === "choice") {
      const kept = this.choices.filter((value) => this.at(value) >= low && this.at(value) <= high);
      return kept.length ? kept : null;
    }
    const ends = [this.value(low), this.value(high)];
    if (this.kind !== "int") return ends.map((end) => Number(end.toPrecision(6)));
    const whole = [Math.ceil(ends[0]), Math.floor(ends[1])];
    return whole[0] <= whole[1] ? whole : null;
  }
}

// The range of values that an axis or a picture shows: the worst of them may lie outside.
export function span(values, sign) {
  const sorted = values.filter(Number.isFinite).map((v) => sign * v).sort((a, b) => a - b);
  if (!sorted.length) return [0, 1];
  const best = sorted[0], median = sorted[Math.floor(sorted.length / 2)], last = sorted[sorted.length - 1];
  const worst = Math.min(last, Math.max(median + 3 * (median - best), sorted[Math.floor(0.9 * (sorted.length - 1))]));
  const ends = [sign * best, sign * (worst > best ? worst : best + (Math.abs(best) || 1) * 0.1)];
  return ends.sort((a, b) => a - b);
}

// A test for rows inside all stretches: Map of column to [low, high].
export function brushed(axes, stretches) {
  const wanted = axes.filter((axis) => stretches.has(axis.column)).map((axis) => [axis, ...stretches.get(axis.column)]);
  return (row) => wanted.every(([axis, low, high]) => {
    const place = axis.at(get(row, axis.column));
    return place >= low && place <= high;
  });
}
