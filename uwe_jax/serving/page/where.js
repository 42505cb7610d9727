// The filter field: conditions on the columns of an index.

/**
 * The conditions that a request carries: where("family=logistics; family=care") is {family: ["logistics", "care"]}.
 * Null without any. Throws an Error with a sentence for people.
 */
export function where(text) {
  const found = new Map();
  for (const condition of text.split(";").map((each) => each.trim()).filter(Boolean)) {
    const [column, ...rest] = condition.split("=");
    const [name, value] = [column.trim(), rest.join("=").trim()];
    if (!name || !value) throw new Error(`The filter has “${condition}”, which is not COLUMN=VALUE. Separate conditions by a semicolon.`);
    found.set(name, [...(found.get(name) ?? []), value]);
  }
  return found.size ? Object.fromEntries(found) : null;
}
