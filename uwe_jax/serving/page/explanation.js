// Where a score comes from: what each word of the query adds, and which words of the target it attended to.

import { make, number } from "./make.js";

const isSpecial = (token) => token === "[start]" || token === "[end]";
const MOST_IN_TABLE = 3;

function chip(token, heat, below, extra, negative) {
  const name = extra.onclick ? "button" : "span";
  const kind = `chip${isSpecial(token) ? " special" : ""}${negative ? " negative" : ""}`;
  return make(name, { class: kind, "--heat": heat.toFixed(3), ...extra },
    make("span", { class: "word" }, token), make("span", { class: "value" }, below));
}

function table(found) {
  const rows = found.query_tokens.map((token, i) => {
    const best = found.weights[i].map((weight, j) => ({ weight, j })).filter((each) => each.weight > 0.005)
      .sort((a, b) => b.weight - a.weight).slice(0, MOST_IN_TABLE);
    const met = best.map(({ weight, j }) =>
      `${found.target_tokens[j]} ${number(weight)} (${number(found.cosines[i][j])})`).join(", ");
    return make("tr", {}, make("th", { scope: "row" }, token),
      make("td", { class: "figure" }, number(found.contributions[i], 3)), make("td", {}, met));
  });
  const head = ["Query", "Adds", "Attends to: weight (cosine)"].map((text) => make("th", { scope: "col" }, text));
  return make("details", { class: "numbers" }, make("summary", {}, "As a table"),
    make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows))));
}

/** An element that shows an answer of /v1/explain; a word of the query can be chosen. */
export function explanation(found) {
  const most = Math.max(...found.contributions.map(Math.abs), 1e-9);
  const targets = make("div", { class: "chips", "aria-live": "polite" });
  const caption = make("p", { class: "caption" });
  const words = found.query_tokens.map((token, i) => chip(token, Math.abs(found.contributions[i]) / most,
    (found.contributions[i] < 0 ? "" : "+") + number(found.contributions[i], 3),
    { type: "button", "aria-pressed": "false", onclick: () => choose(i) }, found.contributions[i] < 0));

  function choose(i) {
    words.forEach((word, k) => word.setAttribute("aria-pressed", String(k === i)));
    const largest = Math.max(...found.weights[i], 1e-9);
    targets.replaceChildren(...found.target_tokens.map((token, j) => chip(token, found.weights[i][j] / largest,
      `${number(100 * found.weights[i][j], 0)} % · cos ${number(found.cosines[i][j])}`,
      { title: `weight ${number(found.weights[i][j], 3)}, cosine ${number(found.cosines[i][j], 3)}` }, false)));
    caption.replaceChildren("Of its attention, ", make("b", {}, found.query_tokens[i]), " gives each word of the target:");
  }

  const start = found.contributions.indexOf(Math.max(...found.contributions));
  choose(start);
  return make("div", { class: "explanation" },
    make("p", { class: "caption" }, "What each word adds to the score of ", make("b", {}, number(found.score, 3)),
      ". Choose one to see what it attended to."),
    make("div", { class: "chips" }, ...words), caption, targets, table(found),
    make("p", { class: "hint" }, `Scorer: ${found.scorer}`));
}
