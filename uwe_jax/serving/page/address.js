// The search in the page's address, behind the #: reload, back and links repeat it, and no server or proxy is sent it.

const KEYS = ["q", "index", "top_k", "where", "min_score", "min_probability"];

/** What the address asks for: a text per key, empty where it says nothing. */
export function asked() {
  const found = new URLSearchParams(location.hash.slice(1));
  // Bookmarks of before have the index under "space".
  return Object.fromEntries(KEYS.map((key) => [key, found.get(key) || (key === "index" && found.get("space")) || ""]));
}

/** Makes a search the address, as a step that the back button undoes. */
export function remember(search) {
  const given = KEYS.filter((key) => search[key]).map((key) => [key, search[key]]);
  const address = `#${new URLSearchParams(given)}`;
  if (address !== location.hash) history.pushState(null, "", address);
}
