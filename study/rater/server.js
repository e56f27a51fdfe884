// Requests to the study's server. The session's token goes into a header, never into a cookie.

import * as status from "./status.js";

const place = location.pathname;
const REQUEST_LIMIT = 20000; // milliseconds

export const storage = {
  // Private windows may refuse storage: the page then works until it is closed.
  values: new Map(),
  get(name) {
    try { return localStorage.getItem(place + name) ?? this.values.get(name) ?? null; }
    catch { return this.values.get(name) ?? null; }
  },
  set(name, text) {
    this.values.set(name, text);
    try {
      localStorage.setItem(place + name, text);
    } catch {
      // Full or refused. An older value left there would hide the one kept in the page.
      try { localStorage.removeItem(place + name); } catch { /* nothing can be stored here */ }
    }
  },
  forget(name) {
    this.values.delete(name);
    try { localStorage.removeItem(place + name); } catch { /* was never stored */ }
  },
};

export const randomKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0"))
    .join("");

// A request that failed. `status` is the HTTP status, 0 when no reply came.
export class Refused extends Error {
  constructor(status, code, sentence) {
    super(sentence);
    this.status = status;
    this.code = code;
  }

  // Whether the same request may succeed later.
  get temporary() { return this.status === 0 || this.status === 429 || this.status >= 500; }

  // Why a temporary failure happened: "offline", "storage" or "server".
  get cause() {
    if (this.status === 0) return "offline";
    return this.code === "storage" ? "storage" : "server";
  }
}

// Whether an error of fetch came from the network, not from a mistake in this page.
export const fromNetwork = (error) => error instanceof TypeError || error.name === "AbortError";

// A signal that aborts after some time; AbortSignal.timeout is missing in browsers still in use.
export function timeLimit(milliseconds) {
  const controller = new AbortController();
  const abort = () => controller.abort();
  let timer = setTimeout(abort, milliseconds);
  return {
    signal: controller.signal,
    abort,
    restart(time = milliseconds) {
      clearTimeout(timer);
      timer = setTimeout(abort, time);
    },
    clear: () => clearTimeout(timer),
  };
}

export async function request(method, path, body, token = storage.get("token")) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (method === "POST") headers["Content-Type"] = "application/json";
  // Built outside of the try: a malformed request is an error of this page, not of the network.
  const message = new Request(path, {
    method, headers, body: method === "POST" ? JSON.stringify(body ?? {}) : undefined,
  });
  const limit = timeLimit(REQUEST_LIMIT);
  let reply;
  let text;
  try {
    reply = await fetch(message, { signal: limit.signal });
    text = await reply.text();
  } catch (error) {
    if (!fromNetwork(error)) throw error;
    throw new Refused(0, "offline", "no connection");
  } finally {
    limit.clear();
  }
  const data = parsed(text);
  // Cut off on the way, or a page of something between here and the study: not its reply.
  if (!data) throw new Refused(reply.ok ? 0 : Math.max(reply.status, 500), "", "no reply");
  if (!reply.ok) throw new Refused(reply.status, data.code ?? "", data.sentence ?? "");
  return data;
}

function parsed(text) {
  try {
    const data = JSON.parse(text);
    return typeof data === "object" ? data : null;
  } catch {
    return null;
  }
}

// Repeats a request until it succeeds or is refused for good; the status line says meanwhile that
// `task` (a key of words.failed) is waiting. Resolves to null once `cancelled()` is true.
export async function requestUntilDone(method, path, body, task, cancelled = () => false) {
  const entry = status.begin(task);
  try {
    for (let wait = 500; !cancelled(); wait = Math.min(wait * 2, 10000)) {
      try {
        return await request(method, path, body);
      } catch (error) {
        if (!(error instanceof Refused) || !error.temporary) throw error;
        entry.fail(error.cause);
        if (!cancelled()) await pause(wait);
      }
    }
    return null;
  } finally {
    entry.end();
  }
}

const pausing = new Set();

// Waits, but no longer than until `hurry` is called.
export const pause = (milliseconds) =>
  new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      pausing.delete(wake);
      resolve();
    };
    const timer = setTimeout(wake, milliseconds);
    pausing.add(wake);
  });

// Whatever waits to try again does so now.
export function hurry() {
  for (const wake of [...pausing]) wake();
}
