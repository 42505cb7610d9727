// The list of hits: text, id, further columns and score of each, and when it is opened why it was found.

import { ask } from "./api.js";
import { explanation } from "./explanation.js";
import { make, number } from "./make.js";
import { saving } from "./save.js";

const SHOWN = 120; // characters of what was asked

function facts(hit) {
  const columns = Object.entries(hit.columns ?? {}).map(([name, value]) => make("span", {}, `${name}: ${value}`));
  const id = /^https?:\/\//.test(hit.id)
    ? make("a", { href: hit.id, target: "_blank", rel: "noopener noreferrer" }, hit.id)
    : make("code", {}, hit.id);
  const all = hit.id === hit.text ? columns : [id, ...columns];
  return all.length ? make("p", { class: "facts" }, ...all) : null;
}

/** The name that matched, where it is another one than the text, its role, and whether the query is that name. */
const matched = (hit) =>
  [hit.name, hit.name && hit.role !== "alternative" && hit.role, hit.exact && "exact name"].filter(Boolean).join(" · ");

async function open(button, panel, query, hit, index) {
  const opening = panel.hidden;
  button.setAttribute("aria-expanded", String(opening));
  panel.hidden = !opening;
  if (!opening || panel.dataset.filled) return;
  panel.dataset.filled = "yes";
  panel.replaceChildren(make("p", { class: "hint" }, "Looking closer …"));
  try {
    panel.replaceChildren(explanation(await ask("v1/explain", { query, target: hit.name || hit.text, index })));
  } catch (error) {
    delete panel.dataset.filled;
    panel.replaceChildren(make("p", { class: "problem" }, error.message));
  }
}

/** A bar for a probability. Raw scores have none: bars of different lengths would compare what does not compare. */
function measure(hit) {
  const score = number(hit.score, 3);
  if (typeof hit.probability !== "number") return [make("span", { class: "figure" }, score)];
  return [make("span", { class: "figure" }, `${number(100 * hit.probability, 0)} %`),
    make("span", { class: "bar", "--share": hit.probability.toFixed(3), "aria-hidden": "true" }),
    make("small", {}, `score ${score}`)];
}

/** How many hits of how many. */
export function bestOf({ hits, of }) {
  const total = of.toLocaleString("en");
  if (hits.length === of) return `all ${total}, best first`;
  return `the ${hits.length > 1 ? `${hits.length} ` : ""}best of ${total}`;
}

function item(hit, found, place) {
  const sentence = found.sentences?.[hit.sentence];
  const panel = make("div", { class: "panel", id: `panel_${place}`, hidden: true });
  const button = make("button", {
    type: "button", class: "hit", "aria-expanded": "false", "aria-controls": panel.id,
    onclick: () => open(button, panel, sentence ?? found.query, hit, found.index),
  },
    make("span", { class: "place", "aria-hidden": "true" }, String(place)),
    make("span", { class: "found" }, make("span", { class: "text" }, hit.text),
      matched(hit) ? make("small", { class: "name" }, matched(hit)) : null,
      sentence === undefined ? null : make("span", { class: "sentence" }, sentence)),
    make("span", { class: "score" }, ...measure(hit)));
  return make("li", {}, button, facts(hit), panel);
}

/** What was asked, and its hits: of {query, index, filter, hits, of, note, none} and, of a vacancy, sentences. */
export function shown(found, filter) {
  const asked = found.query.length > SHOWN ? `${found.query.slice(0, SHOWN)}…` : found.query;
  const read = found.sentences && make("details", { class: "read card" },
    make("summary", {}, `The ${found.sentences.length} sentences that were read`),
    make("ol", {}, ...found.sentences.map((sentence) => make("li", {}, sentence))));
  return [
    make("div", { class: "head" },
      make("h2", { class: "asked" }, asked, make("small", {}, ` in ${found.index}${filter && ` where ${filter}`}`)),
      found.hits.length ? saving(found) : null),
    ...(found.none ? [make("p", { class: "none" }, `None of these. ${found.none}`)] : []),
    make("ol", { class: "hits card" }, ...found.hits.map((hit, k) => item(hit, found, k + 1))),
    ...(found.note && found.hits.length ? [make("p", { class: "hint note" }, found.note)] : []),
    ...(read ? [read] : []),
  ];
}
