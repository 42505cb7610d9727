// Hits as CSV, as JSON and in the clipboard.

import { make } from "./make.js";

const BYTE_ORDER_MARK = "\ufeff"; // without it spreadsheets read UTF-8 as Latin letters

// A spreadsheet would run a text that begins so as a formula.
const safe = (cell) => (typeof cell === "string" && /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : String(cell ?? ""));

/** Rows of a table, the names of its columns first. */
export function rows({ hits, sentences }) {
  const columns = [...new Set(hits.flatMap((hit) => Object.keys(hit.columns ?? {})))];
  const matched = ["name", "exact", "role", "words", "probability"];
  const more = sentences ? ["sentence", "support"] : [];
  return [["place", "score", "text", "id", ...matched, ...columns, ...more], ...hits.map((hit, k) => [
    k + 1, hit.score, hit.text, hit.id, ...matched.map((name) => hit[name]), ...columns.map((name) => hit.columns?.[name]),
    ...(sentences ? [sentences[hit.sentence], hit.support] : []),
  ])];
}

const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);

/** As RFC 4180 has it. */
export const csv = (found) => rows(found).map((row) => row.map((cell) => quoted(safe(cell))).join(",") + "\r\n").join("");

const tabbed = (found) => rows(found).map((row) => row.map((cell) => safe(cell).replace(/\s+/g, " ")).join("\t")).join("\n");

function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Browsers offer no clipboard to a page over plain HTTP from another machine.
  const field = make("textarea", { class: "away", "aria-hidden": "true" }, text);
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  if (!copied) throw new Error("refused");
}

/** Buttons that copy and download what was found: {query, hits, sentences of a vacancy, ...}. */
export function saving(found) {
  const name = found.query.normalize().match(/[\p{L}\p{N}]+/gu)?.join("-").slice(0, 40) || "hits";
  const said = make("span", { class: "hint", role: "status" });
  const button = (label, about, onclick) => make("button", { type: "button", class: "quiet", "aria-label": about, onclick }, label);
  return make("div", { class: "save", role: "group", "aria-label": "These hits" }, said,
    button("Copy", "Copy the hits as a table", (event) => {
      const from = event.currentTarget;
      copy(tabbed(found)).then(() => "Copied.", () => "The browser does not let this page copy.").then((text) => {
        said.textContent = text;
        from.focus();
      });
    }),
    button("CSV", "Download the hits as CSV", () => download(`${name}.csv`, "text/csv", BYTE_ORDER_MARK + csv(found))),
    button("JSON", "Download the hits as JSON", () => download(`${name}.json`, "application/json", JSON.stringify(found, null, 2))));
}
