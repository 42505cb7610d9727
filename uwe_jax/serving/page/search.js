// The form, the address, and what is said of an answer.

import { asked, remember } from "./address.js";
import { ask } from "./api.js";
import { bestOf, shown } from "./hits.js";
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
function counted(found) {
  const [matching, best] = [found.where ? " that match the filter" : "", bestOf(found)];
  if (found.hits.length) return `${best[0].toUpperCase()}${best.slice(1)}${matching}`;
  return found.of ? `None of ${found.of.toLocaleString("en")}${matching}` : `Nothing in ${found.index} matches the filter`;
}

/** The least score and probability that the form asks for; a hidden field asks for none. */
const least = () => Object.fromEntries(["min_score", "min_probability"]
  .filter((name) => !at(`${name}_choice`).hidden && at(name).value !== "").map((name) => [name, Number(at(name).value)]));

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
  if (step) remember({ q: query, index: served.indexes.length > 1 && index.value, top_k: topK.value, where: terms, ...least() });
  document.title = `${query.slice(0, 60)} · ${TITLE}`;
  results.setAttribute("aria-busy", "true");
  tell("Ranking …");
  try {
    const conditions = where(terms);
    const chosen = { index: index.value, top_k: Number(topK.value), ...(conditions && { where: conditions }), ...least() };
    const answer = isVacancy
      ? await ask("v1/vacancy", { text: query, ...chosen }, own.signal)
      : await ask("v1/rank", { queries: [query], ...chosen }, own.signal);
    const found = {
      model: served.model.name, index: answer.index, query, ...(conditions && { where: conditions }),
      ...least(), note: answer.note, ...(isVacancy ? { sentences: answer.sentences } : {}),
      ...Object.fromEntries(["hits", "of", "none"].map((name) => [name, (isVacancy ? answer : answer.results[0])[name]])),
    };
    results.replaceChildren(...shown(found, terms));
    const seconds = number((performance.now() - began) / 1000);
    const sentences = found.sentences?.length === 1 ? "1 sentence" : `${found.sentences?.length} sentences`;
    const of = isVacancy ? `, for a vacancy of ${sentences}` : "";
    const omitted = answer.omitted ? ` ${answer.omitted} more were not ranked: too many, too long, or beyond the model.` : "";
    const company = answer.no_requirement ? ` ${answer.no_requirement} were taken for no requirement.` : "";
    const what = isVacancy ? `Of ${answer.truncated} only` : "Only";
    const truncated = answer.truncated
      ? ` ${what} the first ${served.model.tokens} tokens${isVacancy ? "" : " of the text"} were read.` : "";
    const next = found.hits.length ? " Choose one to see why." : "";
    tell(`${counted(found)}${of}, in ${seconds} s.${omitted}${company}${truncated}${next}`);
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
  for (const name of ["min_score", "min_probability"]) at(name).value = wanted[name];
  topK.value = [...topK.options].some((each) => each.value === wanted.top_k) ? wanted.top_k : topK.options[0].value;
  index.value = wanted.index || served.indexes[0].name;
  grow();
  if (index.value) {
    showFields();
    if (wanted.q) return search(false);
    tell("");
  } else {
    index.value = served.indexes[0].name;
    showFields();
    tell(`There is no index ${wanted.index}; there are ${served.indexes.map((each) => each.name).join(", ")}.`, true);
  }
  document.title = TITLE;
  results.replaceChildren();
  results.removeAttribute("aria-busy");
}

/** The fields that fit the index that is chosen: a filter, and a least probability, or score where it has none. */
function showFields() {
  const { columns = [], calibration } = chosenIndex();
  at("min_probability_choice").hidden = !calibration;
  at("min_score_choice").hidden = Boolean(calibration);
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
  showFields();
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
index.addEventListener("change", showFields);
at("skip").addEventListener("click", (event) => {
  event.preventDefault(); // its #results would replace the search in the address
  results.focus();
});
addEventListener("popstate", () => served && repeat());
if (await begin() && location.hash) repeat();
