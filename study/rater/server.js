// Requests to the study's routes. The token of the session goes into a header, never into a cookie.

const place = location.pathname;

export const memory = {
  // Private windows may refuse storage: the page then works until it is closed.
  values: new Map(),
  get(name) {
    try { return localStorage.getItem(place + name) ?? this.values.get(name) ?? null; }
    catch { return this.values.get(name) ?? null; }
  },
  set(name, text) {
    this.values.set(name, text);
    try { localStorage.setItem(place + name, text); } catch { /* kept in the page alone */ }
  },
  forget(name) {
    this.values.delete(name);
    try { localStorage.removeItem(place + name); } catch { /* was never stored */ }
  },
};

export class Refused extends Error {
  constructor(status, code, sentence) {
    super(sentence);
    this.status = status;
    this.code = code;
  }

  // Whether the same request may succeed later.
  get passing() { return this.status === 0 || this.status === 429 || this.status >= 500; }
}

export async function ask(method, path, body) {
  const headers = {};
  const token = memory.get("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  if (method === "POST") headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: method === "POST" ? JSON.stringify(body ?? {}) : undefined,
      signal: AbortSignal.timeout(20000),
    });
  } catch {
    throw new Refused(0, "offline", "no connection");
  }
  let data;
  try {
    data = await answer.json();
  } catch {
    // Cut off on the way, or a page of something between here and the study: not its answer.
    throw new Refused(answer.ok ? 0 : Math.max(answer.status, 500), "offline", "no answer");
  }
  if (!answer.ok) throw new Refused(answer.status, data.code ?? "", data.sentence ?? "");
  return data;
}

// Ask again until it works or is refused for good; `told` hears of each try that failed.
export async function askUntilDone(method, path, body, told) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 10000)) {
    try {
      return await ask(method, path, body);
    } catch (error) {
      if (!(error instanceof Refused) || !error.passing) throw error;
      told(error);
      await pause(wait);
    }
  }
}

// Waits, but no longer than until the connection is back.
export const pause = (milliseconds) =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    window.addEventListener("online", done);
  });
