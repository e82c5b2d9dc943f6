export default function ({ data, parentElement, setTriggerValue, setStateValue }) {
  const root = parentElement.querySelector('.strata-root'), field = root.querySelector('.find input'), rest = root.querySelector('.rest');
  const views = root.querySelector('.views');
  const place = () => `strata ${location.search}`;
  // Clicks that the page has not answered yet are sent again. Each says the wanted state, so sending it twice does no harm.
  const act = (what, name, value, on) => {
    root.sent = [...(root.sent ?? []), { do: what, name, value, on }];
    setTriggerValue('acted', root.sent);
  };
  const unfold = (on) => { // the filters of a phone
    rest.classList.toggle('unfolded', on);
    const fold = rest.querySelector('.fold');
    if (fold) fold.ariaExpanded = on;
  };
  themed(root);

  const first = root.shown === undefined;
  unpressed(root, () => { // what has the focus, and the filter that is open, stay
    if (root.shown === data.html) return;
    root.sent = [];
    const active = root.getRootNode().activeElement, key = active?.dataset?.key;
    const open = rest.querySelector('details[open]'), scrolled = open?.querySelector('.options').scrollTop;
    const across = rest.querySelector('.list')?.scrollLeft;
    if (views.shown !== data.views) views.innerHTML = views.shown = data.views;
    rest.innerHTML = data.html;
    unfold(rest.classList.contains('unfolded'));
    root.shown = data.html;
    const again = open && rest.querySelector(`details[data-key="${open.dataset.key}"]`);
    if (again) { again.open = true; again.querySelector('.options').scrollTop = scrolled; }
    if (across && rest.querySelector('.list')) rest.querySelector('.list').scrollLeft = across;
    if (key) [...root.querySelectorAll('[data-key]')].find((one) => one.dataset.key === key)?.focus({ preventScroll: true });
    else if (active && again && open.contains(active)) again.querySelector('summary').focus({ preventScroll: true });
  });
  if (root.getRootNode().activeElement !== field || first) field.value = data.q;

  if (first) { // back from a model: the same place
    const top = sessionStorage.getItem(place());
    if (top !== null) hold(() => root, Number(top));
    sessionStorage.removeItem(place());
  }
  root.watched?.abort();
  root.watched = new AbortController();
  const { signal } = root.watched;

  field.oninput = () => { // the page follows while one types; the letters of one word are one step of the browser's history
    clearTimeout(root.later);
    root.later = setTimeout(() => {
      if (field.value === root.sent) return;
      window.strataTyped = data.q ? performance.now() : 0; // see HISTORY in app/server.py
      root.sent = field.value;
      act('find', '', field.value);
    }, 180);
  };

  const measure = () => {
    const narrow = root.clientWidth < 640;
    if (root.clientWidth && narrow !== root.narrow) { root.narrow = narrow; if (narrow !== data.narrow) setStateValue('narrow', narrow); }
  };
  root.narrow = data.narrow;
  root.watcher?.disconnect();
  root.watcher = new ResizeObserver(measure);
  root.watcher.observe(root);

  addEventListener('popstate', () => { // also while the field has the focus
    clearTimeout(root.later);
    field.value = root.sent = new URLSearchParams(location.search).get('q') || '';
  }, { signal });

  root.onclick = (event) => {
    const link = event.target.closest('[data-open], [data-compare]');
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) { // a new tab is the browser's own
      event.preventDefault();
      sessionStorage.setItem(place(), root.getBoundingClientRect().top);
      act(link.dataset.open ? 'open' : 'compare', link.dataset.open || '');
      return;
    }
    if (event.target.closest('.fold')) { unfold(!rest.classList.contains('unfolded')); return; }
    const control = event.target.closest('[data-do]');
    if (!control || control.matches('input, select')) return;
    act(control.dataset.do, control.dataset.name, control.dataset.value, control.ariaPressed !== 'true' && !control.matches('.chip'));
  };
  root.onchange = ({ target }) => {
    if (target.matches('input[data-do]')) act(target.dataset.do, target.dataset.name, target.dataset.value, target.checked);
    if (target.matches('select[data-do]')) act(target.dataset.do, target.dataset.name, target.value);
  };
  root.onkeydown = (event) => {
    const open = rest.querySelector('details[open]'), point = event.target.closest?.('.point');
    if (event.key === 'Escape' && open) { open.open = false; open.querySelector('summary').focus(); }
    if (point && (event.key === 'Enter' || event.key === ' ')) { event.preventDefault(); act('look', point.dataset.name, '', true); }
  };
  root.addEventListener('toggle', (event) => { // one filter is open at a time, and stays inside the page
    if (!event.target.open) return;
    for (const other of rest.querySelectorAll('details[open]')) if (other !== event.target) other.open = false;
    const panel = event.target.querySelector('.panel');
    panel.style.translate = '';
    const over = panel.getBoundingClientRect().right - root.getBoundingClientRect().right;
    if (over > 0 && innerWidth > PHONE) panel.style.translate = `${-over}px`;
  }, { signal, capture: true });
  document.addEventListener('pointerdown', (event) => {
    const open = rest.querySelector('details[open]');
    if (open && !event.composedPath().includes(open)) open.open = false;
  }, { signal });

  const cross = (event) => { // the values of the point under the pointer, on both axes
    const point = event.type !== 'mouseout' && event.target.closest('.scatter .point'), lines = rest.querySelector('.cross');
    if (!lines) return;
    if (!point) { lines.innerHTML = ''; return; }
    const [left, , , bottom] = lines.closest('svg').dataset.area.split(' ').map(Number), [x, y] = point.dataset.said.split('|');
    const circle = point.querySelector('circle'), cx = Number(circle.getAttribute('cx')), cy = Number(circle.getAttribute('cy'));
    const pill = (words, at, up) => `<rect x="${at - words.length * 3.6 - 6}" y="${up - 10}" width="${words.length * 7.2 + 12}" height="20" rx="4"/>`
      + `<text x="${at}" y="${up + 4}" class="c">${words}</text>`;
    lines.innerHTML = `<path d="M${left} ${cy}H${cx}M${cx} ${bottom}V${cy}"/>${pill(y, left - 34, cy)}${pill(x, cx, bottom + 15)}`;
  };
  root.onmouseover = root.onmouseout = cross;
  return () => root.watched.abort();
}
