// Tells of calls as they end, and has the panels that nobody works in drawn anew by the server.
// Nothing moves under the reader: the chosen call, what is typed, focus and scroll stay.
"use strict";
(() => {
  const { say, state, parse, clock } = window.gpfnPages;
  const byId = (id) => document.getElementById(id);
  const SILENT = 18000, STEPS = [1, 2, 4, 8, 16, 30], PAGE = { accept: "text/html" };
  let source = null, last = Number(document.body.dataset.last), tries = 0, heard = 0;
  let paused = false, since = "", again = 0, due = 0, asking = false, dirty = false, took = 0;
  const unseen = new Set();

  // ---- the stream

  function connect() {
    clearTimeout(again);
    if (paused || document.hidden || source) return;
    heard = Date.now();
    source = new EventSource(`${document.body.dataset.events}?after=${last}`);
    source.onopen = well;
    source.addEventListener("beat", well);
    source.addEventListener("running", () => { well(); schedule(); });
    source.addEventListener("call", (event) => {
      well();
      const number = Number(event.lastEventId);
      if (number <= last) return;
      last = number;
      unseen.add(number);
      schedule();
    });
    source.onerror = lost;
  }

  function leave() {
    if (source) source.close();
    source = null;
  }

  function well() {
    heard = Date.now();
    if (since || tries) { tries = 0; since = ""; retry(false); schedule(); }
    state("Live", false);
  }

  function lost() {
    leave();
    if (paused || document.hidden) return;
    since = since || clock();
    state(`Not connected since ${since} UTC`, true);
    retry(true);
    clearTimeout(again);
    again = setTimeout(connect, 1000 * STEPS[Math.min(tries++, STEPS.length - 1)]);
  }

  setInterval(() => { if (source && Date.now() - heard > SILENT) lost(); }, 1000);

  function retry(shown) {
    let button = byId("retry");
    if (!button && shown) {
      button = document.createElement("button");
      Object.assign(button, { id: "retry", type: "button", className: "btn tiny", textContent: "Try now" });
      button.onclick = () => { tries = 0; leave(); connect(); };
      byId("pause").before(button);
    }
    if (button) button.hidden = !shown;
  }

  // ---- panels, drawn by the server again

  function schedule() {
    dirty = true;
    if (!due) due = setTimeout(() => { due = 0; refresh(); }, Math.max(400, 5 * took));
  }

  const address = () => {
    const here = new URL(location.href), call = byId("call");
    if (call && call.dataset.call) here.searchParams.set("call", call.dataset.call);
    here.hash = "";
    return here;
  };

  const busy = (panel) => panel.contains(document.activeElement) || panel.matches(":hover") ||
    (getSelection().rangeCount && !getSelection().isCollapsed && panel.contains(getSelection().anchorNode));

  function put(here, came) {
    if (here.innerHTML === came.innerHTML) return;
    const top = here.querySelector("nav")?.scrollTop;
    here.replaceChildren(...document.adoptNode(came).childNodes);
    if (top) here.querySelector("nav").scrollTop = top;
  }

  // of very many functions the chosen one is in sight
  function reveal() {
    const item = document.querySelector(".item[aria-current]"), list = item?.closest("nav");
    if (list) list.scrollTop = item.offsetTop - (list.clientHeight - item.offsetHeight) / 2;
  }

  async function refresh() {
    if (asking || paused || document.hidden || !dirty) return;
    asking = true;
    dirty = false;
    const began = Date.now();
    try {
      const answer = await fetch(address(), { headers: PAGE, signal: AbortSignal.timeout(8000) });
      const page = parse(await answer.text());
      for (const here of document.querySelectorAll("[data-live]")) {
        const came = page.querySelector(`[data-live="${here.dataset.live}"]`);
        if (here.dataset.live === "calls") rows(here, came);
        else if (here.dataset.live === "call") first(here, page);
        else if (came && !busy(here)) put(here, came);
        else if (came) dirty = true;
      }
    } catch { dirty = true; } finally { asking = false; took = Date.now() - began; }
  }

  // the first call of all takes the place of "No calls yet"
  function first(here, page) {
    const came = page.querySelector("#call");
    if (came && came.dataset.call && !busy(here)) here.replaceWith(document.adoptNode(came));
  }

  function rows(here, came) {
    if (came && here.dataset.top && !busy(here)) {
      put(here, came);
      unseen.clear();
      return;
    }
    const more = byId("more"), text = `Show ${unseen.size} new call${unseen.size === 1 ? "" : "s"}`;
    if (!more || !unseen.size) return;
    more.hidden = false;
    if (more.textContent !== text) more.textContent = text;
  }

  document.addEventListener("click", async (event) => {
    if (event.target.id !== "more") return;
    const here = event.target.closest("[data-live]"), place = address();
    place.searchParams.delete("before");
    try {
      const answer = await fetch(place, { headers: PAGE });
      const came = parse(await answer.text()).querySelector('[data-live="calls"]');
      here.dataset.top = "1";
      put(here, came);
      say(`${unseen.size} new calls are shown.`);
      unseen.clear();
      here.querySelector("a.goto")?.focus();
    } catch { lost(); }
  });

  // ---- pause, hidden, gone

  byId("pause").addEventListener("click", (event) => {
    paused = !paused;
    const button = event.currentTarget;
    button.setAttribute("aria-pressed", String(paused));
    button.lastChild.textContent = paused ? "Go on" : "Pause";
    if (paused) { leave(); clearTimeout(again); retry(false); state(`Paused at ${clock()} UTC`, true); }
    else { tries = 0; since = ""; state("Live", false); connect(); schedule(); }
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) leave();
    else { connect(); schedule(); }
  });
  addEventListener("pagehide", leave);
  addEventListener("pageshow", connect);
  // what nobody is at any more is brought up to date
  setInterval(() => { if (dirty) refresh(); }, 1000);

  // ---- another sample fills the form; so does a file that is dropped

  document.addEventListener("change", async (event) => {
    if (event.target.id !== "sample") return;
    const form = event.target.form, place = new URL(form.action);
    place.search = new URLSearchParams(new FormData(form));
    try {
      const came = parse(await (await fetch(place, { headers: PAGE })).text());
      const text = came.getElementById("event"), here = byId("event");
      here.value = text.value;
      here.removeAttribute("aria-invalid");
      here.removeAttribute("aria-describedby");
      byId("event-problem")?.remove();
      byId("sending").elements.sample.value = event.target.value;
    } catch { say("The server does not answer."); }
  });

  document.addEventListener("keydown", (event) => {
    if (event.target.id !== "event" || event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    event.target.form.requestSubmit(event.target.form.querySelector(".main"));
  });

  window.gpfnPages.fill = async (files) => {
    const here = byId("event");
    if (!here || files.length !== 1) return;
    if (files[0].size > 65536) { say("Over 64 kB: send it from a shell."); return; }
    here.value = await files[0].text();
    here.focus();
  };

  window.gpfnPages.arrived = reveal;
  reveal();
  connect();
})();
