// What can be seen to be wrong with a page: a list of lines, empty when it is well. Run in the page.
() => {
  const wrong = [], room = document.documentElement.clientWidth;
  const all = (query) => [...document.querySelectorAll(query)];
  const seen = (el) => { const r = el.getBoundingClientRect(); return r.width > 0 && r.height > 0 && el.checkVisibility({ visibilityProperty: true }); };
  const name = (el) => `${el.tagName.toLowerCase()}.${el.getAttribute("class") || ""} «${(el.textContent || el.value || "").trim().slice(0, 30)}»`;
  const scrolls = (el) => { for (let p = el.parentElement; p; p = p.parentElement) if (["auto", "scroll", "hidden"].includes(getComputedStyle(p).overflowX)) return true; return false; };

  // width
  if (document.documentElement.scrollWidth > room) wrong.push(`scrolls sideways: ${document.documentElement.scrollWidth} > ${room}`);
  for (const el of all("body *")) {
    if (!seen(el) || el.closest(".hide,.defs,.skip,iframe")) continue;
    const r = el.getBoundingClientRect(), s = getComputedStyle(el);
    if ((r.right > room + 0.5 || r.left < -0.5) && !scrolls(el)) wrong.push(`outside the page: ${name(el)} ${r.left.toFixed(0)}…${r.right.toFixed(0)}`);
    const form = ["INPUT", "TEXTAREA", "SELECT", "OPTION"].includes(el.tagName);
    if (!form && !el.children.length && el.textContent.trim() && !el.closest("svg") && el.scrollWidth > el.clientWidth + 1 && s.overflowX === "hidden" && s.textOverflow !== "ellipsis") wrong.push(`text cut: ${name(el)}`);
  }
  for (const plot of all("svg.plot")) {
    const texts = [...plot.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([a, p], i) => {
      if (p.width && (p.right > room || p.left < 0)) wrong.push(`plot text outside: ${a}`);
      for (const [b, q] of texts.slice(i + 1)) if (p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 3 && q.top < p.bottom - 3) wrong.push(`plot texts overlap: ${a}, ${b}`);
    });
  }

  // controls
  for (const el of all("a[href],button,input:not([type=hidden]),select,textarea,summary")) {
    if (!seen(el) || el.closest(".skip")) continue;
    const r = (el.closest(".pick,.check") || el).getBoundingClientRect();
    const inText = el.tagName === "A" && getComputedStyle(el).display === "inline";
    if (!inText && (r.height < 23.5 || r.width < 23.5)) wrong.push(`small, ${r.width.toFixed(0)} × ${r.height.toFixed(0)}: ${name(el)}`);
    const called = el.getAttribute("aria-label") || el.labels?.[0]?.textContent || el.textContent;
    if (!called.trim()) wrong.push(`without a name: ${el.outerHTML.slice(0, 80)}`);
  }
  for (const form of all("form")) {
    const first = [...form.querySelectorAll("button:not([type=button])")].filter(seen);
    if (first.length > 1 && !first[0].classList.contains("main")) wrong.push(`Enter would press ${name(first[0])}`);
  }
  if (all(".btn.main").length > 1) wrong.push("more than one main button");

  // structure
  if (all("[style],style,script:not([src])").length) wrong.push("inline style or script");
  if (all("*").some((el) => [...el.attributes].some((a) => /^on/i.test(a.name)))) wrong.push("inline handler");
  const ids = all("[id]").map((el) => el.id);
  for (const id of ids) if (ids.filter((other) => other === id).length > 1) wrong.push(`id twice: ${id}`);
  for (const a of ["aria-labelledby", "aria-describedby", "for", "list"])
    for (const el of all(`[${a}]`)) for (const id of el.getAttribute(a).split(" ")) if (!ids.includes(id)) wrong.push(`no such id: ${id}`);
  for (const use of all("use")) if (!ids.includes(use.getAttribute("href").slice(1))) wrong.push(`no such icon: ${use.getAttribute("href")}`);
  for (const one of ["main", "h1", "#main", "header", "footer"]) if (all(one).filter((el) => el.checkVisibility()).length !== 1) wrong.push(`not one ${one}`);
  let last = 0;
  for (const h of all("h1,h2,h3")) { if (!h.checkVisibility()) continue; const level = +h.tagName[1]; if (last && level > last + 1) wrong.push(`heading skips a level: ${name(h)}`); last = level; }
  for (const svg of all("svg")) if (!svg.parentElement.closest("svg") && svg.getAttribute("aria-hidden") !== "true" && !(svg.getAttribute("role") === "img" && svg.querySelector("title"))) wrong.push(`svg without a name: ${svg.outerHTML.slice(0, 60)}`);
  for (const el of all("pre,.scroll,.side")) if ((el.scrollHeight > el.clientHeight + 1 || el.scrollWidth > el.clientWidth + 1) && getComputedStyle(el).overflow !== "visible" && el.checkVisibility() && el.tabIndex < 0 && !el.querySelector("a,button,input")) wrong.push(`scrolls without the keyboard: ${name(el)}`);
  for (const el of all("[role=status],[role=alert]")) if (el.textContent.trim().length > 400) wrong.push(`announces too much: ${name(el)}`);

  // contrast of text as it is shown
  const rgba = (text) => { const m = text.match(/[\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1]; };
  const light = (c) => { const f = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; return 0.2126 * f(c[0]) + 0.7152 * f(c[1]) + 0.0722 * f(c[2]); };
  const behind = (el) => { for (let p = el; p; p = p.parentElement) { const c = rgba(getComputedStyle(p).backgroundColor); if (c[3] > 0.99) return c; } return [255, 255, 255, 1]; };
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  for (const el of all("body *")) {
    if (el.closest("svg,.hide,.skip,[aria-disabled=true]") || !seen(el) || ![...el.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const found = ratio(rgba(getComputedStyle(el).color), behind(el));
    if (found < 4.5) wrong.push(`contrast ${found.toFixed(2)}: ${name(el)}`);
  }
  for (const el of all(".in,.num-in,select,textarea,.btn.main")) {
    if (!seen(el)) continue;
    const found = ratio(rgba(getComputedStyle(el).borderTopColor), behind(el.parentElement));
    if (found < 3) wrong.push(`edge ${found.toFixed(2)}: ${name(el)}`);
  }
  for (const el of all("svg [class*=f-]:not(.f-gap),svg [class*=s-]")) {
    const s = getComputedStyle(el), colour = s.fill !== "none" ? s.fill : s.stroke;
    const found = ratio(rgba(colour), behind(el.closest("svg:not(svg svg)").parentElement));
    if (found < 3) wrong.push(`drawn with ${found.toFixed(2)}: ${el.getAttribute("class")}`);
  }
  return [...new Set(wrong)];
}
