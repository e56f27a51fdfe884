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

// Paragraphs of a text with empty lines between them. A line that ends between two Chinese signs is
// joined to the next one: a browser would show a gap there.
const CHINESE = "[\\u3000-\\u9fff\\uff00-\\uffef]";
const BROKEN = new RegExp(`(${CHINESE})\\s*\\n\\s*(?=${CHINESE})`, "g");
export const paragraphs = (text) =>
  text.split(/\n\s*\n/).filter(Boolean).map((part) => make("p", {}, part.replace(BROKEN, "$1")));

export const button = (text, act, kind = "") =>
  make("button", { type: "button", class: kind, onclick: act }, text);

const main = () => document.getElementById("main");

// Show a page, from its top, and put the focus on its heading so that screen readers begin there.
export function show(...children) {
  main().replaceChildren(...children);
  const heading = main().querySelector("h1, h2");
  if (heading) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  window.scrollTo(0, 0);
}

export function say(text) {
  const line = document.getElementById("spoken");
  line.textContent = "";
  requestAnimationFrame(() => { line.textContent = text; });
}

// A question over the page; resolves to the value of the button pressed, "" for Escape.
export function ask(heading, children, choices) {
  return new Promise((resolve) => {
    const dialog = make("dialog", { "aria-label": heading }, make("h2", {}, heading), ...children);
    const row = make("div", { class: "row" });
    for (const [value, text, kind] of choices) {
      row.append(button(text, () => dialog.close(value), kind));
    }
    dialog.append(row);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
