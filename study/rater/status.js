// The status line at the foot of the page: what is saved, and what the page is waiting for. It is
// the one place that says "no connection": what failed, what is safe, and that it is tried again.

const SLOW = 4000; // milliseconds after which a request without a reply is mentioned

const tasks = new Set();
let answers = { state: "saved", waiting: 0, refused: 0, anyStored: false };
let broken = "";
let words = null;
let copy = null;

export function setWords(next) {
  words = next;
  update();
}

// Registers a request. `task` is a key of words.failed.
export function begin(task) {
  const entry = {
    task,
    cause: "", // of the last failure
    slow: false,
    fail(cause) {
      entry.cause = cause;
      update();
    },
    end() {
      clearTimeout(timer);
      tasks.delete(entry);
      update();
    },
  };
  const timer = setTimeout(() => {
    entry.slow = true;
    update();
  }, SLOW);
  tasks.add(entry);
  return entry;
}

// The outbox's state: "saving", "saved", "closed", or the cause of a failure; `waiting` and
// `refused` count answers; `anyStored`: "all answers are saved" is shown only once one is stored.
export function setAnswers(next) {
  answers = next;
  update();
}

// An error inside this page.
export function setBroken(message) {
  broken = message;
  update();
}

// Shows a failure in another element too; null ends this.
export function mirror(element) {
  copy = element;
  update();
}

function failureText({ task, cause }) {
  const safe = words.safeOf[task] ?? (answers.waiting ? words.kept : words.safe);
  return [words.causes[cause], words.failed[task], safe, words.goesOn].filter(Boolean)
    .join(words.gap);
}

function current() {
  const entries = [...tasks];
  const failing = entries.filter((entry) => entry.cause).pop();
  if (failing) return ["trouble", failureText(failing)];
  if (answers.state in words.causes) {
    return ["trouble", failureText({ task: "answers", cause: answers.state })];
  }
  if (broken) return ["error", words.broken(broken)];
  if (answers.state === "closed") return ["error", words.tooLate(answers.waiting)];
  if (answers.refused) return ["error", words.refused(answers.refused)];
  if (answers.state === "saving") return ["saving", words.saving];
  if (entries.some((entry) => entry.slow)) return ["saving", words.slow];
  return ["saved", answers.anyStored ? words.saved : ""];
}

function update() {
  if (!words) return;
  const [state, text] = current();
  const line = document.getElementById("status");
  const saved = document.getElementById("saved");
  const retry = document.getElementById("retry");
  line.dataset.state = state;
  document.body.dataset.status = state;
  retry.hidden = state !== "trouble";
  retry.textContent = words.retry;
  // Written only when it changes: a screen reader would read it again.
  if (saved.textContent !== text) saved.textContent = text;
  if (copy) copy.textContent = state === "trouble" ? text : "";
}
