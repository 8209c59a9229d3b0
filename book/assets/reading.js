// What a reader has read and answered, in this browser only: a mark and a quiz score beside each page in the sidebar,
// and a box to tick at the end of a page. Tables that are wider than the screen are told apart, so that they can say so.
// A classic script, so that it also runs from file://.
(() => {
  const { tr } = window.reader;
  const KEY = "convnotes"; // in the browser's storage: page → { read, right, of }
  const root = new URL(document.documentElement.dataset.content_root, location).pathname;
  const named = (url) => url.pathname.slice(root.length);
  const here = named(location);

  function load() {
    try {
      return JSON.parse(localStorage.getItem(KEY)) ?? {};
    } catch {
      return {}; // storage is blocked, or holds something else
    }
  }

  let marks = load();
  let kept = true; // whether the browser stores them

  function change(page, values) {
    marks = { ...marks, [page]: { ...marks[page], ...values } };
    save();
  }

  function save() {
    const text = JSON.stringify(marks);
    try {
      localStorage.setItem(KEY, text);
      kept = localStorage.getItem(KEY) === text;
    } catch {
      kept = false;
    }
    draw();
  }

  function node(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  const hidden = (text) => node("span", { className: "visually-hidden" }, text);
  const links = [...document.querySelectorAll(".bd-sidebar-primary nav a.reference.internal")]
    .slice(1) // the first one leads to the landing page
    .map((link) => ({
      page: named(new URL(link.href)),
      mark: link.appendChild(node("span", { className: "cn-mark" })),
    }));
  const box = node("input", { type: "checkbox" });
  const count = node("span", { className: "cn-read-count" });
  const forget = node("button", { type: "button", className: "cn-forget" }, tr`Forget all marks`);
  box.addEventListener("change", () => change(here, { read: box.checked }));
  forget.addEventListener("click", () => {
    marks = {};
    save();
    box.focus();
  });

  function draw() {
    for (const { page, mark } of links) {
      const { read, of, right } = marks[page] ?? {};
      mark.replaceChildren();
      if (of) mark.append(hidden(tr`, quiz `), `${right}/${of}`);
      if (read) mark.append(" ✓", hidden(tr` read`));
    }
    const pages = links.filter(({ page }) => marks[page]?.read).length;
    box.checked = Boolean(marks[here]?.read);
    count.textContent =
      tr`${pages} of ${links.length} pages read.` +
      (kept ? "" : tr` This browser does not keep the marks.`);
    forget.hidden = !Object.keys(marks).length;
  }

  function start() {
    if (links.some(({ page }) => page === here))
      document
        .querySelector("article.bd-article")
        .append(
          node(
            "p",
            { className: "cn-read" },
            node("label", {}, box, tr`I have read this page`),
            count,
            forget,
          ),
        );
    draw();
  }

  // A quiz is scored once every question has an answer.
  document.addEventListener("change", (event) => {
    const score = event.target
      .closest('[data-widget="quiz"]')
      ?.querySelector('[data-shown="score"]');
    const { right, of, answered } = score?.dataset ?? {};
    if (of && of === answered) change(here, { right: Number(right), of: Number(of) });
  });
  addEventListener("storage", (event) => {
    if (event.key !== KEY && event.key !== null) return;
    marks = load();
    draw();
  });
  start();

  // The language that a reader chose last: the way in leads to it, and every other address shows what it names.
  const other = document.querySelector(".cn-language");
  const CHOSEN = "convnotes-language";
  other.addEventListener("click", () => {
    other.hash = location.hash;
    try {
      localStorage.setItem(CHOSEN, other.hreflang);
    } catch {
      // it is not kept, then
    }
  });
  if (here === "book/intro.html" && localStorage.getItem(CHOSEN) === other.hreflang)
    location.replace(other.href);

  // What is wider than the page: a table scrolls inside its frame, a formula in its line, which the keyboard reaches then.
  const measure = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      const wide = target.closest(".cn-scroll, mjx-container");
      const overflows = wide.scrollWidth > wide.clientWidth + 1;
      wide.classList.toggle("cn-overflows", overflows);
      if (wide.matches("mjx-container")) wide.tabIndex = overflows ? 0 : -1;
    }
  });
  for (const table of document.querySelectorAll(".cn-scroll")) measure.observe(table);
  const typeset = new MutationObserver((changes) => {
    for (const { addedNodes } of changes)
      for (const added of addedNodes)
        if (added.localName === "mjx-container")
          for (const part of [added, ...added.children]) measure.observe(part);
  });
  for (const formula of document.querySelectorAll("div.math"))
    typeset.observe(formula, { childList: true, subtree: true });
})();
