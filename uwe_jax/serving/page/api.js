// Asking the service, with the API key where one is needed.

const KEY = "api_key";

export class Problem extends Error {
  constructor(status, detail, id) {
    super(detail);
    this.status = status;
    this.id = id;
  }
}

function askForKey(again) {
  const dialog = document.getElementById("key_dialog");
  const field = document.getElementById("key");
  document.getElementById("key_text").textContent = again
    ? "This key is not one of the service's. Try another one."
    : "This service asks for a key. It is kept until this tab is closed.";
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    document.getElementById("key_cancel").onclick = () => dialog.close();
    dialog.querySelector("form").onsubmit = () => sessionStorage.setItem(KEY, field.value.trim());
    dialog.onclose = () => resolve(Boolean(field.value.trim()) && Boolean(sessionStorage.getItem(KEY)));
  });
}

/** The answer to a request; body null asks with GET. Throws a Problem with a sentence for people. */
export async function ask(path, body, signal) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = { ...(body && { "Content-Type": "application/json" }), ...(key && { Authorization: `Bearer ${key}` }) };
    let response;
    try {
      response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "The service cannot be reached. Is it running?", "");
    }
    if (response.ok) return response.json();
    const told = await response.json().catch(() => ({}));
    if (response.status === 401) {
      sessionStorage.removeItem(KEY);
      if (await askForKey(Boolean(key))) continue;
    }
    throw new Problem(response.status, told.detail || `The service answered ${response.status}.`, told.id || "");
  }
}
