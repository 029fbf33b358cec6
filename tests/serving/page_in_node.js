// Runs page.js with a document that knows just what it uses: node page_in_node.js PAGE.js ANSWERS.json
"use strict";
const fs = require("fs"), vm = require("vm");
const answers = JSON.parse(fs.readFileSync(process.argv[3], "utf8")), asked = [];

class Node {
  constructor(name) { this.name = name; this.children = []; this.text = ""; this.attributes = {}; this.listeners = {}; this.value = ""; }
  get childNodes() { return this.children; }
  get elements() {
    const found = {}, walk = (one) => { for (const child of one.children) { if (child.name !== undefined && child.fieldName()) found[child.fieldName()] = child; walk(child); } };
    walk(this);
    return Object.assign(found, { namedItem: (name) => found[name] });
  }
  fieldName() { return typeof this.name === "string" && !["input", "textarea"].includes(this.tag) ? "" : this.name; }
  set textContent(text) { this.text = text; this.children = []; }
  get textContent() { return this.text + this.children.map((child) => child.textContent).join(" "); }
  append(...nodes) { this.children.push(...nodes); if (this.tag === "select" && !this.value) this.value = nodes[0].value; }
  replaceChildren(...nodes) { this.children = nodes; }
  setAttribute(name, value) { this.attributes[name] = value; }
  addEventListener(name, call) { this.listeners[name] = call; }
}
const ids = {}, make = (tag) => Object.assign(new Node(tag), { tag });
for (const id of ["server", "rate", "latency", "errors", "rates", "latencies", "failures", "totals", "models", "row", "ask", "answer"]) ids[id] = make("div");
ids.model = make("select");
const document = { getElementById: (id) => ids[id], createElement: make, createElementNS: (_, tag) => make(tag) };
async function fetch(path, options) {
  asked.push({ path, body: options ? JSON.parse(options.body) : null });
  return { ok: true, json: async () => answers[path] };
}
vm.runInNewContext(fs.readFileSync(process.argv[2], "utf8"), { document, Node, fetch, setInterval: () => 0, console, JSON, Object, Number, Math, Date, encodeURIComponent });
setTimeout(async () => {
  await ids.row.listeners.submit({ preventDefault() {} });
  const texts = Object.fromEntries(Object.entries(ids).map(([id, node]) => [id, node.textContent]));
  console.log(JSON.stringify({ asked, texts, bars: ids.rates.children.length, fields: ids.row.children.length }));
}, 100);
