"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const pictures = JSON.parse($("pictures").textContent);
  const page = $("key").dataset.page;
  const shows = [...document.querySelectorAll("[data-show]")];
  const answers = [...document.querySelectorAll("[data-answer]")];
  const count = Number($("key").dataset.count);

  // person: a number by which answers that are saved twice are known; order: which question comes when, and whether its
  // codings change sides; given: the answers so far.
  const begun = () => ({ person: Math.random().toString(36).slice(2, 10), order: shuffled(), given: [] });
  let state = begun();
  let shown = "0", begin = performance.now();

  function shuffled() {
    const order = pictures.flatMap(({ pairs }, picture) => pairs.map((_, pair) => ({ picture, pair, turned: Math.random() < 0.5 })));
    for (let last = order.length - 1; last > 0; last -= 1) {
      const other = Math.floor(Math.random() * (last + 1));
      [order[last], order[other]] = [order[other], order[last]];
    }
    return order;
  }

  // A page from a file may have no storage; then answers live as long as the page is open.
  function remember() {
    try { localStorage.setItem(page, JSON.stringify(state)); } catch { /* nothing to be done */ }
  }
  function recall() {
    try {
      const found = JSON.parse(localStorage.getItem(page));
      if (found && found.order.length === count) state = found;
    } catch { /* begin anew */ }
  }

  const question = () => state.order[state.given.length];
  function pair({ picture, pair: number, turned }) {
    const both = pictures[picture].pairs[number];
    return turned ? [both[1], both[0]] : both;
  }

  function show(what) {
    const asked = question();
    if (!asked) return;
    shown = what;
    const picture = pictures[asked.picture];
    $("seen").src = what === "original" ? picture.original : picture.codings[pair(asked)[Number(what)]];
    $("seen").alt = what === "original" ? "The original" : what === "0" ? "A" : "B";
    shows.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.show === what)));
    size();
  }

  // 1 or 2 screen pixels for each of the picture's, so that nothing is blended.
  function size() {
    const scale = ($("zoom").getAttribute("aria-pressed") === "true" ? 2 : 1) / devicePixelRatio;
    const seen = $("seen");
    const apply = () => { seen.style.width = `${seen.naturalWidth * scale}px`; };
    if (seen.complete) apply();
    seen.onload = apply;
    seen.style.imageRendering = scale * devicePixelRatio > 1 ? "pixelated" : "auto";
  }

  function zoom() {
    $("zoom").setAttribute("aria-pressed", String($("zoom").getAttribute("aria-pressed") !== "true"));
    size();
  }

  function ask() {
    const done = state.given.length, asked = question();
    $("place").textContent = asked ? `Question ${done + 1} of ${count}` : `All ${count} questions are answered. Save the answers.`;
    answers.forEach((button) => { button.disabled = !asked; });
    $("back").disabled = done === 0;
    $("save").disabled = done === 0;
    $("anew").disabled = done === 0;
    begin = performance.now();
    if (asked) show("0");
  }

  function answer(what) {
    if (!question()) return;
    state.given.push({ answer: what, seconds: Math.round((performance.now() - begin) / 100) / 10 });
    remember();
    ask();
  }

  function back() {
    state.given.pop();
    remember();
    ask();
  }

  function anew() {
    state = begun();
    remember();
    ask();
  }

  function result() {
    const { format, bpp, key } = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob($("key").textContent), (c) => c.charCodeAt(0))));
    const choices = state.given.map(({ answer: what, seconds }, number) => {
      const asked = state.order[number];
      const [first, second] = pair(asked).map((coding) => key[asked.picture][coding]);
      const chosen = what === "none" ? null : what === "0" ? "first" : "second";
      return { picture: pictures[asked.picture].name, first, second, chosen, seconds };
    });
    return { format, page, person: state.person, bpp, choices };
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(result(), null, 1)], { type: "application/json" }));
    link.download = `choices-${page}-${state.person}.json`;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  const keys = {
    a: () => show("0"), b: () => show("1"), o: () => show("original"), z: zoom,
    1: () => answer("0"), 2: () => answer("1"), 0: () => answer("none"), backspace: () => state.given.length && back(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const act = keys[event.key.toLowerCase()];
    if (!act) return;
    act();
    event.preventDefault();
  });
  shows.forEach((button) => button.addEventListener("click", () => show(button.dataset.show)));
  answers.forEach((button) => button.addEventListener("click", () => answer(button.dataset.answer)));
  $("zoom").addEventListener("click", zoom);
  $("back").addEventListener("click", back);
  $("save").addEventListener("click", save);
  $("anew").addEventListener("click", anew);
  window.vqcChoices = result; // for programs that read a page
  recall();
  ask();
})();
