// Answers on their way: kept on this device until the server says that they are stored, sent one
// after another in the order they were given, each with a key so that it counts once.

import { Refused, ask, memory, pause } from "./server.js";

const NAME = "outbox";
const listeners = new Set();
let sending = null;
let state = "saved";

const kept = () => JSON.parse(memory.get(NAME) ?? "[]");
const keep = (answers) => memory.set(NAME, JSON.stringify(answers));

const randomKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0"))
    .join("");

function tell(next, answer) {
  state = next;
  for (const listener of listeners) listener(state, answer);
}

// `listener(state, answer)`: "saving", "offline", "storage", "saved" or "refused"; `answer` when
// one was just stored or refused.
export function listen(listener) {
  listeners.add(listener);
  listener(state);
  return () => listeners.delete(listener);
}

export const waiting = () => kept();

export function put(answer) {
  keep([...kept(), { ...answer, key: randomKey() }]);
  tell("saving");
  return send();
}

export function discard() {
  memory.forget(NAME);
  tell("saved");
}

// Resolves when nothing waits any more.
export function send() {
  sending ??= sendAll().finally(() => { sending = null; });
  return sending;
}

async function sendAll() {
  let wait = 500;
  for (;;) {
    const [answer] = kept();
    if (!answer) break;
    try {
      await ask("POST", "answers", answer);
      remove(answer);
      tell(kept().length ? "saving" : "saved", answer);
      wait = 500;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (!error.passing) {
        remove(answer);
        tell("refused", answer);
        continue;
      }
      tell(error.code === "storage" ? "storage" : "offline");
      await pause(wait);
      wait = Math.min(wait * 2, 10000);
    }
  }
  tell("saved");
}

const remove = (answer) => keep(kept().filter((each) => each.key !== answer.key));
