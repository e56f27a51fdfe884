// The steps around the pages that are scored. Each shows itself and resolves when it is done.

import { announce, button, freeze, make, paragraphs, show, whenReplaced } from "./elements.js";
import { Videos } from "./videos.js";

const NUMBER = 7; // what check.mp4 shows
const SIZE = [240, 240]; // of check.mp4, in pixels

const card = (...children) => make("section", { class: "card" }, ...children);
const row = (...children) => make("div", { class: "row" }, ...children);

// Shows a step. `build(finish, fail)` returns its element; `finish(value)` ends it. It stays in
// view while what it gave is on its way.
const step = (build) =>
  new Promise((resolve, reject) => {
    const finish = (value) => {
      freeze();
      resolve(value);
    };
    show(build(finish, reject));
  });

export const consent = (study, words) =>
  step((finish) => card(
    make("h1", {}, study.title), ...paragraphs(study.consent),
    row(button(words.agree, () => finish(), "main"))));

export const instructions = (study, words) =>
  step((finish) => card(
    make("h1", {}, words.how), ...paragraphs(study.instructions),
    make("p", { class: "keys" }, words.keys), row(button(words.start, () => finish(), "main"))));

export const questions = (study, words) =>
  step((finish) => {
    const form = make("form", { class: "card" }, make("h1", {}, words.questions),
      ...study.questions.map((question) => field(question, words)),
      row(make("button", { type: "submit", class: "main" }, words.next)));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const answers = {};
      for (const [name, value] of new FormData(form)) {
        if (value.trim()) answers[name] = value;
      }
      finish(answers);
    });
    return form;
  });

function field(question, words) {
  const title = [question.title, " ",
    make("small", {}, question.required ? words.required : words.optional)];
  if (question.kind === "text") {
    return make("label", { class: "field" }, make("span", {}, ...title),
      make("textarea", {
        name: question.id, maxlength: question.longest, rows: 3, required: question.required,
      }));
  }
  return make("fieldset", { class: "field" }, make("legend", {}, ...title),
    ...question.options.map((option) =>
      make("label", { class: "option" },
        make("input", {
          type: "radio", name: question.id, value: option.id, required: question.required,
        }), option.title)));
}

// Two videos at once, as on the pages to come: some phones show the first one only.
export function playback(words) {
  let videos;
  const outcome = step((finish, fail) => {
    const message = make("p", { class: "hint" });
    const wrong = make("p", { role: "status" });
    const help = make("div", { hidden: true });
    const play = button(words.replay, () => videos.play());
    const retry = button(words.retry, () => videos.retry());
    const update = () => {
      const { trouble, slow, ready, needsPress } = videos;
      play.textContent = needsPress ? words.play : words.replay;
      play.classList.toggle("main", needsPress);
      play.hidden = Boolean(trouble);
      retry.hidden = !trouble && !slow;
      let text = needsPress ? words.checkPress : "";
      if (trouble) text = words.checkTrouble;
      else if (slow) text = words.checkSlow;
      else if (!ready) text = words.loading;
      if (message.textContent === text) return;
      message.textContent = text;
      if (ready || trouble) announce(text);
    };
    videos = new Videos(["left", "right"], SIZE, update);
    const end = (value) => {
      videos.stop();
      finish(value);
    };
    const cannot = () => {
      help.hidden = false;
      help.textContent = "";
      help.append(...paragraphs(words.checkHelp),
        row(button(words.checkAgain, () => location.reload(), "main"),
          button(words.checkGoOn, () => end("cannot"))));
    };
    const choose = (number) => {
      if (number === NUMBER) end("ok");
      else wrong.textContent = words.checkWrong;
    };
    videos.load(["rater/check.mp4", "rater/check.mp4"]).catch(fail);
    update();
    return card(
      make("h1", {}, words.check), make("p", {}, words.checkText),
      make("div", { class: "pair small" }, ...videos.elements),
      row(play, retry, message),
      row(...[2, 4, 7, 9].map((number) =>
        button(String(number), () => choose(number), "number")),
      button(words.checkCannot, cannot, "quiet")),
      wrong, help);
  });
  whenReplaced(() => videos.stop());
  return outcome;
}

// `completion` holds the code; `enough` is false when too many pages have no scores for one.
export function done(study, words, { completion, skipped = 0 }) {
  const counted = completion.enough === false
    ? words.notEnough(skipped, completion.most_skipped) : words.counted(skipped);
  show(card(
    make("h1", {}, words.done), ...paragraphs(study.thanks), make("p", {}, counted),
    ...completion.code ? code(words.code, completion.code, words) : [],
    completion.link
      ? make("p", {}, make("a", { class: "button main", href: completion.link }, words.toProlific))
      : null));
}

// A code with a button that copies it.
function code(label, text, words) {
  const shown = make("strong", {}, text);
  const result = make("p", { class: "hint", role: "status" });
  const copy = button(words.copy, async () => {
    result.textContent = await copied(shown) ? words.copied : words.notCopied;
  });
  return [make("p", { class: "code" }, `${label}: `, shown, " ", copy), result];
}

// Copies an element's text; where the browser does not allow it, leaves the text selected.
async function copied(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    const selection = getSelection();
    selection.removeAllRanges();
    const range = document.createRange();
    range.selectNodeContents(element);
    selection.addRange(range);
    return document.execCommand("copy"); // the older way, also without https
  }
}

// `receipt` is null when its reply was lost; what was to be deleted is deleted.
export function withdrawn(words, receipt) {
  show(card(
    make("h1", {}, words.withdrawn),
    make("p", {}, receipt ? words.receipt(receipt.answers) : words.receiptLost),
    ...receipt ? code(words.receiptNumber, receipt.receipt, words) : []));
}

export function message(text, again) {
  show(card(make("h1", { class: "plain" }, text),
    again ? row(button(again[0], again[1], "main")) : null));
}
