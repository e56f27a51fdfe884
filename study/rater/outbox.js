// Answers on their way: kept on this device until the server has stored them, sent one after
// another in the order they were given, each with a key so that it counts once. An answer carries
// the token of its session: what one person left here is still sent after another one began.

import { Refused, pause, randomKey, request, storage } from "./server.js";
import * as status from "./status.js";

const NAME = "outbox";
const listeners = new Set();
const refused = new Map(); // cell -> answer that the server did not accept
const stored = new Map(); // cell -> answer stored since this document was opened
let sending = null;
let last = "saved"; // the state reported last

function kept() {
  try {
    return JSON.parse(storage.get(NAME) ?? "[]");
  } catch {
    return []; // damaged: nothing of it can be sent, and new answers must be kept
  }
}
const keep = (answers) => storage.set(NAME, JSON.stringify(answers));
const remove = (answer) => keep(kept().filter((each) => each.key !== answer.key));
const cell = ({ position, side, dimension }) => `${position} ${side} ${dimension}`;

const isOwn = (answer) => answer.token === storage.get("token");

// Shows in the status line how the answers stand; by default, whether any are waiting.
function report(state = kept().length ? "saving" : "saved") {
  last = state;
  status.setAnswers({
    state, waiting: kept().length, refused: refused.size, anyStored: stored.size > 0,
  });
}

const notify = (event, answer) => {
  for (const listener of listeners) listener(event, answer);
};

// `listener(event, answer)` is called for each answer that was "stored" or "refused", or came after
// the study was "closed". Returns a function that removes the listener.
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// Answers of the current session that are not stored yet.
export const waiting = () => kept().filter(isOwn);

// Answers of the current session that were stored since this document was opened.
export const justStored = () => [...stored.values()].filter(isOwn);

export function put(answer) {
  keep([...kept(), { ...answer, key: randomKey(), token: storage.get("token") }]);
  if (sending) report(last === "saved" ? "saving" : last);
  return send();
}

// Drops what the current session has waiting: it was withdrawn.
export function discard() {
  keep(kept().filter((each) => !isOwn(each)));
  refused.clear();
  stored.clear();
  report();
}

// Forgets which answers were refused: the rater saw it and went on.
export function acknowledge() {
  if (!refused.size) return;
  refused.clear();
  report(last);
}

// Resolves when nothing waits any more, or when the study takes no more answers.
export function send() {
  if (!sending) sending = sendAll().finally(() => { sending = null; });
  return sending;
}

async function sendAll() {
  let wait = 500;
  if (kept().length) report();
  for (;;) {
    const [answer] = kept();
    if (!answer) break;
    const { token, ...body } = answer;
    try {
      await request("POST", "answers", body, token);
      remove(answer);
      refused.delete(cell(answer));
      stored.set(cell(answer), answer);
      report();
      notify("stored", answer);
      wait = 500;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.temporary) {
        report(error.cause);
        await pause(wait);
        wait = Math.min(wait * 2, 10000);
      } else if (error.code === "closed") {
        // Kept: nothing that was given is thrown away without the rater being told.
        report("closed");
        notify("closed", answer);
        return;
      } else {
        remove(answer);
        // Answers of a withdrawn session are deleted; nobody has to give them again.
        if (isOwn(answer) && error.code !== "withdrawn") refused.set(cell(answer), answer);
        report();
        notify("refused", answer);
      }
    }
  }
  report();
}
