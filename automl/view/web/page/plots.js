// The pictures, drawn on canvas: the best so far, curves, and parallel coordinates with brushes.
"use strict";
import { get, name, number, short, span, NOT_THERE } from "./model.js";

const colour = (property) => getComputedStyle(document.documentElement).getPropertyValue(property).trim();

// A canvas of its size on the screen, empty: {context, width, height}.
function cleared(canvas) {
  const scale = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas, context = canvas.getContext("2d");
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  return { context, width, height };
}

function text(context, words, x, y, align = "left", most = 140) {
  context.fillStyle = colour("--text");
  context.textAlign = align;
  while (words.length > 1 && context.measureText(words).width > most) words = words.slice(0, -2) + "…";
  context.fillText(words, x, y);
}

// A frame with the ends of both axes; returns how steps and values become places.
function frame(context, width, height, [left, right], [low, high], labels) {
  const box = { x: 58, y: 8, w: Math.max(width - 68, 10), h: Math.max(height - 34, 10) };
  context.strokeStyle = colour("--line");
  context.strokeRect(box.x, box.y, box.w, box.h);
  text(context, number(high, 3), box.x - 6, box.y + 6, "right", 54);
  text(context, number(low, 3), box.x - 6, box.y + box.h - 6, "right", 54);
  text(context, short(left), box.x, box.y + box.h + 14);
  text(context, short(right), box.x + box.w, box.y + box.h + 14, "right");
  text(context, labels, box.x + box.w / 2, box.y + box.h + 14, "center", box.w / 2);
  const x = (step) => box.x + box.w * (right > left ? (step - left) / (right - left) : 0.5);
  const y = (value) => box.y + box.h * (1 - Math.min(Math.max((value - low) / (high - low), -0.02), 1.02));
  return { x, y, box };
}

function line(context, points, { x, y }, style, width) {
  context.strokeStyle = style;
  context.lineWidth = width;
  context.beginPath();
  points.forEach(([step, value], k) => (k ? context.lineTo(x(step), y(value)) : context.moveTo(x(step), y(value))));
  if (points.length === 1) context.arc(x(points[0][0]), y(points[0][1]), 1.5, 0, 7);
  context.stroke();
  context.lineWidth = 1;
}

// The value of every trial by its number, and the best so far.
export function history(canvas, board, soFar) {
  const { context, width, height } = cleared(canvas), rows = [...board.rows.values()].filter((row) => row.value !== null && row.state !== "failed");
  if (!rows.length) return text(context, "no trial has reported a value yet", 10, height / 2, "left", width);
  const places = frame(context, width, height, [0, Math.max(board.rows.size - 1, 1)], span(rows.map((row) => row.value), board.sign), "trial");
  for (const [state, style] of [["stopped", "--faint"], ["paused", "--faint"], ["running", "--run"], ["done", "--strong"]]) {
    context.fillStyle = colour(style);
    for (const row of rows) if (row.state === state) context.fillRect(places.x(row.trial) - 1.5, places.y(row.value) - 1.5, 3, 3);
  }
  const best = soFar.map((value, k) => [(k + 1) / soFar.length * Math.max(board.rows.size - 1, 1), value]);
  return line(context, best, places, colour("--best"), 2);
}

// Curves of trials; returns a function that finds the trial nearest to a point of the canvas.
export function curves(canvas, board, found, chosen, best) {
  const { context, width, height } = cleared(canvas), known = [...found.entries()].filter(([, points]) => points.length);
  if (!known.length) {
    text(context, "no curves", 10, height / 2, "left", width);
    return () => null;
  }
  const steps = known.flatMap(([, points]) => [points[0][0], points[points.length - 1][0]]), values = known.flatMap(([, points]) => points.map((point) => point[1]));
  const places = frame(context, width, height, [Math.min(...steps), Math.max(...steps)], span(values, board.sign), "step");
  context.save();
  context.beginPath();
  context.rect(places.box.x, places.box.y, places.box.w, places.box.h);
  context.clip();
  const rank = ([trial]) => (trial === best ? 3 : chosen.has(trial) ? 2 : board.rows.get(trial)?.state === "running" ? 1 : 0);
  const styles = ["--faint", "--run", "--chosen", "--best"];
  for (const entry of known.sort((a, b) => rank(a) - rank(b))) line(context, entry[1], places, colour(styles[rank(entry)]), rank(entry) > 1 ? 2.5 : 1);
  context.restore();
  return (px, py) => {
    let near = null, least = 12 ** 2;
    for (const [trial, points] of known) for (const [step, value] of points) {
      const distance = (places.x(step) - px) ** 2 + (places.y(value) - py) ** 2;
      if (distance < least) [near, least] = [trial, distance];
    }
    return near;
  };
}

// One axis for each parameter and one for the metric, a line for each trial. A drag on an axis is a brush.
export class Parallel {
  // `changed(stretches)` is called with a Map of column to [low, high] when a brush was drawn or removed.
  constructor(canvas, changed) {
    Object.assign(this, { canvas, changed, axes: [], stretches: new Map(), drag: null });
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.pull(event));
    canvas.addEventListener("pointerup", () => this.release());
    canvas.addEventListener("pointercancel", () => this.release());
  }

  x(k) { return this.axes.length > 1 ? 50 + (this.width - 100) * k / (this.axes.length - 1) : this.width / 2; }
  y(place) { return this.top + (this.bottom - this.top) * (1 - place); }
  place(py) { return Math.min(Math.max(1 - (py - this.top) / (this.bottom - this.top), NOT_THERE - 0.02), 1); }

  draw(axes, rows, kept, board, chosen) {
    const { context, width, height } = cleared(this.canvas);
    Object.assign(this, { axes, width, height, top: 34, bottom: height - 26, last: [axes, rows, kept, board, chosen] });
    const inside = rows.filter(kept), outside = this.stretches.size ? rows.filter((row) => !kept(row)) : [];
    this.lines(context, outside, colour("--ghost"), 1);
    const most = Math.max(inside.length, 1), order = [...inside].sort((a, b) => (board.ranks.get(b.trial) ?? 1e9) - (board.ranks.get(a.trial) ?? 1e9));
    context.globalAlpha = Math.max(0.12, Math.min(1, 40 / Math.sqrt(most) / 10));
    this.lines(context, order.slice(0, Math.floor(most * 0.8)), colour("--faint"), 1);
    context.globalAlpha = Math.max(0.4, Math.min(1, 20 / Math.sqrt(most)));
    this.lines(context, order.slice(Math.floor(most * 0.8)), colour("--strong"), 1.2);
    context.globalAlpha = 1;
    this.lines(context, rows.filter((row) => chosen.has(row.trial)), colour("--chosen"), 2.5);
    this.lines(context, rows.filter((row) => row.trial === board.best), colour("--best"), 2.5);
    axes.forEach((axis, k) => this.axis(context, axis, k));
  }

  lines(context, rows, style, thick) {
    context.strokeStyle = style;
    context.lineWidth = thick;
    context.beginPath();
    for (const row of rows) this.axes.forEach((axis, k) => {
      const y = this.y(axis.at(get(row, axis.column)));
      if (k) context.lineTo(this.x(k), y); else context.moveTo(this.x(k), y);
    });
    context.stroke();
  }

  axis(context, axis, k) {
    const x = this.x(k), room = Math.max((this.width - 100) / Math.max(this.axes.length - 1, 1) - 12, 30);
    context.strokeStyle = colour("--text");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, this.y(0));
    context.lineTo(x, this.y(1));
    context.stroke();
    text(context, axis.label, x, 12, "center", room);
    const marks = axis.marks.length > 12 ? axis.marks.filter((_, n) => n % Math.ceil(axis.marks.length / 12) === 0) : axis.marks;
    for (const [place, words] of marks) text(context, words, x + 5, this.y(place), "left", Math.min(room, 90));
    if (!this.stretches.has(axis.column)) return;
    const [low, high] = this.stretches.get(axis.column);
    context.fillStyle = colour("--brush");
    context.fillRect(x - 8, this.y(high), 16, Math.max(this.y(low) - this.y(high), 3));
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  press(event) {
    const [px, py] = this.point(event), near = this.axes.findIndex((_, k) => Math.abs(this.x(k) - px) < 22);
    if (near < 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = { column: this.axes[near].column, from: this.place(py), moved: false };
  }

  pull(event) {
    if (!this.drag) return;
    const to = this.place(this.point(event)[1]), { column, from } = this.drag;
    if (Math.abs(to - from) < 0.01 && !this.drag.moved) return;
    this.drag.moved = true;
    this.stretches.set(column, [Math.min(from, to), Math.max(from, to)]);
    this.changed(this.stretches);
  }

  // A click without a drag removes the brush of that axis.
  release() {
    const drag = this.drag;
    this.drag = null;
    if (drag && !drag.moved && this.stretches.delete(drag.column)) this.changed(this.stretches);
  }

  set(column, stretch) {
    if (stretch) this.stretches.set(column, stretch); else this.stretches.delete(column);
    this.changed(this.stretches);
  }
}

export const label = (board, shown, best) => shown + " trials" + (best === null ? "" : ", the best is " + name(best) + " with " + number(board.rows.get(best)?.value));
