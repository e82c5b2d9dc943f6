// Streamlit tells a component its theme in custom properties alone; whether it is dark shows in the background.
const themed = (element) => {
  const pen = document.createElement('canvas').getContext('2d');
  pen.fillStyle = getComputedStyle(element).getPropertyValue('--st-background-color') || '#fff';
  const [r, g, b] = pen.fillStyle.match(/\w\w/g).map((hex) => parseInt(hex, 16));
  element.dataset.theme = r * 0.299 + g * 0.587 + b * 0.114 < 128 ? 'dark' : 'light';
};
// The browser fires a click only if the element stays in the page between press and release. What arrives in between is drawn after it.
const unpressed = (root, draw) => {
  root.onpointerdown = () => {
    const waiting = new AbortController();
    root.pressed = true;
    const free = () => { waiting.abort(); setTimeout(() => { root.pressed = false; root.due?.(); root.due = null; }); };
    for (const kind of ['pointerup', 'pointercancel']) addEventListener(kind, free, { signal: waiting.signal, capture: true });
  };
  if (root.pressed) root.due = draw;
  else draw();
};
// For a second and a half, in which the page arrives in pieces, what `find` gives stays at `top`, or goes there a part of the way at a
// time. Whatever the visitor does next ends it.
const hold = (find, top, pace = 1) => {
  const page = document.querySelector('[data-testid="stMain"]'), until = performance.now() + 1500;
  page?.held?.abort();
  if (!page || !find()) return;
  const { signal } = (page.held = new AbortController());
  for (const kind of ['wheel', 'touchmove', 'pointerdown', 'keydown']) {
    document.addEventListener(kind, () => page.held.abort(), { signal, capture: true, passive: true });
  }
  const step = () => {
    if (signal.aborted) return;
    const moved = (find()?.getBoundingClientRect().top ?? top) - top;
    page.scrollTop += Math.abs(moved) < 8 ? moved : moved * pace;
    if (performance.now() < until) requestAnimationFrame(step);
    else page.held.abort();
  };
  step();
};
const holding = () => document.querySelector('[data-testid="stMain"]')?.held?.signal.aborted === false;
// On a phone the inspector lies over the lower part of the page: a box that was tapped comes into sight above it.
const PHONE = 640;
const inSight = (find) => {
  if (innerWidth > PHONE || !find()) return;
  const { top, bottom } = find().getBoundingClientRect(), room = innerHeight * 0.36;
  const half = Math.min(bottom - top, 160) / 2;
  hold(find, bottom > room || top < 64 ? (64 + room) / 2 - half : top, 0.25);
};
