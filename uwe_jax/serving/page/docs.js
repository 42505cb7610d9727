// A readable page out of openapi.json.

import { make } from "./make.js";

const SHOWN_LIST = 1;

function resolve(schema, root) {
  return schema?.$ref ? schema.$ref.slice(2).split("/").reduce((node, part) => node[part], root) : schema;
}

function kind(schema, root) {
  const plain = resolve(schema, root) || {};
  if (plain.type === "array") return `list of ${kind(plain.items, root)}`;
  return plain.type === "object" && plain.title ? plain.title : plain.type || "any";
}

function example(schema, root) {
  const plain = resolve(schema, root) || {};
  if (plain.examples?.length) return plain.examples[0];
  if (plain.default !== undefined) return plain.default;
  if (plain.type === "array") return Array(SHOWN_LIST).fill(example(plain.items, root));
  if (plain.type === "object")
    return Object.fromEntries(Object.entries(plain.properties || {}).map(([name, each]) => [name, example(each, root)]));
  return { string: "text", integer: 1, number: 0.5, boolean: true }[plain.type] ?? null;
}

function fields(schema, root) {
  const plain = resolve(schema, root);
  const rows = Object.entries(plain.properties || {}).map(([name, each]) => make("tr", {},
    make("th", { scope: "row" }, make("code", {}, name)), make("td", {}, kind(each, root)),
    make("td", {}, each.description || resolve(each, root).description || ""),
    make("td", {}, each.default === undefined ? (plain.required?.includes(name) ? "needed" : "") : JSON.stringify(each.default))));
  const head = ["Key", "Type", "What", "Default"].map((text) => make("th", { scope: "col" }, text));
  return make("div", { class: "scroll" },
    make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)));
}

function endpoint(path, method, about, root) {
  const parts = [make("h2", {}, make("span", { class: "method" }, method.toUpperCase()), make("code", {}, path)),
    make("p", {}, about.description || about.summary || "")];
  const body = about.requestBody?.content?.["application/json"]?.schema;
  const base = new URL(".", location.href).href.replace(/\/$/, "");
  if (body) {
    const key = root.components.securitySchemes ? " \\\n  -H 'Authorization: Bearer KEY'" : "";
    const data = JSON.stringify(example(body, root)).replaceAll("'", "'\\''");
    parts.push(make("h3", {}, "Request"), fields(body, root), make("pre", { tabindex: "0" }, make("code", {},
      `curl ${base}${path} \\\n  -H 'Content-Type: application/json'${key} \\\n  -d '${data}'`)));
  }
  const answer = about.responses?.["200"]?.content?.["application/json"]?.schema;
  if (answer) parts.push(make("h3", {}, "Answer"),
    make("pre", { tabindex: "0" }, make("code", {}, JSON.stringify(example(answer, root), null, 2))));
  const refusals = Object.entries(about.responses || {}).filter(([status]) => status !== "200");
  if (refusals.length) parts.push(make("details", {}, make("summary", {}, "Refusals"), make("ul", {},
    ...refusals.map(([status, each]) => make("li", {}, make("b", {}, status), ` ${each.description}`)))));
  return make("section", { class: "endpoint card" }, ...parts);
}

const place = document.getElementById("endpoints");
try {
  const root = await (await fetch("openapi.json")).json();
  const all = Object.entries(root.paths).flatMap(([path, methods]) => Object.entries(methods)
    .filter(([method]) => method !== "head").map(([method, about]) => endpoint(path, method, about, root)));
  place.replaceChildren(...all);
} catch {
  place.replaceChildren(make("p", { class: "problem" }, "openapi.json cannot be read. Is the service running?"));
}
