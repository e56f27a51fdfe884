/* A clip that this browser cannot play may still be read by the server, which says so itself:
   Gradio's own "Video not playable" is kept from ever being shown. */
document.addEventListener("error", (event) => {
  if (event.target instanceof HTMLMediaElement) event.stopImmediatePropagation();
}, true);

/* Gradio's drop-down lists open again on every key, Tab too, and Tab then stops on the list, which
   vanishes under the focus. Tab is kept from the list, so that it goes on to the next control. */
document.addEventListener("keydown", (event) => {
  if (event.key !== "Tab" || !event.target.matches?.("input[role=combobox]")) return;
  event.stopImmediatePropagation();
  // What scrolls can be reached by Tab unless it says otherwise.
  for (const list of document.querySelectorAll("ul[role=listbox]")) {
    list.tabIndex = -1;
    list.parentElement.tabIndex = -1;
  }
}, true);
