// Media files, fetched whole before they are shown, so that two videos run smoothly side by side.
// A fetch that brings no more data is given up in good time: it would hold a connection.

import { fromNetwork, timeLimit } from "./server.js";

export const PATIENCE = 10000; // milliseconds without any data
const WHOLE = 60000; // milliseconds for a file whose progress cannot be seen

const files = new Map(); // address -> {copy, limit, share, listeners}

// A file that did not load: `status` is the HTTP status, 0 when the connection failed or stalled.
export class NotLoaded extends Error {
  constructor(status) {
    super(status ? `HTTP status ${status}` : "no data");
    this.status = status;
  }
}

// Resolves to the address of a local copy. `heard(share)` is called with the share of
// it that is loaded. `cache` as in fetch.
export function local(address, heard = () => {}, cache = "default") {
  let file = files.get(address);
  if (!file) {
    file = { limit: timeLimit(PATIENCE), share: 0, listeners: new Set() };
    file.copy = download(address, file, cache);
    file.copy.catch(() => {
      if (files.get(address) === file) files.delete(address);
    });
    files.set(address, file);
  }
  heard(file.share);
  file.listeners.add(heard);
  return file.copy;
}

async function download(address, file, cache) {
  try {
    const reply = await received(fetch(address, { signal: file.limit.signal, cache }));
    if (!reply.ok) throw new NotLoaded(reply.status);
    return URL.createObjectURL(await content(reply, file));
  } finally {
    file.limit.clear();
  }
}

const received = (promise) =>
  promise.catch((error) => { throw fromNetwork(error) ? new NotLoaded(0) : error; });

async function content(reply, file) {
  if (!reply.body) {
    file.limit.restart(WHOLE);
    return received(reply.blob());
  }
  const total = Number(reply.headers.get("Content-Length"));
  const reader = reply.body.getReader();
  const parts = [];
  let size = 0;
  for (;;) {
    file.limit.restart();
    const { done, value } = await received(reader.read());
    if (done) break;
    parts.push(value);
    size += value.length;
    if (!total) continue;
    file.share = size / total;
    for (const heard of file.listeners) heard(file.share);
  }
  return new Blob(parts, { type: reply.headers.get("Content-Type") });
}

// Drops a file, also one on its way.
export function forget(address) {
  const file = files.get(address);
  if (!file) return;
  files.delete(address);
  file.limit.abort();
  file.copy.then((copy) => URL.revokeObjectURL(copy), () => {});
}

// Drops every file but these.
export function keepOnly(addresses) {
  for (const address of [...files.keys()]) if (!addresses.includes(address)) forget(address);
}

// Fetches the next page's videos one by one, so that the answers of this one find a connection.
export async function fetchAhead(addresses) {
  for (const address of addresses) {
    try {
      await local(address);
    } catch (error) {
      if (!(error instanceof NotLoaded)) throw error;
      return; // its own page fetches it again, and says so
    }
  }
}
