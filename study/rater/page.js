// One page with its videos and scales.

import {
  announce, button, dialog, dialogIsOpen, make, paragraphs, show, whenReplaced,
} from "./elements.js";
import { fetchAhead, keepOnly } from "./loading.js";
import * as outbox from "./outbox.js";
import { References } from "./references.js";
import { Scales } from "./scales.js";
import { Refused, pause, requestUntilDone, storage } from "./server.js";
import { Videos } from "./videos.js";

// Resolves to "next", "back" or "reload". `skips`: how many pages the rater skipped (`skipped`) and
// how many the study allows to skip (`most_skipped`); updated here.
export function showPage(page, study, words, { mayGoBack, skips }) {
  return new Promise((resolve, reject) => {
    const here = page.position;
    const watch = stopwatch();
    const names = page.right ? ["left", "right"] : ["only"];
    const addresses = [page.left, page.right].filter(Boolean);
    let opensAt = null; // when the server accepts that the videos were seen
    let unlocking = false;
    let left = false;
    let note = ""; // what the status says while the videos are well
    let announced = "";
    let checked = false; // whether the server was asked why a video is not there

    const status = make("p", { class: "hint" });
    const bar = make("progress", { max: 1, value: 0, "aria-hidden": "true" });
    const videos = new Videos(names, study.size, update);
    const play = button(words.replay, () => videos.play());
    const retry = button(words.retry, () => videos.retry(), "main");
    const skip = button(words.skipPage, reportTrouble);
    const references = new References(page, words);
    const scales = new Scales(page, study, words, given);
    const missing = make("p", { class: "hint", role: "status" });
    const next = button(words.next, goOn, "main");
    const back = button(words.back, () => leave("back"));
    back.hidden = !mayGoBack;

    const unlisten = outbox.listen((event, answer) => {
      if (event === "closed") leave("reload");
      if (answer.position !== here || answer.token !== storage.get("token")) return;
      if (event === "refused") leave("reload");
      else scales.markStored(answer);
    });
    document.addEventListener("keydown", key);

    const article = make("article", { class: "item" },
      intro(), stage(), ...scales.sections, missing,
      make("div", { class: "row ends" }, back, next),
      make("p", { class: "trouble" }, button(words.troubled, reportTrouble, "quiet")));
    showGiven();
    show(article);
    whenReplaced(end);
    lock(!page.seen);
    count();
    update();
    begin().catch(reject);

    async function begin() {
      keepOnly([...addresses, ...page.next, ...page.images, ...page.videos]);
      await videos.load(addresses);
      if (left) return;
      const shown = await post("shown", {}, "open");
      if (!shown || left) return;
      opensAt = performance.now() + 1000 * shown.wait;
      if (page.seen) note = page.skipped ? words.skipped : "";
      else note = page.right ? words.locked : words.lockedOne;
      update();
      references.load().catch(reject);
      fetchAhead(page.next).catch(reject);
      videos.look();
    }

    // Scores given before: the server's, and those that were on their way when it sent the page.
    function showGiven() {
      const ofPage = (answer) => answer.position === here;
      for (const answer of outbox.justStored().filter(ofPage)) scales.set(answer, true);
      for (const answer of page.given) scales.set(answer, true);
      for (const answer of outbox.waiting().filter(ofPage)) scales.set(answer, false);
    }

    // Posts an act of this page; null when the page is not this rater's to act on any more.
    async function post(act, body, task) {
      try {
        return await requestUntilDone("POST", `pages/${here}/${act}`, body, task, () => left);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        if (act === "seen" && ["too_soon", "not_seen"].includes(error.code)) return error;
        leave("reload");
        return null;
      }
    }

    // Shows where the videos stand.
    function update() {
      if (left) return;
      const { trouble, slow, ready, needsPress, watched } = videos;
      play.textContent = needsPress ? words.play : words.replay;
      play.classList.toggle("main", needsPress);
      play.hidden = Boolean(trouble);
      retry.hidden = skip.hidden = !trouble && !slow;
      let text = note;
      if (trouble) text = words.videoTrouble(trouble.kind, which(trouble.names));
      else if (slow) text = words.slowVideos(Math.round(100 * videos.share));
      else if (!ready) text = words.loading;
      if (status.textContent !== text) status.textContent = text;
      if (trouble && text !== announced) announce(text);
      announced = trouble ? text : "";
      if (trouble && trouble.status && !checked) {
        checked = true;
        checkSession().catch(reject);
      }
      bar.value = watched;
      if (watched >= 1 && opensAt !== null && !page.seen && !unlocking) {
        unlocking = true;
        unlock().catch(reject);
      }
    }

    // The server has no such video for this rater: the study may have been closed.
    async function checkSession() {
      const state = await requestUntilDone("GET", "session", null, "session", () => left);
      if (state && (!state.open || state.stage !== "items")) leave("reload");
    }

    async function unlock() {
      await pause(Math.max(opensAt - performance.now(), 0));
      for (;;) {
        const reply = await post("seen", {}, "open");
        if (!reply || left) return;
        if (!(reply instanceof Refused)) break;
        if (reply.code === "not_seen") {
          // The server was restarted or restored: it must see the videos requested once more.
          await videos.refetch();
          if (left || !await post("shown", {}, "open")) return;
        }
        await pause(400);
      }
      page.seen = true;
      note = words.unlocked;
      lock(false);
      count();
      update();
      announce(words.unlocked);
      await outbox.send();
    }

    function intro() {
      return make("section", { class: "card intro" },
        make("div", {},
          page.training ? make("p", { class: "badge" }, words.practice) : null,
          ...paragraphs(page.note),
          make("p", { class: "hint" }, study.headings?.label || words.label),
          make("h1", {}, page.label),
          study.headings?.text ? make("p", { class: "hint" }, study.headings.text) : null,
          ...paragraphs(page.text)),
        references.buttons.length
          ? make("div", {}, make("p", { class: "hint" }, words.references),
            make("div", { class: "references" }, ...references.buttons)) : null);
    }

    function stage() {
      const figures = videos.elements.map((video, n) =>
        make("figure", {}, make("figcaption", {}, words[names[n]]), video));
      const pair = make("div", { class: figures.length > 1 ? "pair" : "pair one" }, ...figures);
      pair.style.setProperty("--shape", study.size[0] / study.size[1]);
      return make("section", { class: "card stage" },
        pair, bar, make("div", { class: "row" }, play, retry, skip, status));
    }

    function given(dimension, side, score) {
      const seconds = Math.round(watch.seconds() * 100) / 100;
      outbox.put({ position: here, side, dimension, score, seconds }).catch(reject);
      count();
    }

    function lock(locked) {
      scales.lock(locked);
      bar.hidden = !locked;
    }

    function count() {
      const open = page.skipped ? 0 : scales.open.length;
      next.disabled = open > 0;
      missing.textContent = open && page.seen ? words.missing(open) : "";
    }

    async function goOn() {
      next.disabled = true;
      missing.textContent = outbox.waiting().length ? words.waiting : "";
      await outbox.send();
      outbox.acknowledge();
      leave("next");
    }

    function key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || dialogIsOpen()) return;
      if (event.key === "r" || event.key === "R") {
        videos.play();
      } else if (event.key === "Enter") {
        if (document.activeElement.matches("button, summary, a, select")) return;
        if (!next.disabled) goOn();
      } else if (/^[1-5]$/.test(event.key)) {
        if (!scales.press(event.key)) next.focus();
      } else {
        return;
      }
      event.preventDefault();
    }

    // The way out of a page whose videos do not play. It needs no video that loaded.
    async function reportTrouble() {
      const reasons = {
        "black picture": words.troubleBlack,
        stops: words.troubleStops,
        nothing: words.troubleNothing,
      };
      const kind = videos.trouble?.kind;
      const likely = kind === "stop" ? "stops" : kind || !videos.ready ? "nothing"
        : "black picture";
      const choices = make("div", {}, ...Object.entries(reasons).map(([reason, text]) =>
        make("label", { class: "option" },
          make("input", {
            type: "radio", name: "trouble", value: reason, checked: reason === likely,
          }), text)));
      const allowed = skips.most_skipped === undefined || page.training ? null
        : make("p", {}, words.skipsLeft(Math.max(skips.most_skipped - skips.skipped, 0)));
      const question = dialog(words.trouble,
        [make("p", {}, words.troubleText), choices, allowed].filter(Boolean),
        [["go", words.troubleGo, "main"], ["", words.close, ""]]);
      if (await question.closed !== "go" || left) return;
      const reason = choices.querySelector(":checked").value;
      next.disabled = skip.disabled = true;
      videos.stop(); // a stalled video holds a connection that the report may need
      const reply = await post("cannot-play", { reason }, "cannotPlay");
      if (!reply) return;
      skips.skipped = reply.skipped;
      leave("next");
    }

    function leave(where) {
      if (left) return;
      article.inert = true; // until the next page takes its place
      end();
      resolve(where);
    }

    function end() {
      if (left) return;
      left = true;
      document.removeEventListener("keydown", key);
      watch.stop();
      unlisten();
      references.stop();
      videos.stop();
    }
  });
}

// The key of words.which for the names of videos.
const which = (names) => (names.length > 1 ? "both" : names[0]);

// Counts the seconds that the page was in view.
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
