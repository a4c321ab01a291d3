// What every part of the page needs: an element by its name, a word to the person, a request that carries the key.
export const at = (id) => document.getElementById(id);
export const pause = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));

export function headers(more) {
  const key = sessionStorage.getItem("key");
  return { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...more };
}

export function tell(text, bad) {
  at("news").textContent = text;
  at("news").classList.toggle("bad", Boolean(bad));
}

/** An answer that is a refusal: to ask again brings the same. A service that is away, or says 5xx or 429, is none. */
export class Refused extends Error {}

export async function ask(path, options = {}) {
  const response = await fetch(path, { ...options, headers: headers(options.headers) });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ detail: response.statusText }));
  const later = response.status >= 500 || response.status === 429;
  throw new (later ? Error : Refused)(problem.detail);
}

export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
