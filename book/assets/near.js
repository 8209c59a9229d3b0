// What is out of sight when a page opens is made when its reader comes near it, and the rest after the reader's first
// move. A classic script, so that it also runs from file://; it runs before those that use `reader`.
(() => {
  const MOVES = ["scroll", "keydown", "pointerdown", "pointermove", "beforeprint"];
  const whenIdle = window.requestIdleCallback ?? setTimeout;

  const moved = new Promise((done) => {
    for (const move of MOVES)
      addEventListener(move, () => whenIdle(done), { once: true, passive: true });
  });

  // Settled once an element is in sight or a quarter of a screen away, or its reader has moved.
  function near(element) {
    const seen = new Promise((done) => {
      const watch = new IntersectionObserver(
        (changes) => {
          if (!changes.some((change) => change.isIntersecting)) return;
          watch.disconnect();
          done();
        },
        { rootMargin: "25%" },
      );
      watch.observe(element);
    });
    return Promise.race([seen, moved]);
  }

  // The dictionary of a page in another language than English, for its scripts and its widgets.
  globalThis.cnWords = JSON.parse(document.querySelector(".cn-dictionary")?.textContent ?? "{}");

  // A text of a script of the page, tr`${read} of ${all} read`, as in the kit of the widgets: the dictionary calls it
  // "{0} of {1} read".
  function tr(parts, ...values) {
    const english = parts.reduce((text, part, n) => `${text}{${n - 1}}${part}`);
    const found = globalThis.cnWords?.[english] ?? english;
    return found.replace(/\{(\d+)\}/g, (_, n) => values[n]);
  }

  window.reader = { moved, near, tr };
})();
