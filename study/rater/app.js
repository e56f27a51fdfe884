// A rater's way: agree, answer, check the playback, score page after page, get the code.
// Where a rater stands is known by the server alone, so a reload or another day goes on there.

import { ask as question, make } from "./elements.js";
import { item } from "./item.js";
import * as outbox from "./outbox.js";
import { Refused, ask, askUntilDone, memory } from "./server.js";
import * as steps from "./steps.js";
import { words } from "./words.js";

const PROLIFIC = ["PROLIFIC_PID", "STUDY_ID", "SESSION_ID"];

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

const chosenLanguage = () =>
  memory.get("language") ?? new URLSearchParams(location.search).get("language")
  ?? navigator.language;

const part = (id) => document.getElementById(id);
const keep = () => {};

async function run() {
  const wanted = chosenLanguage();
  let study = await askUntilDone("GET", `study?language=${encodeURIComponent(wanted)}`, null, keep);
  const near = study.languages.find((each) => wanted.split("-")[0] === each.split("-")[0]);
  if (near && near !== study.language) study = await ask("GET", `study?language=${near}`);
  const say = words(study.language);
  dress(study, say);

  const person = JSON.stringify(link().names);
  if (person !== "{}" && memory.get("person") !== person) leave();
  if (!memory.get("token")) {
    if (study.phase !== "open") return steps.message(say.closed);
    await steps.consent(study, say);
    const entered = await ask("POST", "enter",
      { ...link(), language: study.language, agreed: true });
    memory.set("token", entered.token);
    memory.set("person", person);
  }
  part("withdraw").hidden = false;
  outbox.send();
  return goThrough(study, say);
}

async function goThrough(study, say) {
  for (;;) {
    const state = await askUntilDone("GET", "session", null, keep);
    if (state.stage !== "done" && !state.open) return steps.message(say.closed);
    if (state.stage === "done") return end(study, say, state.completion);
    if (state.stage === "questions") {
      const answers = await steps.questions(study, say);
      await askUntilDone("POST", "questions", { answers }, keep);
    } else if (state.stage === "playback") {
      await askUntilDone("POST", "playback", { outcome: await steps.playback(say) }, keep);
    } else if (await pages(study, say, state)) {
      const ended = await askUntilDone("POST", "finish", {}, keep);
      return end(study, say, ended.completion);
    }
  }
}

// Page after page from where the rater stands; false when the server must be asked again.
async function pages(study, say, { position, begun, pages: total }) {
  if (!begun) await steps.instructions(study, say);
  for (let at = position, furthest = position; at < total;) {
    const page = await askUntilDone("GET", `pages/${at}?language=${study.language}`, null, keep);
    advance(say, at, total);
    const where = await item(page, study, say, at > 0 && at === furthest);
    if (where === "reload") return false;
    at += where === "back" ? -1 : 1;
    furthest = Math.max(furthest, at);
  }
  return true;
}

function end(study, say, completion) {
  part("progress").hidden = true;
  return steps.done(study, say, completion);
}

function advance(say, at, total) {
  const [bar, text] = part("progress").children;
  part("progress").hidden = false;
  bar.value = at / total;
  bar.setAttribute("aria-label", say.page(at + 1, total));
  text.textContent = say.page(at + 1, total);
}

function dress(study, say) {
  document.documentElement.lang = study.language;
  document.title = study.title;
  part("title").textContent = study.title;
  const shown = new Intl.DisplayNames([study.language], { type: "language" });
  part("languages").replaceChildren(...study.languages.length < 2 ? [] : study.languages.map(
    (each) => make("button", {
      type: "button", class: "quiet", lang: each, "aria-pressed": String(each === study.language),
      onclick: () => { memory.set("language", each); location.reload(); },
    }, new Intl.DisplayNames([each], { type: "language" }).of(each) ?? shown.of(each))));
  const texts = { saving: say.saving, offline: say.offline, storage: say.storage };
  let given = false; // "saved" is said of answers only
  outbox.listen((state, answer) => {
    given ||= state !== "saved" || Boolean(answer);
    part("saved").textContent = texts[state] ?? (given ? say.saved : "");
    part("saved").dataset.state = state;
  });
  part("withdraw").textContent = say.withdraw;
  part("withdraw").onclick = async () => {
    const chosen = await question(say.withdraw, [make("p", {}, say.withdrawText)],
      [["yes", say.withdrawYes, "danger"], ["", say.withdrawNo, "main"]]);
    if (chosen !== "yes") return;
    const receipt = await ask("POST", "withdraw", {});
    leave();
    part("progress").hidden = true;
    part("withdraw").hidden = true;
    steps.withdrawn(say, receipt);
  };
}

// Nothing of the earlier person stays on this device.
function leave() {
  outbox.discard();
  memory.forget("token");
  memory.forget("person");
}

function trouble(error) {
  const say = words(chosenLanguage());
  const again = [say.again, () => location.reload()];
  if (error instanceof Refused && ["withdrawn", "no_session"].includes(error.code)) leave();
  if (error instanceof Refused && error.code === "closed") steps.message(say.closed);
  else steps.message(error instanceof Refused && error.message ? error.message : say.failed, again);
  if (!(error instanceof Refused)) throw error;
}

run().catch(trouble);
