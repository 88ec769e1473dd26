// Requests to the REST API, with the token of whoever sits here.

const KEY = "vireid-token";

export class Refusal extends Error {
  // The status, the token that was used, and after how many seconds the server wants to be asked again, if ever.
  constructor(status, message, token = null, retry = null) {
    super(message);
    Object.assign(this, { status, token, retry });
  }
}

export function keepToken(token) {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}

export function hasToken() {
  return sessionStorage.getItem(KEY) !== null;
}

// The answer to a request; throws Refusal with the server's own words.
export async function ask(path, options = {}) {
  const token = sessionStorage.getItem(KEY);
  let answer;
  try {
    const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    // A token that no header can hold is as wrong as any other.
    if (token && !/^[\x21-\x7e]+$/.test(token)) throw new Refusal(401, "the token is not known", token);
    throw new Refusal(0, "The server does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  options.signal?.throwIfAborted();
  const message = told.error ?? `The server answered with status ${answer.status}.`;
  throw new Refusal(answer.status, message, token, Number(answer.headers.get("Retry-After")) || null);
}

export async function askJson(path, content, options = {}) {
  const body = JSON.stringify(content);
  const answer = await ask(path, { ...options, method: "POST", body, headers: { "Content-Type": "application/json" } });
  return answer.json();
}

export async function askForm(path, fields, options = {}) {
  const form = new FormData();
  for (const [name, value] of fields) form.append(name, value);
  return (await ask(path, { ...options, method: "POST", body: form })).json();
}

// A picture goes by a request of its own, as an address in <img> could not carry the token.
export async function picture(path, options = {}) {
  return URL.createObjectURL(await (await ask(path, options)).blob());
}
