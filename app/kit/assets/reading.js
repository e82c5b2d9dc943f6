// The picture beside a text. Marks in the text, [data-picture], say which picture stands there; links to boxes, a.ref[data-node], light
// them: those of the paragraph that is read, or the one that was pointed to or chosen.
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector('.strata-root'), holder = root.querySelector('.picture'), name = root.querySelector('.name');
  themed(root);
  const main = document.querySelector('[data-testid="stMain"]');
  const show = (of) => {
    if (root.of === of && root.shown === data.pictures[of]?.[1]) return;
    const [words, svg] = data.pictures[of] ?? ['', ''];
    name.textContent = words;
    name.hidden = !words;
    holder.innerHTML = svg;
    for (const one of holder.querySelectorAll('[tabindex]')) one.removeAttribute('tabindex');
    root.of = of;
    root.shown = svg;
    root.lit = '';
  };
  const inside = (group) => { // what is drawn in a box but after it: chips, marks
    const own = group.getBBox(), found = [];
    for (let next = group.nextElementSibling; next; next = next.nextElementSibling) {
      const { x, y, width, height } = next.getBBox?.() ?? {};
      if (!(x >= own.x && y >= own.y && x + width <= own.x + own.width && y + height <= own.y + own.height)) break;
      if (!next.matches('[data-node]')) found.push(next);
    }
    return found;
  };
  const light = (boxes) => {
    if (root.lit === `${boxes}`) return;
    root.lit = `${boxes}`;
    const groups = [...holder.querySelectorAll('[data-node]')], on = groups.filter((one) => boxes.includes(one.dataset.node));
    root.classList.toggle('reads', on.length > 0);
    for (const one of groups) {
      const lit = on.includes(one);
      one.classList.toggle('lit', lit);
      const whole = boxes.includes(one.closest('[data-zoom]')?.dataset.zoom); // an inset is lit as a whole
      const dim = on.length > 0 && !lit && !whole && !on.some((other) => one.contains(other) || other.contains(one));
      for (const each of [one, ...inside(one)]) {
        each.classList.toggle('dim', dim);
        each.ariaDisabled = dim ? 'true' : null; // its contrast is low because it is not what the text is about
      }
    }
    const target = on.find((one) => one.dataset.node === boxes[0]) ?? on[0];
    if (!target) return;
    const box = target.getBoundingClientRect(), frame = holder.getBoundingClientRect();
    const room = Math.max(Math.min(frame.bottom, innerHeight) - frame.top, 120); // what of it is on the screen
    const top = holder.scrollTop + box.top - frame.top - (room - Math.min(box.height, room * 0.8)) / 2;
    holder.scrollTo({ top, behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
  };
  const refs = (element) => [...element.querySelectorAll('a.ref')];
  const nodes = (links) => links.flatMap((link) => link.dataset.node.split(' '));
  const read = () => { // what is at the reading line, a third below the top
    const line = main.getBoundingClientRect().top + (innerWidth > PHONE ? innerHeight * 0.36 : root.getBoundingClientRect().bottom + 70);
    const marks = [...document.querySelectorAll('[data-picture]')], above = marks.filter((one) => one.getBoundingClientRect().top < line);
    show((above.at(-1) ?? marks[0])?.dataset.picture ?? Object.keys(data.pictures)[0]);
    if (root.chosen?.isConnected) { light(nodes([root.chosen])); return; }
    const paragraphs = [...document.querySelectorAll('.reading p, .reading li')].filter((one) => one.querySelector('a.ref'));
    const away = (one) => { const { top, bottom } = one.getBoundingClientRect(); return Math.max(top - line, line - bottom, 0); };
    const shown = [...document.querySelectorAll('[class*="st-key-demo-"]')].find((one) => {
      const { top, bottom } = one.getBoundingClientRect();
      return top < line && bottom > line;
    });
    if (shown) { // the paragraph before a demonstration is what it shows
      const before = paragraphs.filter((one) => one.compareDocumentPosition(shown) & Node.DOCUMENT_POSITION_FOLLOWING).at(-1);
      light(before ? nodes(refs(before)) : data.lit);
      return;
    }
    const nearest = paragraphs.reduce((best, one) => (!best || away(one) < away(best) ? one : best), null);
    light(nearest && away(nearest) < innerHeight * 0.3 ? nodes(refs(nearest)) : data.lit);
  };
  root.listening?.abort();
  root.listening = new AbortController();
  const { signal } = root.listening;
  let due = 0;
  const soon = () => { cancelAnimationFrame(due); due = requestAnimationFrame(read); };
  main.addEventListener('scroll', () => { if (Math.abs(main.scrollTop - root.at) > 80) root.chosen = null; soon(); }, { signal, passive: true });
  addEventListener('resize', soon, { signal });
  const choose = (event) => {
    const link = event.target.closest?.('a.ref');
    if (!link) return;
    if (event.type === 'click') event.preventDefault();
    root.chosen = link;
    root.at = main.scrollTop; // what is left of a scroll does not undo the choice
    soon();
  };
  for (const kind of ['click', 'mouseover', 'focusin']) document.addEventListener(kind, choose, { signal });
  const watcher = new MutationObserver(soon); // the text arrives after the picture
  watcher.observe(main, { childList: true, subtree: true });
  signal.addEventListener('abort', () => watcher.disconnect());
  show(data.pictures[root.of] ? root.of : Object.keys(data.pictures)[0]);
  soon();
  return () => root.listening.abort();
}
