// The steps around the pages that are scored. Each shows itself and resolves when it is done.

import { button, make, paragraphs, show } from "./elements.js";
import { Videos } from "./videos.js";

const NUMBER = 7; // what check.mp4 shows

export const consent = (study, say) =>
  new Promise((resolve) => {
    show(make("section", { class: "card" },
      make("h1", {}, study.title), ...paragraphs(study.consent),
      make("div", { class: "row" }, button(say.agree, resolve, "main"))));
  });

export const questions = (study, say) =>
  new Promise((resolve) => {
    const form = make("form", { class: "card" }, make("h1", {}, say.questions));
    for (const question of study.questions) form.append(field(question, say));
    form.append(make("div", { class: "row" },
      make("button", { type: "submit", class: "main" }, say.next)));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const answers = {};
      for (const [name, value] of new FormData(form)) {
        if (value.trim()) answers[name] = value;
      }
      resolve(answers);
    });
    show(form);
  });

function field(question, say) {
  const title = [question.title, " ",
    make("small", {}, question.required ? say.required : say.optional)];
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
export const playback = (say) =>
  new Promise((resolve) => {
    const message = make("p", { role: "status" });
    const help = make("div", { hidden: true });
    const start = button(say.play, () => videos.play().then(() => { start.hidden = true; }), "main");
    start.hidden = true;
    const videos = new Videos([say.left, say.right], [240, 240], () => {}, () => { start.hidden = false; });
    const finish = (outcome) => {
      videos.stop();
      resolve(outcome);
    };
    const cannot = () => {
      help.hidden = false;
      help.replaceChildren(...paragraphs(say.checkHelp), make("div", { class: "row" },
        button(say.checkAgain, () => location.reload(), "main"),
        button(say.checkGoOn, () => finish("cannot"))));
    };
    const choose = (number) => {
      if (number === NUMBER) finish("ok");
      else message.textContent = say.checkWrong;
    };
    show(make("section", { class: "card" }, make("h1", {}, say.check),
      make("p", {}, say.checkText),
      make("div", { class: "pair small" }, ...videos.elements), start,
      make("div", { class: "row" },
        ...[2, 4, 7, 9].map((number) => button(String(number), () => choose(number), "number")),
        button(say.checkCannot, cannot, "quiet")),
      message, help));
    videos.load(["rater/check.mp4", "rater/check.mp4"]).catch(cannot);
  });

export const instructions = (study, say) =>
  new Promise((resolve) => {
    show(make("section", { class: "card" }, make("h1", {}, say.how),
      ...paragraphs(study.instructions), make("p", { class: "keys" }, say.keys),
      make("div", { class: "row" }, button(say.start, resolve, "main"))));
  });

export function done(study, say, completion) {
  const copy = button(say.copy, async () => {
    await navigator.clipboard.writeText(completion.code);
    copy.textContent = say.copied;
  });
  show(make("section", { class: "card" }, make("h1", {}, say.done), ...paragraphs(study.thanks),
    make("p", {}, say.codeComes),
    completion.code
      ? make("p", { class: "code" }, `${say.code}: `, make("strong", {}, completion.code), " ",
        navigator.clipboard ? copy : null)
      : null,
    completion.link
      ? make("p", {}, make("a", { class: "button main", href: completion.link }, say.toProlific))
      : null));
}

export function withdrawn(say, receipt) {
  show(make("section", { class: "card" }, make("h1", {}, say.withdrawn),
    make("p", {}, say.receipt(receipt.answers)),
    make("p", { class: "code" }, make("strong", {}, receipt.receipt))));
}

export function message(text, again) {
  show(make("section", { class: "card" }, make("h1", { class: "plain" }, text),
    again ? make("div", { class: "row" }, button(again[0], again[1], "main")) : null));
}
