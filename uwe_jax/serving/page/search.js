// The form, and the list of what was found.

import { ask } from "./api.js";
import { explanation } from "./explanation.js";
import { make, number } from "./make.js";

const LONG = 160; // characters from which on a text is read as a vacancy
const TOP_K = [10, 25, 50, 100];
const WAIT_READY = 1500;

const at = (id) => document.getElementById(id);
const [form, text, results, status, space, topK] = ["form", "text", "results", "status", "space", "top_k"].map(at);
let asking = null;
let tokens = 0; // of a text, that the model reads

function tell(message, isProblem = false) {
  status.textContent = message;
  status.classList.toggle("problem", isProblem);
}

const tellProblem = (error) => tell(error.status >= 500 && error.id ? `${error.message} (${error.id})` : error.message, true);

function link(id) {
  if (!/^https?:\/\//.test(id)) return null;
  return make("a", { class: "out", href: id, target: "_blank", rel: "noopener noreferrer", title: id }, "Open its page");
}

function item(hit, query, sentence, place) {
  const panel = make("div", { class: "panel", id: `panel_${place}`, hidden: true });
  const button = make("button", {
    type: "button", class: "hit", "aria-expanded": "false", "aria-controls": panel.id,
    onclick: () => open(button, panel, query, hit),
  },
    make("span", { class: "place", "aria-hidden": "true" }, String(place)),
    make("span", { class: "found" }, make("span", { class: "text" }, hit.text),
      sentence === null ? null : make("span", { class: "sentence" }, sentence)),
    make("span", { class: "score" }, make("span", { class: "figure" }, number(hit.score, 3)),
      make("span", { class: "bar", "--share": Math.min(1, Math.max(0, hit.score)).toFixed(3), "aria-hidden": "true" })));
  return make("li", {}, button, panel);
}

async function open(button, panel, query, hit) {
  const opening = panel.hidden;
  button.setAttribute("aria-expanded", String(opening));
  panel.hidden = !opening;
  if (!opening || panel.dataset.filled) return;
  panel.dataset.filled = "yes";
  panel.replaceChildren(make("p", { class: "hint" }, "Looking closer …"));
  try {
    const found = await ask("v1/explain", { query, target: hit.text });
    panel.replaceChildren(explanation(found), ...[link(hit.id)].filter(Boolean));
  } catch (error) {
    delete panel.dataset.filled;
    panel.replaceChildren(make("p", { class: "problem" }, error.message));
  }
}

function showQuery(query, hits) {
  results.replaceChildren(make("ol", { class: "hits card" }, ...hits.map((hit, k) => item(hit, query, null, k + 1))));
}

function showVacancy(found) {
  const items = found.hits.map((hit, k) => item(hit, found.sentences[hit.sentence], found.sentences[hit.sentence], k + 1));
  const read = make("details", { class: "read card" },
    make("summary", {}, `The ${found.sentences.length} sentences that were read`),
    make("ol", {}, ...found.sentences.map((sentence) => make("li", {}, sentence))));
  results.replaceChildren(make("ol", { class: "hits card" }, ...items), read);
}

async function search() {
  const query = text.value.trim();
  if (!query) {
    tell("Type something first.", true);
    text.focus();
    return;
  }
  asking?.abort();
  asking = new AbortController();
  const start = performance.now();
  const chosen = { space: space.value, top_k: Number(topK.value) };
  const isVacancy = query.includes("\n") || query.length > LONG;
  results.setAttribute("aria-busy", "true");
  tell("Ranking …");
  try {
    const found = isVacancy
      ? await ask("v1/vacancy", { text: query, ...chosen }, asking.signal)
      : await ask("v1/rank", { queries: [query], ...chosen }, asking.signal);
    const seconds = number((performance.now() - start) / 1000);
    if (isVacancy) {
      showVacancy(found);
      const omitted = found.omitted ? ` ${found.omitted} more were not ranked: too many, too long, or beyond the model.` : "";
      const truncated = found.truncated ? ` Of ${found.truncated} only the first ${tokens} tokens were read.` : "";
      tell(`${found.hits.length} found in a vacancy of ${found.sentences.length} sentences, in ${seconds} s.${omitted}${truncated}`);
    } else {
      showQuery(query, found.results[0].hits);
      const truncated = found.truncated ? ` Only the first ${tokens} tokens of the text were read.` : "";
      tell(`${found.results[0].hits.length} found, in ${seconds} s.${truncated} Choose one to see why.`);
    }
  } catch (error) {
    if (error.name === "AbortError") return;
    tellProblem(error);
  }
  results.removeAttribute("aria-busy");
}

async function start() {
  for (;;) {
    try {
      const served = await ask("v1/spaces", null);
      tokens = served.model.tokens;
      space.replaceChildren(...served.spaces.map((each) =>
        make("option", { value: each.name }, `${each.name} (${each.targets.toLocaleString("en")})`)));
      at("space_choice").hidden = served.spaces.length < 2;
      topK.replaceChildren(...TOP_K.filter((k) => k === TOP_K[0] || k <= served.limits.top_k)
        .map((k) => make("option", { value: Math.min(k, served.limits.top_k) }, String(Math.min(k, served.limits.top_k)))));
      const names = served.spaces.map((each) => `${each.targets.toLocaleString("en")} targets in ${each.name}`).join(", ");
      at("served").textContent = `${served.model.name} · ${served.model.scorer} · ${names}`;
      tell("");
      return;
    } catch (error) {
      tellProblem(error);
      if (error.status !== 503) return;
      await new Promise((resolve) => setTimeout(resolve, WAIT_READY));
    }
  }
}

const grow = () => {
  text.style.setProperty("height", "auto");
  text.style.setProperty("height", `${text.scrollHeight + 2}px`);
};

text.addEventListener("input", grow);
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
start();
