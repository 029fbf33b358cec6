// What model.js computes: node model_in_node.mjs MODEL.mjs
import assert from "node:assert/strict";
const m = await import(process.argv[2]);
const about = { direction: "maximize", objectives: [], limits: [], params: [] };
const row = (trial, value, state = "done", config = {}) => ({ trial, value, state, config, step: 3, seconds: 1, reason: "", origin: "" });
const tests = {
  "numbers read as the leaderboard writes them"() {
    const shown = [0, 0.5, 99.5, 123.4567, 0.001234, 1.5e-7, 1e9, -0.25, null, NaN].map((x) => m.number(x));
    assert.deepEqual(shown, ["0.0000", "0.5000", "99.5000", "123.5", "0.001234", "1.5e-7", "1e9", "-0.2500", "-", "-"]);
    assert.deepEqual([0.00021, 0.25, 64, 1234.5, true, null, undefined, "a\u202eb\x1b", [64, 32]].map((x) => m.short(x)), ["2.1e-4", "0.25", "64", "1.23e3", "true", "null", "", "ab", "[64,32]"]);
    assert.deepEqual([0.41, 38, 62, 11100, 187200].map(m.duration), ["0.4s", "38s", "1m02s", "3h05m", "2d04h"]);
  },
  "rows are ranked, and changed rows replace what was known"() {
    const board = new m.Board(about);
    board.merge([row(0, 0.5), row(1, 0.9, "stopped"), row(2, 0.9), row(3, null, "running"), row(4, 0.99, "failed")]);
    assert.deepEqual(board.ordered.map((r) => r.trial), [2, 1, 0]);
    board.merge([row(3, 0.95, "running")]);
    assert.deepEqual([...board.ranks], [[3, 1], [2, 2], [1, 3], [0, 4]]);
    assert.deepEqual(board.sorted(() => true, "rank", false).map((r) => r.trial), [3, 2, 1, 0, 4]);
    assert.deepEqual(board.sorted(() => true, "value", false).map((r) => r.trial), [0, 1, 2, 3, 4]);
    assert.deepEqual(board.sorted((r) => r.state !== "failed", "trial", true).map((r) => r.trial), [3, 2, 1, 0]);
    board.merge([], [0, 3]);
    assert.deepEqual([...board.ranks.keys()], [0, 3]);
  },
  "missing values come last, in both directions"() {
    for (const down of [false, true]) {
      const sorted = [3, null, 1, undefined, 2].sort((a, b) => m.compare(a, b, down));
      assert.deepEqual(sorted.slice(0, 3), down ? [3, 2, 1] : [1, 2, 3]);
    }
  },
  "filters"() {
    const rows = [row(0, 0.5, "done", { lr: 0.01, opt: "adam", "my name": 1 }), row(1, 0.7, "stopped", { lr: 1e-4, opt: null }), row(2, null, "running", { lr: 1, opt: "sgd" })];
    const columns = ["rank", "trial", "config.lr", "config.opt", "config.my name"], ranks = new Map([[1, 1], [0, 2]]);
    const kept = (text) => {
      const { test, problem } = m.filter(text, columns, "acc");
      return problem || rows.filter((r) => test(r, ranks)).map((r) => r.trial);
    };
    assert.deepEqual(kept(""), [0, 1, 2]);
    assert.deepEqual(kept("lr<1e-2"), [1]);
    assert.deepEqual(kept("lr<=1e-2 state=done"), [0]);
    assert.deepEqual(kept("opt=null"), [1]);
    assert.deepEqual(kept("opt!=adam"), [1, 2]);
    assert.deepEqual(kept("acc>0.6"), [1]);
    assert.deepEqual(kept("rank = 1"), [1]);
    assert.deepEqual(kept('"my name"=1'), [0]);
    assert.deepEqual(kept("ADAM"), [0]);
    assert.deepEqual(kept("t0002"), [2]);
    assert.equal(kept("nope=1"), "there is no column nope");
    assert.equal(kept("constructor=1"), "there is no column constructor");
    assert.deepEqual(kept("lr<adam"), []);
  },
  "names that objects have themselves are names like others"() {
    const config = JSON.parse('{"__proto__": 1, "constructor": 2}'), one = row(0, 1, "done", config);
    assert.equal(m.get(one, "config.__proto__"), 1);
    assert.equal(m.get(one, "config.constructor"), 2);
    assert.equal(m.get(one, "config.toString"), undefined);
    assert.equal(m.get(row(0, 1), "config.constructor"), undefined);
    assert.deepEqual([one].filter(m.filter("constructor=2", ["config.constructor"], "acc").test), [one]);
    assert.equal(m.get({ ...one, values: JSON.parse('{"__proto__": 3}') }, "values.__proto__"), 3);
  },
  "axes"() {
    const lr = new m.Axis("config.lr", "lr", { kind: "float", low: 1e-4, high: 1, log: true });
    assert.deepEqual([1e-4, 1e-2, 1, 7].map((x) => Number(lr.at(x).toFixed(6))), [0, 0.5, 1, 1]);
    assert.equal(lr.at(undefined), m.NOT_THERE);
    assert.deepEqual(lr.narrowed(0.25, 0.5), [0.001, 0.01]);
    const layers = new m.Axis("config.n", "n", { kind: "int", low: 1, high: 9, log: false });
    assert.deepEqual(layers.narrowed(0.2, 0.8), [3, 7]);
    assert.equal(layers.narrowed(0.26, 0.3), null);
    const opt = new m.Axis("config.opt", "opt", { kind: "choice", choices: ["adam", null, [1, 2]] });
    assert.deepEqual(["adam", null, [1, 2], "what", undefined].map((x) => opt.at(x)), [0, 0.5, 1, m.NOT_THERE, m.NOT_THERE]);
    assert.deepEqual(opt.narrowed(0.4, 1), [null, [1, 2]]);
    const rows = [row(0, 0.5, "done", { lr: 0.5 }), row(1, 0.5, "done", { lr: 0.001 }), row(2, 0.5)];
    assert.deepEqual(rows.filter(m.brushed([lr, opt], new Map([["config.lr", [0, 0.5]]]))).map((r) => r.trial), [1]);
    assert.deepEqual(m.span([1, 2, 3, 1000], 1), [1, 9]);
    assert.deepEqual(m.span([], 1), [0, 1]);
  },
  "ten thousand rows are merged, ranked, filtered and sorted in a fraction of a second"() {
    const board = new m.Board(about), rows = Array.from({ length: 10000 }, (_, k) => row(k, (k * 7919) % 10007, "done", { lr: k / 1e4, opt: k % 2 ? "adam" : "sgd" }));
    const begun = process.cpuUsage();
    board.merge(rows);
    board.merge(rows.slice(0, 10));
    const { test } = m.filter("lr<0.5 opt=adam", ["config.lr", "config.opt"], "acc");
    assert.equal(board.sorted((r) => test(r, board.ranks), "config.lr", true).length, 2500);
    const spent = process.cpuUsage(begun);
    assert.ok(spent.user + spent.system < 1e6, String(spent.user));
  },
};
for (const [title, test] of Object.entries(tests)) {
  try {
    test();
  } catch (error) {
    console.error(title + "\n" + error.stack);
    process.exitCode = 1;
  }
}
console.log(Object.keys(tests).length + " tests");
