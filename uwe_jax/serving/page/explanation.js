// Why a text was found: the words that made the hit first, every token and the formula behind a fold.

import { make, number } from "./make.js";

const isWord = (token) => token !== "[start]" && token !== "[end]" && /[\p{L}\p{N}]/u.test(token);
const MOST_IN_TABLE = 3;
const MOST_WORDS = 3;
const MOST_MET = 2;
const LEAST = 0.5; // of what the best adds, for others to be named beside it

/** Positions of the words among tokens; of all tokens where none is a word. */
function words(tokens) {
  const found = [...tokens.keys()].filter((k) => isWord(tokens[k]));
  return found.length ? found : [...tokens.keys()];
}

function chip(token, heat, below, extra, negative) {
  const name = extra.onclick ? "button" : "span";
  return make(name, { class: `chip${negative ? " negative" : ""}`, "--heat": heat.toFixed(3), ...extra },
    make("span", { class: "word" }, token), make("span", { class: "value" }, below));
}

const listed = (texts) => texts.flatMap((each, k) => [k ? ", " : "", make("b", {}, each)]);

/** Those of some positions that add most, best first. */
function leading(positions, adds, most) {
  const sorted = positions.filter((each) => adds(each) > 0).sort((a, b) => adds(b) - adds(a));
  return sorted.filter((each) => adds(each) >= LEAST * adds(sorted[0])).slice(0, most);
}

/** A sentence: the words of the query that add most, and the words that each met. */
function summary(found, own, other) {
  const best = leading(own, (i) => found.contributions[i], MOST_WORDS);
  if (!best.length) return make("p", { class: "why" }, "No word of the query speaks for this hit.");
  const parts = best.flatMap((i, k) => {
    const met = leading(other, (j) => found.weights[i][j] * found.cosines[i][j], MOST_MET).map((j) => found.target_tokens[j]);
    return [k ? "; " : "", make("b", {}, found.query_tokens[i]), ...(met.length ? [" through ", ...listed(met)] : [])];
  });
  return make("p", { class: "why" }, "Made this hit: ", ...parts, ".");
}

function everything(found) {
  const rows = found.query_tokens.map((token, i) => {
    const best = found.weights[i].map((weight, j) => ({ weight, j })).filter((each) => each.weight > 0.005)
      .sort((a, b) => b.weight - a.weight).slice(0, MOST_IN_TABLE);
    const met = best.map(({ weight, j }) =>
      `${found.target_tokens[j]} ${number(weight)} (${number(found.cosines[i][j])})`).join(", ");
    return make("tr", {}, make("th", { scope: "row" }, token),
      make("td", { class: "figure" }, number(found.contributions[i], 3)), make("td", {}, met));
  });
  const common = Object.entries(found.words);
  if (common.length) {
    rows.push(make("tr", {}, make("th", { scope: "row" }, "words in common"),
      make("td", { class: "figure" }, number(common.reduce((sum, [, adds]) => sum + adds, 0), 3)),
      make("td", {}, common.map(([word, adds]) => `${word} ${number(adds, 3)}`).join(", "))));
  }
  const head = ["Query", "Adds", "Attends to: weight (cosine)"].map((text) => make("th", { scope: "col" }, text));
  return make("details", { class: "numbers" }, make("summary", {}, "Every token, and the formula"),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Every token" },
      make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows))),
    make("p", { class: "hint" }, `The score ${number(found.score, 3)} is the sum of what all tokens of the query add, with those `
      + "for start and end and with punctuation: each its share of the query × the sum of weight × cosine over the tokens of "
      + `the target${common.length ? ", and of what words in common add" : ""}. Scorer: ${found.scorer}`));
}

/** An element that shows an answer of /v1/explain; a word of the query can be chosen. */
export function explanation(found) {
  const [own, other] = [words(found.query_tokens), words(found.target_tokens)];
  const adds = own.map((i) => found.contributions[i]);
  const most = Math.max(...adds.map(Math.abs), 1e-9);
  const targets = make("div", { class: "chips", "aria-live": "polite" });
  const caption = make("p", { class: "caption" });
  const chips = own.map((i, k) => chip(found.query_tokens[i], Math.abs(adds[k]) / most,
    (adds[k] < 0 ? "" : "+") + number(adds[k], 3),
    { type: "button", "aria-pressed": "false", onclick: () => choose(k) }, adds[k] < 0));

  function choose(k) {
    const i = own[k];
    chips.forEach((each, place) => each.setAttribute("aria-pressed", String(place === k)));
    const largest = Math.max(...other.map((j) => found.weights[i][j]), 1e-9);
    targets.replaceChildren(...other.map((j) => chip(found.target_tokens[j], found.weights[i][j] / largest,
      `${number(100 * found.weights[i][j], 0)} %`, {}, false)));
    caption.replaceChildren("Of its attention, ", make("b", {}, found.query_tokens[i]), " gives each word of the target:");
  }

  choose(adds.indexOf(Math.max(...adds)));
  const sum = adds.reduce((a, b) => a + b, 0);
  const others = own.length < found.query_tokens.length ? ["start, end and punctuation"] : [];
  if (Object.keys(found.words).length) others.push("words in common with the target");
  const rest = others.length ? `; ${others.join(" and ")} add the rest` : "";
  return make("div", { class: "explanation" }, summary(found, own, other),
    make("p", { class: "caption" }, "The words add ", make("b", {}, number(sum, 3)), " to the score of ",
      make("b", {}, number(found.score, 3)), `${rest}. Choose a word to see what it attended to.`),
    make("div", { class: "chips" }, ...chips), caption, targets, everything(found));
}
