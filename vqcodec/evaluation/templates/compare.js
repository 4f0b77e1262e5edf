"use strict";
(() => {
  const MAX_SCALE = 32;
  const STEP = Math.SQRT2;
  const $ = (id) => document.getElementById(id);
  const stage = $("stage"), divider = $("divider");
  const buttons = [...document.querySelectorAll("button[data-codec]")];
  const images = [...document.querySelectorAll("#coded img")];
  const rows = [...document.querySelectorAll("tr[data-codec]")];
  const left = document.querySelector("#original img");
  const original = left.src;
  const map = $("map");
  const amplified = Number(stage.dataset.amplified);
  const width = Number(stage.dataset.width), height = Number(stage.dataset.height);

  // scale: CSS pixels per picture pixel; x, y: the picture's corner in the stage;
  // split: the divider's place, 0..1 of the picture's visible width; left: a codec, or -1 for the original.
  const view = { codec: 0, left: -1, difference: false, split: 0.5, scale: 1, x: 0, y: 0, whole: true };
  const size = () => ({ w: stage.clientWidth, h: stage.clientHeight });
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  // The whole picture; a small one is enlarged by whole numbers only, so that pixels stay square.
  function wholeScale() {
    const { w, h } = size();
    const ratio = Math.min(w / width, h / height);
    return ratio < 1 ? ratio : Math.floor(ratio);
  }

  const inside = (offset, extent, room) => extent <= room ? (room - extent) / 2 : clamp(offset, room - extent, 0);

  function span() {
    const low = Math.max(0, view.x);
    return [low, Math.min(size().w, view.x + width * view.scale)];
  }

  function draw() {
    const { w, h } = size();
    if (view.whole) view.scale = wholeScale();
    view.x = inside(view.x, width * view.scale, w);
    view.y = inside(view.y, height * view.scale, h);
    // As layout, not as a transform: browsers lay pictures on whole screen pixels, so that 100 % is unblended.
    for (const { style } of [left, map, ...images]) {
      style.left = `${view.x}px`;
      style.top = `${view.y}px`;
      style.width = `${width * view.scale}px`;
      style.height = `${height * view.scale}px`;
    }
    const [low, high] = span();
    const at = low + view.split * (high - low);
    $("coded").style.clipPath = `inset(0 0 0 ${at}px)`;
    divider.style.left = `${at}px`;
    const percent = Math.round(100 * view.split);
    divider.setAttribute("aria-valuenow", percent);
    divider.setAttribute("aria-valuetext", `${percent} % ${leftName()}, ${100 - percent} % ${name()}`);
    stage.classList.toggle("large", movable());
    stage.classList.toggle("pixels", view.scale * devicePixelRatio >= 2);
    $("zoom").textContent = `${Math.round(100 * view.scale)} %`;
  }

  const name = () => buttons[view.codec].textContent;
  const leftName = () => view.left < 0 ? "original" : buttons[view.left].textContent;
  const movable = () => width * view.scale > size().w + 1 || height * view.scale > size().h + 1;

  function choose(number) {
    view.codec = (number + images.length) % images.length;
    images.forEach((image, i) => { image.hidden = view.difference || i !== view.codec; });
    map.hidden = !view.difference;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === view.codec)));
    rows.forEach((row, i) => row.classList.toggle("chosen", i === view.codec));
    const facts = buttons[view.codec].dataset.facts;
    const title = view.difference ? `${amplified} times the difference of ${leftName()} and ${name()}` : name();
    const shown = view.difference ? "" : facts;
    $("tag-coded").querySelector("strong").textContent = title;
    $("tag-coded").querySelector("span").textContent = shown;
    $("said").textContent = shown ? `${title}, ${shown}` : title;
    if (view.difference) drawDifference();
    draw();
  }

  function chooseLeft(number) {
    view.left = number;
    left.src = number < 0 ? original : images[number].src;
    $("left").value = String(number);
    $("tag-original").querySelector("strong").textContent = number < 0 ? "Original" : leftName();
    $("tag-original").querySelector("span").textContent = number < 0 ? "" : buttons[number].dataset.facts;
    choose(view.codec);
  }

  function toggleDifference() {
    view.difference = !view.difference;
    $("difference").setAttribute("aria-pressed", String(view.difference));
    choose(view.codec);
  }

  async function drawDifference() {
    const coded = images[view.codec];
    await Promise.all([left.decode(), coded.decode()]);
    const context = map.getContext("2d", { willReadFrequently: true });
    context.globalCompositeOperation = "copy";
    context.drawImage(left, 0, 0);
    context.globalCompositeOperation = "difference";
    context.drawImage(coded, 0, 0);
    const found = context.getImageData(0, 0, width, height);
    found.data.forEach((value, i) => { found.data[i] = i % 4 === 3 ? 255 : amplified * value; });
    context.putImageData(found, 0, 0);
  }

  function zoomTo(scale, cx = size().w / 2, cy = size().h / 2) {
    const next = clamp(scale, Math.min(wholeScale(), 1), MAX_SCALE);
    view.x = cx - (cx - view.x) * next / view.scale;
    view.y = cy - (cy - view.y) * next / view.scale;
    view.scale = next;
    view.whole = next === wholeScale();
    draw();
  }

  function moveDivider(split) {
    view.split = clamp(split, 0, 1);
    draw();
  }

  function dividerTo(clientX) {
    const [low, high] = span();
    moveDivider((clientX - stage.getBoundingClientRect().left - low) / (high - low));
  }

  function pan(dx, dy) {
    view.x += dx;
    view.y += dy;
    draw();
  }

  function reset() {
    view.whole = true;
    view.split = 0.5;
    draw();
  }

  // Pointers: one moves the divider (or the picture, when it is larger than the stage), two pinch.
  const pointers = new Map();
  let grabbed = false, pinch = null;

  function pinchState() {
    const [a, b] = [...pointers.values()];
    const box = stage.getBoundingClientRect();
    return {
      distance: Math.max(1, Math.hypot(a.x - b.x, a.y - b.y)),
      x: (a.x + b.x) / 2 - box.left,
      y: (a.y + b.y) / 2 - box.top,
    };
  }

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    grabbed = pointers.size === 1 && (event.target === divider || !movable());
    pinch = pointers.size === 2 ? pinchState() : null;
    if (grabbed) {
      divider.focus({ preventScroll: true });
      dividerTo(event.clientX);
    }
    stage.classList.toggle("panning", !grabbed);
    event.preventDefault();
  });

  stage.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (pinch) {
      const now = pinchState();
      pan(now.x - pinch.x, now.y - pinch.y);
      zoomTo(view.scale * now.distance / pinch.distance, now.x, now.y);
      pinch = now;
    } else if (grabbed) {
      dividerTo(event.clientX);
    } else {
      pan(event.clientX - last.x, event.clientY - last.y);
    }
  });

  function release(event) {
    pointers.delete(event.pointerId);
    pinch = null;
    grabbed = false;
    stage.classList.remove("panning");
  }
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);

  // Scrolling the page wins where zooming out further would do nothing.
  stage.addEventListener("wheel", (event) => {
    const atWhole = view.scale <= Math.min(wholeScale(), 1) && event.deltaY > 0;
    if (!event.ctrlKey && (atWhole || (view.whole && window.scrollY > 0))) return;
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
    zoomTo(view.scale * Math.exp(-clamp(pixels, -200, 200) / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  stage.addEventListener("dblclick", (event) => {
    const box = stage.getBoundingClientRect();
    if (view.whole) zoomTo(Math.max(2 * view.scale, 1), event.clientX - box.left, event.clientY - box.top);
    else zoomTo(wholeScale());
  });

  function holdOriginal(held) {
    stage.classList.toggle("original", held);
    if (view.left >= 0) left.src = held ? original : images[view.left].src;
  }
  const keys = {
    "ArrowLeft": (e) => e.shiftKey ? pan(60, 0) : moveDivider(view.split - 0.02),
    "ArrowRight": (e) => e.shiftKey ? pan(-60, 0) : moveDivider(view.split + 0.02),
    "ArrowUp": (e) => e.shiftKey ? pan(0, 60) : false,
    "ArrowDown": (e) => e.shiftKey ? pan(0, -60) : false,
    "[": () => choose(view.codec - 1),
    "]": () => choose(view.codec + 1),
    "+": () => zoomTo(view.scale * STEP),
    "=": () => zoomTo(view.scale * STEP),
    "-": () => zoomTo(view.scale / STEP),
    "0": reset,
    "d": toggleDifference,
    "D": toggleDifference,
    "l": () => chooseLeft((view.left + 2) % (images.length + 1) - 1),
    "L": () => chooseLeft((view.left + 2) % (images.length + 1) - 1),
    "o": () => holdOriginal(true),
    "O": () => holdOriginal(true),
  };
  const dividerKeys = {
    "Home": () => moveDivider(0),
    "End": () => moveDivider(1),
    "PageUp": () => moveDivider(view.split + 0.1),
    "PageDown": () => moveDivider(view.split - 0.1),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target === $("left")) return;
    const inTable = event.target.classList.contains("scroll");
    const action = keys[event.key] || (event.target === divider && dividerKeys[event.key]);
    if (/^[1-9]$/.test(event.key)) {
      if (Number(event.key) <= images.length) choose(Number(event.key) - 1);
    } else if (!action || (inTable && event.key.startsWith("Arrow")) || action(event) === false) {
      return;
    }
    event.preventDefault();
  });
  document.addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "o") holdOriginal(false);
  });
  window.addEventListener("blur", () => holdOriginal(false));

  buttons.forEach((button, i) => button.addEventListener("click", () => choose(i)));
  rows.forEach((row, i) => row.addEventListener("click", () => choose(i)));
  $("left").addEventListener("change", () => chooseLeft(Number($("left").value)));
  $("difference").addEventListener("click", toggleDifference);
  $("in").addEventListener("click", () => zoomTo(view.scale * STEP));
  $("out").addEventListener("click", () => zoomTo(view.scale / STEP));
  $("whole").addEventListener("click", () => zoomTo(wholeScale()));
  $("one").addEventListener("click", () => zoomTo(1));
  $("hold").addEventListener("pointerdown", () => holdOriginal(true));
  for (const end of ["pointerup", "pointerleave", "pointercancel"]) {
    $("hold").addEventListener(end, () => holdOriginal(false));
  }
  $("hold").addEventListener("keydown", (event) => { if (event.key === " " || event.key === "Enter") holdOriginal(true); });
  $("hold").addEventListener("keyup", () => holdOriginal(false));

  new ResizeObserver(draw).observe(stage);
  choose(0);
})();
