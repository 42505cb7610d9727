// The form, the address, and what is said of an answer.

import { asked, remember } from "./address.js";
import { ask } from "./api.js";
import { shown } from "./hits.js";
import { number } from "./make.js";
import { where } from "./where.js";

const LONG = 160; // characters from which on a text is read as a vacancy
const TOP_K = [10, 25, 50, 100];
const WAIT_READY = 1500;
const TITLE = document.title;

const at = (id) => document.getElementById(id);
const [form, text, results, status, index, topK, filter] = ["form", "text", "results", "status", "index", "top_k", "where"].map(at);
let asking = null;
let starting = null;
let served = null; // what the service says of its model and indexes

function tell(message, isProblem = false) {
  status.textContent = message;
  status.classList.toggle("problem", isProblem);
}

const tellProblem = (error) => tell(error.status >= 500 && error.id ? `${error.message} (${error.id})` : error.message, true);

const chosenIndex = () => served.indexes.find((each) => each.name === index.value);

/** How many hits of how many there are. */
function counted(found, top_k) {
  const [n, total] = [found.hits.length, chosenIndex().targets];
  const best = n === 1 ? "The best" : `The ${n} best`;
  if (found.where) {
    if (!n) return `Nothing in ${found.index} matches the filter`;
    return n < top_k ? `All ${n} that match the filter, best first` : `${best} that match the filter`;
  }
  return n === total ? `All ${n}, best first` : `${best} of ${total.toLocaleString("en")}`;
}

/** Asks for what the form says; `step`: and makes that the address. */
async function search(step) {
  const query = text.value.trim();
  if (!query) {
    tell("Type something first.", true);
    text.focus();
    return;
  }
  if (!(await begin())) return;
  asking?.abort();
  const own = asking = new AbortController();
  const began = performance.now();
  const isVacancy = query.includes("\n") || query.length > LONG;
  const terms = at("where_choice").hidden ? "" : filter.value.trim();
  if (step) remember({ q: query, index: served.indexes.length > 1 && index.value, top_k: topK.value, where: terms });
  document.title = `${query.slice(0, 60)} · ${TITLE}`;
  results.setAttribute("aria-busy", "true");
  tell("Ranking …");
  try {
    const conditions = where(terms);
    const chosen = { index: index.value, top_k: Number(topK.value), ...(conditions && { where: conditions }) };
    const answer = isVacancy
      ? await ask("v1/vacancy", { text: query, ...chosen }, own.signal)
      : await ask("v1/rank", { queries: [query], ...chosen }, own.signal);
    const found = {
      model: served.model.name, index: answer.index, query, ...(conditions && { where: conditions }),
      ...(isVacancy ? { sentences: answer.sentences, hits: answer.hits } : { hits: answer.results[0].hits }),
    };
    results.replaceChildren(...shown(found, terms));
    const seconds = number((performance.now() - began) / 1000);
    const sentences = found.sentences?.length === 1 ? "1 sentence" : `${found.sentences?.length} sentences`;
    const of = isVacancy ? `, for a vacancy of ${sentences}` : "";
    const omitted = answer.omitted ? ` ${answer.omitted} more were not ranked: too many, too long, or beyond the model.` : "";
    const what = isVacancy ? `Of ${answer.truncated} only` : "Only";
    const truncated = answer.truncated
      ? ` ${what} the first ${served.model.tokens} tokens${isVacancy ? "" : " of the text"} were read.` : "";
    const next = found.hits.length ? " Choose one to see why." : "";
    tell(`${counted(found, chosen.top_k)}${of}, in ${seconds} s.${omitted}${truncated}${next}`);
  } catch (error) {
    if (error.name === "AbortError") return;
    results.replaceChildren();
    tellProblem(error);
  }
  results.removeAttribute("aria-busy");
}

/** Puts what the address says into the form, and asks for it. */
function repeat() {
  const wanted = asked();
  asking?.abort();
  text.value = wanted.q;
  filter.value = wanted.where;
  topK.value = [...topK.options].some((each) => each.value === wanted.top_k) ? wanted.top_k : topK.options[0].value;
  index.value = wanted.index || served.indexes[0].name;
  grow();
  if (index.value) {
    showFilter();
    if (wanted.q) return search(false);
    tell("");
  } else {
    index.value = served.indexes[0].name;
    showFilter();
    tell(`There is no index ${wanted.index}; there are ${served.indexes.map((each) => each.name).join(", ")}.`, true);
  }
  document.title = TITLE;
  results.replaceChildren();
  results.removeAttribute("aria-busy");
}

function showFilter() {
  const columns = chosenIndex().columns ?? [];
  at("where_choice").hidden = at("where_hint").hidden = !columns.length;
  filter.placeholder = `${columns[0]}=…`;
  at("where_hint").textContent = `Columns: ${columns.join(", ")}. Several conditions are separated by semicolons.`;
}

/** What is served, once it is ready; null where it cannot be told. */
const begin = () => served ?? (starting ??= start().finally(() => { starting = null; }));

async function start() {
  for (;;) {
    try {
      served = await ask("v1/indexes", null);
      break;
    } catch (error) {
      tellProblem(error);
      if (error.status !== 503) return null;
      await new Promise((resolve) => setTimeout(resolve, WAIT_READY));
    }
  }
  const option = (value, label) => new Option(label, value);
  index.replaceChildren(...served.indexes.map((each) => option(each.name, `${each.name} (${each.targets.toLocaleString("en")})`)));
  at("index_choice").hidden = served.indexes.length < 2;
  topK.replaceChildren(...TOP_K.filter((k) => k === TOP_K[0] || k <= served.limits.top_k)
    .map((k) => Math.min(k, served.limits.top_k)).map((k) => option(k, k)));
  const names = served.indexes.map((each) => `${each.targets.toLocaleString("en")} targets in ${each.name}`).join(", ");
  at("served").textContent = `${served.model.name} · ${served.model.scorer} · ${names}`;
  showFilter();
  tell("");
  return served;
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
  search(true);
});
index.addEventListener("change", showFilter);
at("skip").addEventListener("click", (event) => {
  event.preventDefault(); // its #results would replace the search in the address
  results.focus();
});
addEventListener("popstate", () => served && repeat());
if (await begin() && location.hash) repeat();
