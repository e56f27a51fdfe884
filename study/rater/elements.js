// Elements made in code. Text is always set as text: nothing anyone typed becomes markup.

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(key, value);
    else if (value !== undefined && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Paragraphs of a text with empty lines between them. A line that ends between two Chinese
// characters is joined to the next one: a browser would show a gap there.
const CHINESE = "[\\u3000-\\u9fff\\uff00-\\uffef]";
const BROKEN = new RegExp(`(${CHINESE})\\s*\\n\\s*(?=${CHINESE})`, "g");
export const paragraphs = (text) =>
  text.split(/\n\s*\n/).filter(Boolean).map((part) => make("p", {}, part.replace(BROKEN, "$1")));

export const button = (text, act, kind = "") =>
  make("button", { type: "button", class: kind, onclick: act }, text);

// Replaces what an element holds; replaceChildren is missing in browsers still in use.
export function fill(element, ...children) {
  element.textContent = "";
  element.append(...children);
}

const main = () => document.getElementById("main");
let leaving = null;

// Registers what is to be ended when another step takes the place of the one in view.
export const whenReplaced = (act) => { leaving = act; };

// Shows a step from its top and puts the focus on its heading, so that screen readers begin there.
export function show(...children) {
  if (leaving) leaving();
  leaving = null;
  fill(main(), ...children);
  main().inert = false;
  main().removeAttribute("aria-busy");
  const heading = main().querySelector("h1, h2");
  if (heading) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  window.scrollTo(0, 0);
}

// Keeps a step that is done in view, without effect, until the next one takes its place.
export function freeze() {
  main().inert = true;
  main().setAttribute("aria-busy", "true");
}

export function announce(text) {
  const line = document.getElementById("spoken");
  line.textContent = "";
  requestAnimationFrame(() => { line.textContent = text; });
}

// Opens a dialog over the page. Returns `closed`, which resolves to the value of the button
// pressed ("" for Escape), and `close`.
export function dialog(heading, children, choices) {
  const native = typeof HTMLDialogElement === "function" && HTMLDialogElement.prototype.showModal;
  const box = make(native ? "dialog" : "div", { "aria-label": heading, class: "dialog" },
    make("h2", {}, heading), ...children);
  let close;
  const closed = new Promise((resolve) => { close = resolve; });
  box.append(make("div", { class: "row" },
    ...choices.map(([value, text, kind]) => button(text, () => close(value), kind))));
  document.body.append(box);
  const before = document.activeElement;
  if (native) {
    box.addEventListener("close", () => close(""));
    box.showModal();
  } else {
    box.setAttribute("role", "dialog");
    box.setAttribute("aria-modal", "true");
    box.addEventListener("keydown", (event) => { if (event.key === "Escape") close(""); });
    box.querySelector("button").focus();
  }
  const removed = closed.then((value) => {
    if (native) box.close();
    box.remove();
    if (!native && before) before.focus();
    return value;
  });
  return { closed: removed, close };
}

export const dialogIsOpen = () => document.querySelector(".dialog") !== null;
