// Parts of the administrator's page that are ours: choosing and sending clips, and the live board.

const SECONDS = 4;

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// ---- clips -------------------------------------------------------------------------------------

const ACCEPTED = /\.(mp4|mov|mkv|webm|avi|gif|yaml|csv|json|jsonl)$/i;

const number = () => Array.from(crypto.getRandomValues(new Uint8Array(16)),
  (byte) => byte.toString(16).padStart(2, "0")).join("");

async function send(address, body, begun) {
  // fetch tells nothing of how far a file is; of many small files the count is enough.
  const answer = await fetch(address, { method: "PUT", body, signal: begun.signal });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.sentence ?? `The server answered ${answer.status}.`);
  return said;
}

export function uploads(element, props) {
  const said = make("p", { class: "st-note", role: "status", hidden: true });
  const bar = make("progress", { max: 1, value: 0, hidden: true, "aria-label": "Sent" });
  const say = (sentence, kind = "") => {
    said.textContent = sentence;
    said.className = `st-note ${kind}`;
    said.hidden = false;
  };
  let begun = new AbortController();

  async function take(files, work) {
    begun.abort();
    begun = new AbortController();
    window.studyUpload = "";
    bar.hidden = false;
    bar.value = 0;
    const mine = begun;
    try {
      const upload = number();
      const count = await work(upload, files, mine);
      window.studyUpload = upload;
      say(`${count} files are on the server. Now make the study.`, "good");
    } catch (error) {
      if (!mine.signal.aborted) say(`${error.message} Choose again; nothing was made.`, "bad");
    }
    if (mine === begun) bar.hidden = true;
  }

  async function folder(upload, files, mine) {
    // The chosen folder itself stays behind: METHOD/ITEM.mp4 is what a study reads.
    const wanted = files.map((file) => [file.webkitRelativePath.split("/").slice(1).join("/"), file])
      .filter(([name]) => ACCEPTED.test(name) && !name.split("/").some((part) => part.startsWith(".") || part === "__MACOSX"));
    if (!wanted.length) throw new Error("There are no clips in it.");
    for (const [place, [name, file]] of wanted.entries()) {
      if (file.size > props.largest) throw new Error(`${name} is larger than ${props.largest} bytes.`);
      say(`Sending ${place + 1} of ${wanted.length}: ${name}`);
      bar.value = place / wanted.length;
      await send(`uploads/${upload}/files/${name.split("/").map(encodeURIComponent).join("/")}`, file, mine);
    }
    return wanted.length;
  }

  async function zip(upload, files, mine) {
    say(`Sending ${files[0].name}`);
    bar.removeAttribute("value");
    return (await send(`uploads/${upload}/zip`, files[0], mine)).files;
  }

  const field = (label, attributes, work) => make("label", { class: "st-file" }, label,
    make("input", { type: "file", ...attributes,
      onchange: (event) => event.target.files.length && take([...event.target.files], work) }));
  element.replaceChildren(
    make("p", { class: "st-soft" }, "Lay them out as METHOD/ITEM.mp4, where ITEM is the class and ",
      "the seed (8_3.mp4), with references/8.mp4 beside them. captions.yaml and one manifest may come too; a grid of `python -m finephys batch` is taken as it is."),
    field("A folder", { webkitdirectory: true, multiple: true, id: "st-folder" }, folder),
    field("or a zip", { accept: ".zip,application/zip", id: "st-zip" }, zip),
    bar, said);
}

// ---- board -------------------------------------------------------------------------------------

export function board(element, props, watch) {
  const place = make("div", { class: "st-board" });
  const state = make("p", { class: "st-soft", role: "status" });
  element.replaceChildren(state, place);
  let asking = false;

  async function refresh() {
    const name = props.value?.name;
    if (!name) { place.replaceChildren(); state.textContent = "There is no study yet."; return; }
    // Nothing is asked while nobody looks: the tab of the browser or this tab is hidden.
    if (asking || document.hidden || !element.offsetParent) return;
    asking = true;
    try {
      const answer = await fetch(`board/${encodeURIComponent(name)}`);
      if (answer.status === 401) { location.assign("login"); return; }
      const text = await answer.text();
      if (name !== props.value?.name) return;
      if (!answer.ok) throw new Error(JSON.parse(text).sentence);
      place.innerHTML = text;
      state.textContent = `As of ${new Date().toLocaleTimeString()}, again every ${SECONDS} seconds`;
    } catch (error) {
      state.textContent = `The board cannot be read now: ${error.message}`;
    } finally {
      asking = false;
    }
  }

  watch("value", refresh);
  document.addEventListener("visibilitychange", refresh);
  const timer = setInterval(() => (element.isConnected ? refresh() : clearInterval(timer)), SECONDS * 1000);
  new IntersectionObserver(refresh).observe(element);
  refresh();
}
