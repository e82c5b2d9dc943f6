export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector('.strata-root');
  const holder = root.querySelector('.picture');
  themed(root);
  const draw = (place, svg) => { // the box with the keyboard's focus keeps it
    if (place.shown === svg) return;
    const active = place.contains(root.getRootNode().activeElement) && root.getRootNode().activeElement;
    const name = (one) => one.dataset.node ?? one.dataset.repeat ?? one.getAttribute('aria-label');
    const alike = () => [...place.querySelectorAll('[tabindex]')].filter((one) => name(one) === name(active));
    const nth = active && alike().indexOf(active);
    place.innerHTML = svg;
    place.shown = svg;
    if (active) (alike()[nth] ?? alike()[0])?.focus({ preventScroll: true });
  };
  unpressed(root, () => draw(holder, data.svg));

  const measure = () => { // the server draws the layout that there is room for
    const narrow = root.clientWidth < 640;
    if (root.clientWidth && narrow !== root.narrow) { root.narrow = narrow; if (narrow !== data.narrow) setStateValue('narrow', narrow); }
  };
  root.narrow = data.narrow;
  root.watcher?.disconnect();
  root.watcher = new ResizeObserver(measure);
  root.watcher.observe(root); // it measures once the browser has laid out the page

  const chosen = () => holder.querySelector('.on');
  const seen = innerWidth <= PHONE && chosen()?.getBoundingClientRect();
  if (root.selected === undefined) inSight(chosen); // of a link
  else if (seen && seen.bottom > 0 && seen.top < innerHeight && !holding()) hold(chosen, seen.top); // what an edit adds above moves it not
  else if (root.selected !== data.selected) document.querySelector('.st-key-inspector')?.scrollTo(0, 0); // of another box
  root.selected = data.selected;

  const light = (event) => { // the layer under the pointer, or with the focus, lights its frame and the tabs that it uses
    const block = event.type !== 'mouseout' && event.target.closest('[data-layer]')?.dataset.node;
    for (const one of holder.querySelectorAll('[data-of]')) one.classList.toggle('lit', Boolean(block) && one.dataset.of.split(' ').includes(block));
  };
  const rows = () => document.querySelectorAll('.code .row[data-box]'); // a line of code and the boxes of its modules light each other
  const lines = (event) => {
    const node = event.type !== 'mouseout' && event.target.closest('[data-node]')?.dataset.node;
    const lit = [...rows()].filter((row) => row.classList.toggle('lit', Boolean(node) && row.dataset.box.split(' ').includes(node)));
    const shown = lit.find((row) => !row.hasAttribute('data-made')) ?? lit[0], code = shown?.closest('.code');
    if (code) code.scrollTop += shown.getBoundingClientRect().top - code.getBoundingClientRect().top - code.clientHeight / 3;
  };
  root.lines?.abort();
  root.lines = new AbortController();
  const boxes = (event) => {
    const row = event.target.closest?.('.code .row'), lit = event.type !== 'mouseout' && row?.dataset.box?.split(' ') || [];
    if (row) for (const one of holder.querySelectorAll('[data-node]')) one.classList.toggle('lit', lit.includes(one.dataset.node));
  };
  for (const type of ['mouseover', 'mouseout']) document.addEventListener(type, boxes, { signal: root.lines.signal });
  document.addEventListener('click', (event) => { // the line of an equation, and the box of a line, come into sight
    const chosen = event.target.closest?.('.code .row'), lit = chosen?.dataset.box?.split(' ') ?? [];
    const line = chosen?.dataset.line && [...document.querySelectorAll('.code:not(.equations) .row')][chosen.dataset.line - 1];
    line?.parentElement.scrollTo({ top: line.offsetTop - line.parentElement.offsetTop - 40, behavior: 'smooth' });
    const box = [...holder.querySelectorAll('[data-node]')].findLast((one) => lit.includes(one.dataset.node))?.getBoundingClientRect();
    if (box && innerWidth > PHONE) document.querySelector('[data-testid="stMain"]').scrollBy({ top: box.top - innerHeight / 2, behavior: 'smooth' });
  }, { signal: root.lines.signal });
  root.onmouseover = root.onmouseout = (event) => { light(event); lines(event); };

  const dialog = root.querySelector('dialog'), inside = dialog.querySelector('.zoomed'), [name, words, zoomed] = data.zoom;
  dialog.querySelector('h2').textContent = name;
  dialog.querySelector('p').textContent = words;
  dialog.setAttribute('aria-label', name);
  if ((inside.shown ?? '') !== zoomed) {
    draw(inside, zoomed);
    if (zoomed && !dialog.open) dialog.showModal();
    if (!zoomed) { root.before = false; dialog.close(); } // the browser's back button
  }
  dialog.onclose = () => { // the browser's back button does not open it again, unless a box was chosen in it
    if (!inside.shown) return;
    if (root.before) { history.back(); return; }
    const url = new URL(location.href);
    url.searchParams.delete('zoom');
    history.replaceState(history.state, '', url);
    setTriggerValue('zoomed', { node: '' });
  };

  const repeat = (mark) => { // the control in the section "Layers" for how often these layers repeat
    const strip = [...document.querySelectorAll('.st-key-segments *')].find((one) => one.shadowRoot)?.shadowRoot;
    const part = strip?.querySelector(`.part[data-node^="${CSS.escape(mark.dataset.repeat)}."]`);
    const field = (mark.dataset.inner && part?.closest('.block').querySelector('.step input')) || part?.closest('.segment').querySelector('.step input');
    field?.scrollIntoView({ block: 'center', behavior: 'smooth' });
    field?.focus({ preventScroll: true });
    field?.select();
  };

  const choose = (event) => {
    const mark = event.target.closest('[data-repeat]');
    if (mark) { event.preventDefault(); repeat(mark); return; }
    const box = event.target.closest('[data-node]'), inset = event.target.closest('[data-zoom]');
    if (event.target === dialog || event.target.closest('header button')) dialog.close();
    if (inset && (!box || box.dataset.node === inset.dataset.zoom)) {
      event.preventDefault();
      root.before = true; // the step before in the browser's history is this page without it
      setTriggerValue('zoomed', { node: inset.dataset.zoom });
      return;
    }
    if (!box) return;
    event.preventDefault();
    root.before = false;
    const same = () => [...holder.querySelectorAll(`[data-node="${CSS.escape(box.dataset.node)}"]`)], nth = same().indexOf(box);
    inSight(() => same()[nth]); // another element when the picture is drawn again
    setTriggerValue('clicked', box.dataset.node);
  };
  root.onclick = choose;
  root.onkeydown = (event) => {
    if (event.key === 'Enter' || event.key === ' ') choose(event);
    if (event.key !== 'Tab' || event.shiftKey || !holder.contains(event.target) || !event.target.matches('.on')) return;
    const own = document.querySelectorAll('.st-key-inspector input, .st-key-inspector button'); // of the selected box
    const first = [...own].find((one) => one.offsetParent && !one.disabled);
    if (first) { event.preventDefault(); first.focus(); }
  };

  root.querySelector('.png').onclick = (event) => { // the file, which brings its colours and letters along
    event.stopPropagation();
    const image = new Image();
    image.onload = () => {
      const scale = Math.min(2, 16000 / image.height); // no browser's canvas is higher
      const canvas = document.createElement('canvas');
      canvas.width = image.width * scale;
      canvas.height = image.height * scale;
      canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
      const link = document.createElement('a');
      link.download = `${data.name}.png`;
      link.href = canvas.toDataURL('image/png');
      link.click();
    };
    image.src = `/card/${encodeURIComponent(data.file)}.svg?theme=${root.dataset.theme}&${data.query}`;
  };
}
