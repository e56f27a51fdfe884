// One page with its videos and scales. Resolves to "next", "back" or "reload".

import { ask as question, button, make, paragraphs, say as speak, show } from "./elements.js";
import * as outbox from "./outbox.js";
import { Refused, askUntilDone, pause } from "./server.js";
import { Videos, fetchAhead, keepOnly } from "./videos.js";

export function item(page, study, say, mayGoBack) {
  return new Promise((resolve, reject) => {
    const watch = stopwatch();
    const sides = study.kind === "pairs" ? ["left", "right"] : ["left"];
    const names = page.right ? [say.left, say.right] : [say.only];
    const shortNames = page.right && study.kind === "pairs"
      ? { left: say.leftShort, right: say.rightShort } : { left: say.onlyShort };
    const here = page.position;
    const references = []; // each starts loading when the rated videos have come

    const status = make("p", { class: "hint" }, say.loading);
    const bar = make("progress", { max: 1, value: 0, "aria-hidden": "true" });
    const play = button(say.replay, () => start());
    const videos = new Videos(names, study.size, seen, () => {
      play.textContent = say.play;
      play.classList.add("main");
    });
    const start = () => {
      play.textContent = say.replay;
      play.classList.remove("main");
      return videos.play();
    };

    const scales = study.dimensions.map((dimension) => dimensionBlock(dimension));
    const all = () => scales.flatMap((block) => block.groups);
    const open = () => all().filter((group) => !group.querySelector(":checked"));
    const missing = make("p", { class: "hint", role: "status" });
    const next = button(say.next, goOn, "main");
    const back = button(say.back, () => leave("back"));
    back.hidden = !mayGoBack;

    const unlisten = outbox.listen((state, answer) => {
      if (!answer || answer.position !== here) return;
      if (state === "refused") leave("reload");
      else mark(answer);
    });
    document.addEventListener("keydown", key);

    show(make("article", { class: "item" },
      intro(), stage(), ...scales.map((block) => block.element), missing,
      make("div", { class: "row ends" }, back, next), trouble()));
    for (const given of page.given) set(given);
    lock(!page.seen);
    count();
    begin().catch(reject);

    async function begin() {
      const addresses = [page.left, page.right].filter(Boolean);
      await videos.load(addresses).catch(() => { status.textContent = say.trouble; });
      const shown = await tell("shown");
      if (shown === null) return;
      watch.openAt = performance.now() + 1000 * shown.wait;
      if (page.seen) status.textContent = page.skipped ? say.skipped : "";
      else status.textContent = page.right ? say.locked : say.lockedOne;
      keepOnly([...addresses, ...page.next]);
      fetchAhead(page.next);
      for (const load of references) load();
      videos.look();
    }

    // Posts an act of this page; null when the page is not this rater's to act on any more.
    async function tell(act, body) {
      try {
        return await askUntilDone("POST", `pages/${here}/${act}`, body, () => {
          status.textContent = say.offline;
        });
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        if (act === "seen" && ["too_soon", "not_seen"].includes(error.code)) return error;
        leave("reload");
        return null;
      }
    }

    function seen(share) {
      bar.value = share;
      if (share >= 1 && watch.openAt && !page.seen && !watch.asking) {
        watch.asking = true;
        unlock().catch(reject);
      }
    }

    async function unlock() {
      await pause(Math.max(watch.openAt - performance.now(), 0));
      for (;;) {
        const told = await tell("seen");
        if (told === null || watch.left) return;
        if (!(told instanceof Refused)) break;
        if (told.code === "not_seen") {
          // The server was put back to an earlier state: show it again that the videos came.
          await Promise.all([page.left, page.right].filter(Boolean).map((address) =>
            fetch(address, { cache: "reload" })));
          await tell("shown");
        }
        await pause(400);
      }
      page.seen = true;
      lock(false);
      count();
      status.textContent = say.unlocked;
      speak(say.unlocked);
      outbox.send();
    }

    function intro() {
      const shown = make("div", { class: "references" });
      for (const address of page.images) shown.append(reference("img", address));
      for (const address of page.videos) shown.append(reference("video", address));
      return make("section", { class: "card intro" },
        make("div", {},
          page.training ? make("p", { class: "badge" }, say.practice) : null,
          ...paragraphs(page.note),
          make("p", { class: "hint" }, say.label), make("h1", {}, page.label),
          ...paragraphs(page.text)),
        shown.children.length
          ? make("div", {}, make("p", { class: "hint" }, say.references), shown) : null);
    }

    function reference(kind, address) {
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      const picture = () => make(kind, kind === "img" ? { alt: say.references } : {
        loop: true, playsinline: true, autoplay: !still, controls: still,
        "aria-label": say.references,
      });
      const small = picture();
      if (kind === "video") small.muted = true;
      references.push(() => { small.src = address; });
      return make("button", {
        type: "button", class: "reference", "aria-label": say.enlarge,
        onclick: () => {
          const large = picture();
          if (kind === "video") large.muted = true;
          large.src = address;
          question(say.references, [large], [["", say.close, "main"]]);
        },
      }, small);
    }

    function stage() {
      const figures = videos.elements.map((video, n) =>
        make("figure", {}, make("figcaption", {}, names[n]), video));
      const pair = make("div", { class: figures.length > 1 ? "pair" : "pair one" }, ...figures);
      pair.style.setProperty("--shape", study.size[0] / study.size[1]);
      return make("section", { class: "card stage" },
        pair, bar,
        make("div", { class: "row" }, play, status));
    }

    function dimensionBlock(dimension) {
      const groups = sides.map((side) => group(dimension, side));
      const element = make("section", { class: "card dimension" },
        make("h2", {}, dimension.title), make("p", {}, dimension.question),
        make("div", { class: "sides" }, ...groups));
      return { element, groups };
    }

    function group(dimension, side) {
      const choice = study.kind === "choice";
      const scores = !choice ? [1, 2, 3, 4, 5] : study.tie ? [1, 2, 3] : [1, 3];
      const choices = { 1: say.left, 2: say.tie, 3: say.right };
      const legend = make("legend", {},
        make("span", { class: "unseen" }, `${dimension.title}: `),
        choice ? "" : shortNames[side], make("span", { class: "tick", "aria-hidden": "true" }));
      const hint = page.hints.find((each) =>
        each.side === side && each.dimension === dimension.id);
      return make("fieldset", {
        class: choice ? "scale choice" : "scale", "data-side": side,
        "data-dimension": dimension.id,
      }, legend,
      make("div", { class: "scores" }, ...scores.map((score) =>
        make("label", { title: dimension.labels[score - 1] ?? "" },
          make("input", {
            type: "radio", name: `${dimension.id} ${side}`, value: score,
            "aria-label": choice ? choices[score] : spoken(dimension, score),
            onchange: () => given(dimension.id, side, score),
          }),
          make("span", { "aria-hidden": "true" }, choice ? choices[score] : String(score))))),
      choice ? null : make("div", { class: "anchors", "aria-hidden": "true" },
        make("span", {}, dimension.low), make("span", {}, dimension.high)),
      hint ? make("p", { class: "hint" }, hint.low === hint.high
        ? say.hintOne(hint.low) : say.hint(hint.low, hint.high)) : null);
    }

    function given(dimension, side, score) {
      find(dimension, side).classList.remove("stored");
      outbox.put({
        position: here, side, dimension, score,
        seconds: Math.round(watch.seconds() * 100) / 100,
      }).catch(reject);
      count();
    }

    function find(dimension, side) {
      return all().find((each) =>
        each.dataset.dimension === dimension && each.dataset.side === side);
    }

    function mark({ side, dimension }) {
      find(dimension, side)?.classList.add("stored");
    }

    function set({ side, dimension, score }) {
      const input = find(dimension, side)?.querySelector(`[value="${score}"]`);
      if (!input) return;
      input.checked = true;
      mark({ side, dimension });
    }

    function lock(locked) {
      for (const each of all()) each.disabled = locked;
      bar.hidden = !locked;
    }

    function count() {
      const left = page.skipped ? 0 : open().length;
      next.disabled = left > 0;
      missing.textContent = left && page.seen ? say.missing(left) : "";
    }

    async function goOn() {
      next.disabled = true;
      missing.textContent = outbox.waiting().length ? say.waiting : "";
      await outbox.send().catch(reject);
      leave("next");
    }

    function key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog")) return;
      const active = document.activeElement;
      if (event.key === "r" || event.key === "R") start();
      else if (event.key === "Enter" && !active.matches("button, summary, a, select")) {
        if (!next.disabled) goOn();
      } else if (/^[1-5]$/.test(event.key)) {
        const chosen = active.closest?.("fieldset.scale") ?? open()[0];
        const input = chosen?.querySelector(`[value="${event.key}"]`);
        if (!input || chosen.disabled) return;
        if (!input.checked) input.click();
        (open()[0]?.querySelector("input") ?? next).focus();
      } else return;
      event.preventDefault();
    }

    function trouble() {
      const answers = [say.troubleBlack, say.troubleStops, say.troubleNothing];
      const reasons = ["black picture", "stops", "nothing"];
      return make("p", { class: "trouble" }, button(say.troubled, async () => {
        const pick = make("div", {}, ...answers.map((text, n) =>
          make("label", { class: "option" },
            make("input", { type: "radio", name: "trouble", value: reasons[n], checked: !n }),
            text)));
        const value = await question(say.trouble, [make("p", {}, say.troubleText), pick],
          [["go", say.troubleGo, "main"], ["", say.close, ""]]);
        if (value !== "go") return;
        const reason = pick.querySelector(":checked").value;
        if (await tell("cannot-play", { reason })) leave("next");
      }, "quiet"));
    }

    function leave(where) {
      if (watch.left) return;
      watch.left = true;
      document.querySelector(".item").inert = true; // until the next page stands in its place
      document.removeEventListener("keydown", key);
      watch.stop();
      unlisten();
      videos.stop();
      resolve(where);
    }
  });
}

const spoken = (dimension, score) => {
  const word = dimension.labels[score - 1]
    ?? (score === 1 ? dimension.low : score === 5 ? dimension.high : "");
  return word ? `${score}, ${word}` : String(score);
};

// Seconds the page was in view.
function stopwatch() {
  let total = 0;
  let since = document.hidden ? null : performance.now();
  const turn = () => {
    if (since !== null) total += performance.now() - since;
    since = document.hidden ? null : performance.now();
  };
  document.addEventListener("visibilitychange", turn);
  return {
    seconds: () => (total + (since === null ? 0 : performance.now() - since)) / 1000,
    stop: () => document.removeEventListener("visibilitychange", turn),
  };
}
