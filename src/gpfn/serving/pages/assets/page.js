// Spares reloads, and nothing else: it sends the same forms and puts the same HTML in their place.
// Every form and link works without it.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const say = (text) => { const at = byId("said"); if (at) at.textContent = text; };
  const parse = (text) => new DOMParser().parseFromString(text, "text/html");
  const PAGE = { accept: "text/html" };

  // ---- an open graph stays as it is; a frame loads when it is first opened

  function details() {
    if (location.hash === "#graph" && byId("graph")) byId("graph").open = true;
  }

  // ---- the page that came in place of the one that is shown

  function show(text, address, push) {
    const page = parse(text), came = page.getElementById("swap"), here = byId("swap");
    if (!came || !here) { location.assign(address); return; }
    keepImage(here, came);
    keepJobs(came);
    here.replaceWith(document.adoptNode(came));
    document.title = page.title;
    document.body.dataset.view = page.body.dataset.view;
    if (push) history.pushState(null, "", address);
    arrive();
  }

  function arrive() {
    const wrong = document.querySelector("[aria-invalid=true]");
    const problem = document.querySelector("#swap [role=alert]");
    if (wrong) wrong.focus();
    else if (problem) { problem.tabIndex = -1; problem.focus(); }
    const told = document.querySelector("#swap [role=alert], #swap .flash, #answer [role=status]");
    if (told) say(told.textContent.replace(/\s+/g, " ").trim().slice(0, 190));
    details();
    if (shared.arrived) shared.arrived();
  }

  // an image that was chosen stays chosen and shown
  function keepImage(here, came) {
    const from = here.querySelector("input[name=image]"), to = came.querySelector("input[name=image]");
    if (!from || !to || !from.files.length) return;
    to.files = from.files;
    preview(came.querySelector("[data-image]"), from.files[0]);
  }

  // uploads that run are shown on whatever page comes
  function keepJobs(came) {
    const from = byId("jobs"), to = came.querySelector("#jobs");
    if (!from || !to || !from.children.length) return;
    to.hidden = false;
    to.append(...from.children);
  }

  // ---- forms

  let waiting = null;

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("[data-drop]")) { event.preventDefault(); uploads(form.querySelector("input").files); form.reset(); return; }
    if (!form.matches("[data-swap]") || form.method !== "post") return;
    event.preventDefault();
    send(form);
  });

  async function send(form) {
    if (waiting) return;
    const control = new AbortController(), button = form.querySelector("button:not([type=button])");
    const label = button.querySelector("span") || button, before = label.textContent;
    const stop = form.querySelector("[data-stop]"), began = Date.now();
    waiting = control;
    button.setAttribute("aria-disabled", "true");
    const clock = form.dataset.wait && setInterval(() => {
      label.textContent = `${form.dataset.wait}, ${Math.round((Date.now() - began) / 1000)} s…`;
      if (stop) stop.hidden = false;
    }, 1000);
    if (stop) stop.onclick = () => control.abort();
    const many = form.enctype === "multipart/form-data", data = new FormData(form);
    try {
      const answer = await fetch(form.action, {
        method: "POST", headers: PAGE, signal: control.signal,
        body: many ? data : new URLSearchParams(data),
      });
      show(await answer.text(), answer.redirected ? answer.url : location.href, answer.redirected);
      if (answer.status === 503) again(form.id, Number(answer.headers.get("retry-after")) || 1);
    } catch (error) {
      say(error.name === "AbortError" ? "Cancelled." : "The server does not answer.");
      if (error.name !== "AbortError") lost();
    } finally {
      waiting = null;
      clearInterval(clock);
      button.removeAttribute("aria-disabled");
      label.textContent = before;
      if (stop) stop.hidden = true;
    }
  }

  // a busy server is asked again when it says so, unless somebody stops that
  function again(id, seconds) {
    const form = id && byId(id), stop = form && form.querySelector("[data-stop]");
    if (!stop) return;
    const label = form.querySelector(".main span"), before = label.textContent, until = Date.now() + 1000 * seconds;
    const end = () => { clearInterval(clock); label.textContent = before; stop.hidden = true; };
    const clock = setInterval(() => {
      if (!form.isConnected || waiting) { end(); return; }
      const left = Math.ceil((until - Date.now()) / 1000);
      label.textContent = `Sent again in ${left} s`;
      if (left <= 0) { end(); send(form); }
    }, 250);
    stop.hidden = false;
    stop.onclick = end;
  }

  document.addEventListener("keydown", (event) => {
    const form = event.target.closest && event.target.closest("#trying");
    if (form && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit(form.querySelector(".main"));
    }
  });

  // ---- copying

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const text = button.closest(".code").querySelector("pre"), label = button.lastChild;
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {
      getSelection().selectAllChildren(text);
      say("Selected; copy it with the keyboard.");
      return;
    }
    label.textContent = "Copied";
    say("Copied.");
    setTimeout(() => { label.textContent = "Copy"; }, 2000);
  });

  // ---- images and files that are dropped, pasted or chosen

  function preview(place, file) {
    const image = place && place.querySelector("img");
    if (!image || !file) return;
    if (image.src) URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(file);
    image.alt = file.name;
    image.hidden = false;
  }

  document.addEventListener("change", (event) => {
    const input = event.target;
    if (input.name === "image") preview(input.closest("[data-image]"), input.files[0]);
    if (input.name === "file" && input.closest("[data-drop]") && input.files.length) {
      uploads(input.files);
      input.closest("form").reset();
    }
  });

  function take(files) {
    const place = document.querySelector("[data-image]"), input = place && place.querySelector("input");
    if (!input || files.length !== 1 || !files[0].type.startsWith("image/")) return false;
    const chosen = new DataTransfer();
    chosen.items.add(files[0]);
    input.files = chosen.files;
    preview(place, files[0]);
    return true;
  }

  const over = (on) => document.querySelectorAll(".drop").forEach((at) => at.classList.toggle("over", on));
  const hasFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragover", (event) => { if (hasFiles(event)) { event.preventDefault(); over(true); } });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) over(false); });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    over(false);
    if (take(event.dataTransfer.files)) return;
    if (byId("jobs")) uploads(event.dataTransfer.files);
    else if (shared.fill) shared.fill(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) take(event.clipboardData.files); });

  // ---- uploads, one at a time; each is a line that says how far it is and what became of it

  const queue = [];
  let running = null;

  function uploads(files) {
    for (const file of files) queue.push(job(file));
    next();
  }

  const size = (bytes) => bytes < 1e3 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB`
    : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;

  function made(tag, kind, text) {
    const element = document.createElement(tag);
    element.className = kind;
    element.textContent = text;
    return element;
  }

  function job(file) {
    const line = made("li", "job", ""), name = made("span", "name", file.name);
    const stop = made("button", "btn quiet tiny", "Cancel"), bar = document.createElement("progress");
    const told = made("span", "wide muted", `${size(file.size)}, waits`);
    stop.type = "button";
    stop.setAttribute("aria-label", `Cancel the upload of ${file.name}`);
    bar.setAttribute("aria-label", `Upload of ${file.name}`);
    bar.max = file.size || 1;
    bar.value = 0;
    line.append(name, stop, bar, told);
    const jobs = byId("jobs");
    if (jobs) { jobs.hidden = false; jobs.append(line); }
    return { file, line, stop, bar, told };
  }

  function next() {
    if (running || !queue.length) return;
    const one = running = queue.shift(), request = new XMLHttpRequest(), form = new FormData();
    const began = Date.now(), room = Number(document.querySelector("[data-drop]")?.dataset.room);
    const end = (text, kind) => {
      one.told.textContent = text;
      one.told.className = kind ? "wide bad-text" : "wide muted";
      one.bar.remove();
      one.stop.remove();
      say(`${one.file.name}: ${text}`.slice(0, 190));
      running = null;
      next();
    };
    if (room && one.file.size > room) { end(`${size(one.file.size)} is more than ${size(room)}. Nothing was sent.`, "bad"); return; }
    form.append("file", one.file);
    one.stop.onclick = () => request.abort();
    request.upload.onprogress = (event) => {
      const rate = event.loaded / Math.max(1, Date.now() - began), left = (event.total - event.loaded) / rate / 1000;
      one.bar.value = Math.min(event.loaded, one.bar.max);
      one.told.textContent = `${size(event.loaded)} of ${size(event.total)}, ${Math.ceil(left)} s left`;
    };
    request.upload.onload = () => { one.bar.removeAttribute("value"); one.told.textContent = "Uploaded; it is opened and called once."; };
    request.onload = () => {
      let found = {};
      try { found = JSON.parse(request.responseText); } catch { found = { detail: "no answer that can be read" }; }
      if (request.status !== 200) { end(found.detail || found.title || `status ${request.status}`, "bad"); return; }
      const done = found.uploaded[0], link = document.createElement("a");
      end(done.existed ? `the same bytes as version ${done.version}` : `version ${done.version} is served`);
      link.href = `${document.body.dataset.root}/models/${encodeURIComponent(done.name)}`;
      link.textContent = "Open";
      one.told.append(" ", link);
      refresh();
    };
    request.onerror = () => end("The connection broke. Nothing was kept.", "bad");
    request.onabort = () => end("Cancelled. Nothing was kept.", "bad");
    request.open("POST", `${document.body.dataset.root}/models`);
    request.setRequestHeader("accept", "application/json");
    request.send(form);
  }

  addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });

  // ---- figures: the same page again, of which only what nobody works in is put in place

  const EVERY = 5000, STEPS = [1, 2, 4, 8, 16, 30];
  addEventListener("popstate", () => location.reload());

  let timer = 0, tries = 0, paused = false, since = null;

  function state(text, off) {
    const at = byId("live");
    if (!at) return;
    at.classList.toggle("off", off);
    if (at.lastChild.textContent !== text) at.lastChild.textContent = text;
  }

  const clock = () => new Date().toISOString().slice(11, 19);

  function lost() {
    since = since || clock();
    state(`Not connected since ${since} UTC`, true);
    if (document.body.dataset.events) return;
    clearTimeout(timer);
    timer = setTimeout(refresh, 1000 * STEPS[Math.min(tries++, STEPS.length - 1)]);
  }

  async function refresh() {
    clearTimeout(timer);
    if (paused || document.hidden || waiting) { timer = setTimeout(refresh, EVERY); return; }
    try {
      const answer = await fetch(location.pathname + location.search, { headers: PAGE, signal: AbortSignal.timeout(8000) });
      const page = parse(await answer.text());
      for (const here of document.querySelectorAll("[data-live]")) {
        const came = page.querySelector(`[data-live="${here.dataset.live}"]`);
        if (came && !here.contains(document.activeElement) && !here.matches(":hover") && came.innerHTML !== here.innerHTML)
          here.replaceChildren(...document.adoptNode(came).childNodes);
      }
      tries = 0;
      since = null;
      if (!paused) state("Live", false);
      timer = setTimeout(refresh, EVERY);
    } catch { lost(); }
  }

  // a page that is told what happens has a script of its own for that
  const shared = window.gpfnPages = { say, state, parse, clock };
  if (document.body.dataset.events) { details(); return; }

  byId("pause")?.addEventListener("click", (event) => {
    paused = !paused;
    event.currentTarget.setAttribute("aria-pressed", String(paused));
    event.currentTarget.lastChild.textContent = paused ? "Go on" : "Pause";
    state(paused ? `Paused at ${clock()} UTC` : "Live", paused);
    if (!paused) refresh();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });

  details();
  timer = setTimeout(refresh, EVERY);
})();
