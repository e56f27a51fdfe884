// A rater's way: agree, answer, check the playback, score page after page, get the code.
// Where a rater stands is known by the server alone, so a reload or another day continues there.

import { dialog, fill, make } from "./elements.js";
import * as outbox from "./outbox.js";
import { showPage } from "./page.js";
import { Refused, hurry, randomKey, requestUntilDone, storage } from "./server.js";
import * as status from "./status.js";
import * as steps from "./steps.js";
import { direction, wordsFor } from "./words.js";

const PROLIFIC = ["PROLIFIC_PID", "STUDY_ID", "SESSION_ID"];

const byId = (id) => document.getElementById(id);

const chosenLanguage = () =>
  storage.get("language") ?? new URLSearchParams(location.search).get("language")
  ?? navigator.language ?? "en";

let words = wordsFor(chosenLanguage()); // the study's language takes over once it is known
let withdrawn = false; // nothing may take the place of the receipt

// Who the link says this is.
function link() {
  const given = new URLSearchParams(location.search);
  if (given.has("invite")) return { source: "invite", names: { invite: given.get("invite") } };
  if (given.has("PROLIFIC_PID")) {
    const names = Object.fromEntries(PROLIFIC.map((name) => [name, given.get(name) ?? ""]));
    return { source: "prolific", names };
  }
  return { source: "open", names: {} };
}

// As requestUntilDone, for the way through the study, which ends with a withdrawal.
async function ask(method, path, body, task) {
  const reply = await requestUntilDone(method, path, body, task, () => withdrawn);
  return withdrawn ? new Promise(() => {}) : reply;
}

async function run() {
  status.setWords(words);
  const study = await loadStudy(chosenLanguage());
  words = wordsFor(study.language);
  applyStudy(study);

  const person = JSON.stringify(link().names);
  // What an earlier person has waiting stays in the outbox and is sent in their name.
  if (person !== "{}" && storage.get("person") !== person) forgetSession();
  if (!storage.get("token")) {
    if (study.phase !== "open") {
      steps.message(words.refusals.closed);
      return;
    }
    await steps.consent(study, words);
    // Another tab may have entered meanwhile.
    if (!storage.get("token")) await enter(study, person);
  }
  byId("withdraw").hidden = false;
  outbox.send();
  await goThrough(study);
}

async function loadStudy(language) {
  const load = (wanted) =>
    ask("GET", `study?language=${encodeURIComponent(wanted)}`, null, "study");
  const study = await load(language);
  const base = (code) => code.split("-")[0];
  const near = study.languages.find((each) => base(each) === base(language));
  return near && near !== study.language ? load(near) : study;
}

// Enters with a key that is kept until the reply came: a lost reply makes no second session.
async function enter(study, person) {
  const { source, names } = link();
  const key = storage.get("visit") ?? randomKey();
  storage.set("visit", key);
  const entered = await ask("POST", "enter", {
    source,
    names: source === "open" ? { visit: key } : names,
    language: study.language,
    agreed: true,
  }, "enter");
  storage.set("token", entered.token);
  storage.set("person", person);
  storage.forget("visit");
}

async function goThrough(study) {
  for (;;) {
    const state = await ask("GET", "session", null, "session");
    const complete = state.stage === "items" && state.position >= state.pages;
    if (state.stage === "done") {
      byId("progress").hidden = true;
      steps.done(study, words, state);
      return;
    }
    if (!state.open && !complete) {
      byId("progress").hidden = true;
      steps.message(words.refusals.closed);
      return;
    }
    if (state.stage === "questions") {
      const answers = await steps.questions(study, words);
      await ask("POST", "questions", { answers }, "questions");
    } else if (state.stage === "playback") {
      const outcome = await steps.playback(words);
      await ask("POST", "playback", { outcome }, "playback");
    } else if (complete || await pages(study, state)) {
      await ask("POST", "finish", {}, "finish");
    }
  }
}

// Page after page from where the rater stands; false when the server must be asked again.
async function pages(study, { position, begun, pages: total, skipped, most_skipped }) {
  const skips = { skipped, most_skipped };
  if (!begun) await steps.instructions(study, words);
  for (let at = position, furthest = position; at < total;) {
    const page = await ask("GET", `pages/${at}?language=${study.language}`, null, "page");
    showProgress(at, total);
    const mayGoBack = at > 0 && at === furthest;
    const where = await showPage(page, study, words, { mayGoBack, skips });
    if (where === "reload") return false;
    at += where === "back" ? -1 : 1;
    furthest = Math.max(furthest, at);
  }
  return true;
}

function showProgress(at, total) {
  const [bar, text] = byId("progress").children;
  byId("progress").hidden = false;
  bar.value = at / total;
  bar.setAttribute("aria-label", words.page(at + 1, total));
  text.textContent = words.page(at + 1, total);
}

// Puts the study's language, title and the buttons of the frame in place.
function applyStudy(study) {
  document.documentElement.lang = study.language;
  document.documentElement.dir = direction(study.language);
  document.title = study.title;
  byId("title").textContent = study.title;
  const choices = study.languages.length < 2 ? [] : study.languages.map((each) =>
    make("button", {
      type: "button", class: "quiet", lang: each, "aria-pressed": String(each === study.language),
      onclick: () => {
        storage.set("language", each);
        location.reload();
      },
    }, languageName(each)));
  fill(byId("languages"), ...choices);
  status.setWords(words);
  byId("withdraw").textContent = words.withdraw;
  byId("withdraw").onclick = () => withdraw().catch(showFailure);
}

// A language's name in itself; its code where the browser knows no names.
function languageName(code) {
  try {
    return new Intl.DisplayNames([code], { type: "language" }).of(code);
  } catch {
    return code;
  }
}

async function withdraw() {
  const question = dialog(words.withdraw, [make("p", {}, words.withdrawText)],
    [["yes", words.withdrawYes, "danger"], ["", words.withdrawNo, "main"]]);
  if (await question.closed !== "yes") return;
  const failure = make("p", { role: "status" });
  const progress = dialog(words.withdrawing, [make("p", {}, words.withdrawingText), failure],
    [["", words.withdrawNo, ""]]);
  let cancelled = false;
  progress.closed.then(() => {
    cancelled = true;
    hurry();
  });
  status.mirror(failure); // the line itself lies behind the dialog
  let receipt = null;
  try {
    receipt = await requestUntilDone("POST", "withdraw", {}, "withdraw", () => cancelled);
    if (!receipt) return;
  } catch (error) {
    // An earlier try deleted everything, and its reply was lost.
    if (!(error instanceof Refused) || error.code !== "withdrawn") throw error;
  } finally {
    status.mirror(null);
    progress.close("");
  }
  withdrawn = true;
  outbox.discard();
  forgetSession();
  byId("progress").hidden = true;
  byId("withdraw").hidden = true;
  steps.withdrawn(words, receipt);
}

function forgetSession() {
  for (const name of ["token", "person", "visit"]) storage.forget(name);
}

// Shows what stopped the way through. Only what is refused for good or an error of the page itself
// comes here: a lost connection is waited for where it is met.
function showFailure(error) {
  if (!(error instanceof Refused)) {
    console.error(error);
    steps.message(words.broken(error.message), [words.reload, () => location.reload()]);
    return;
  }
  if (error.code === "withdrawn") outbox.discard();
  if (["withdrawn", "no_session"].includes(error.code)) forgetSession();
  const text = words.refusals[error.code] ?? error.message;
  const final = ["closed", "full"].includes(error.code);
  steps.message(text, final ? null : [words.reload, () => location.reload()]);
}

// The last resort for an error that no handler caught: it is shown, and the page stays as it is.
// Extensions of the browser run in the page too; their errors are not the study's.
function showUncaught(error) {
  if (error && !/extension:/.test(String(error.stack))) status.setBroken(error.message);
}
window.addEventListener("unhandledrejection", (event) => showUncaught(event.reason));
window.addEventListener("error", (event) => showUncaught(event.error));

window.addEventListener("online", hurry);
byId("retry").onclick = hurry;

run().catch(showFailure);
