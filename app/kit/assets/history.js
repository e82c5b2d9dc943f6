export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector('.strata-root');
  themed(root);
  const ask = (what, about = null) => setTriggerValue('asked', [what, about]);
  let at = data.at; // also counts the clicks that the page has not followed yet
  const can = (by) => at + by >= 0 && at + by < data.steps;
  const step = (by) => { if (can(by)) ask('step', at += by); };

  const make = (tag, name, words, more = {}) => {
    const element = Object.assign(document.createElement(tag), { className: name, textContent: words }, more);
    return element;
  };
  const button = (name, words, label, act, more = {}) => {
    const element = make('button', name, words, { type: 'button', onclick: act, ...more });
    if (label) { element.setAttribute('aria-label', label); element.title = label; }
    return element;
  };
  const icon = (path) => {
    const holder = make('span', 'icon', '');
    holder.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${path}"/></svg>`;
    return holder;
  };
  const act = (what, path, words, on, does) => {
    const label = words ? `${what} ${words}` : what;
    const element = button('act', '', label, does, { disabled: !on });
    element.append(icon(path), make('b', '', what), make('span', 'words', words || ''));
    return element;
  };
  const UNDO = 'M6.5 3 3 6.5 6.5 10M3 6.5h6a3.75 3.75 0 0 1 0 7.5H6.5', REDO = 'M9.5 3 13 6.5 9.5 10M13 6.5H7a3.75 3.75 0 0 0 0 7.5h2.5';
  const RESET = 'M3.2 9.2A5 5 0 1 0 4.6 4.4L3 6M3 2.5V6h3.5', KEEP = 'M8 3v10M3 8h10', PEN = 'M3 13l.7-3L10.5 3.2l2.3 2.3L6 12.3 3 13', OFF = 'M4.5 4.5l7 7m0-7-7 7';

  const count = data.edits.length;
  const edits = count ? `to ${data.base}, ${count} edit${count > 1 ? 's' : ''}` : '';
  const row = make('div', 'row', '');
  row.append(act('Undo', UNDO, data.undo, can(-1), () => step(-1)), act('Redo', REDO, data.redo, can(1), () => step(1)), act('Reset', RESET, edits, data.reset, () => ask('reset')));

  const kept = make('div', 'kept', '');
  if (data.kept.length) kept.append(make('span', 'soft', 'Snapshots'));
  data.kept.forEach(([name, shown], n) => {
    const one = make('span', shown ? 'one on' : 'one', '');
    const open = button('open', name, `Open the snapshot ${name}`, () => ask('open', n), { disabled: shown });
    const rename = button('small', '', `Rename the snapshot ${name}`, () => {
      const field = make('input', '', '', { value: name, maxLength: 40 });
      field.setAttribute('aria-label', 'Name of the snapshot');
      let done = false;
      const end = (keep) => {
        if (done) return;
        done = true;
        if (keep && field.value.trim() && field.value.trim() !== name) ask('rename', [n, field.value.trim()]);
        else field.replaceWith(open);
      };
      field.onkeydown = (event) => { event.stopPropagation(); if (event.key === 'Enter') end(true); if (event.key === 'Escape') end(false); };
      field.onblur = () => end(true);
      open.replaceWith(field);
      field.focus();
      field.select();
    });
    rename.append(icon(PEN));
    const forget = button('small', '', `Remove the snapshot ${name}`, () => ask('forget', n));
    forget.append(icon(OFF));
    one.append(open, rename, forget);
    kept.append(one);
  });
  const already = data.kept.some(([, shown]) => shown);
  const keep = button('act', '', '', () => ask('keep'), { disabled: already || !data.room });
  keep.append(icon(KEEP), make('b', '', 'Keep this one'));
  keep.title = already ? 'This one is kept' : data.room ? 'A snapshot in the link of this page' : 'A link holds six snapshots; remove one first';
  kept.append(keep);
  row.append(kept);

  const parts = [row];
  if (count) {
    const list = make('ul', 'edits', '');
    list.setAttribute('aria-label', 'Edits');
    for (const words of data.edits) {
      const item = make('li', '', words);
      const drop = button('small', '', `Drop ${words}`, () => ask('drop', words));
      drop.append(icon(OFF));
      item.append(drop);
      list.append(item);
    }
    parts.push(list);
  } else {
    parts.push(make('p', 'none', 'No edits yet. Each will stand here.'));
  }
  let bar = null;
  if (data.last) { // on a phone, at the lower edge: what the last edit moved
    bar = make('div', 'moved', '');
    bar.setAttribute('role', 'status');
    const top = make('div', 'top', '');
    top.append(make('b', 'words', data.last.words));
    if (can(-1)) {
      const undo = button('act', '', `Undo: ${data.last.words}`, () => step(-1));
      undo.append(icon(UNDO), make('b', '', 'Undo'));
      top.append(undo);
    }
    const list = make('div', 'moves', data.last.moves.length ? '' : `moves none of the figures at ${data.last.at}`);
    for (const [words, value, moved] of data.last.moves) {
      const one = make('div', '', '');
      one.append(make('span', '', words), make('b', '', value), make('em', '', moved));
      list.append(one);
    }
    bar.append(top, list);
    parts.push(bar);
  }
  unpressed(root, () => {
    const label = root.getRootNode().activeElement?.getAttribute('aria-label');
    root.replaceChildren(...parts);
    if (label) [...root.querySelectorAll('button')].find((other) => other.getAttribute('aria-label') === label)?.focus();
  });

  const page = document.documentElement.style; // what stands at the lower edge leaves room for the bar
  const height = bar ? bar.offsetHeight : 0;
  page.setProperty('--bar', `${height}px`);

  // What was clicked stays under the pointer: at the top of the page the browser does not see to it itself.
  const main = document.querySelector('[data-testid="stMain"]'), held = root.held;
  root.held = null;
  if (held?.section.isConnected && main.scrollTop === held.scroll) hold(() => held.section, held.top);

  root.keys?.abort();
  root.keys = new AbortController();
  const note = (event) => {
    const section = event.target.closest?.(innerWidth > PHONE ? '.st-key-segments, .st-key-inspector' : '.st-key-segments');
    root.held = section && { section, top: section.getBoundingClientRect().top, scroll: main.scrollTop };
  };
  for (const kind of ['pointerdown', 'keydown']) document.addEventListener(kind, note, { signal: root.keys.signal, capture: true });
  // Escape gives a number back as it was; Streamlit would empty the field, which in some means none.
  const number = (event) => {
    const field = event.target;
    if (!field.matches?.('[data-testid="stNumberInput"] input')) return;
    if (event.type === 'focusin' || /^(Enter|Arrow)/.test(event.key)) setTimeout(() => { field.before = field.value; });
    if (event.key !== 'Escape') return;
    event.preventDefault();
    event.stopPropagation();
    if ((field.before ?? field.value) === field.value) return;
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, field.before); // so that React sees it
    field.dispatchEvent(new Event('input', { bubbles: true }));
  };
  for (const kind of ['focusin', 'keydown']) document.addEventListener(kind, number, { signal: root.keys.signal, capture: true });
  document.addEventListener('keydown', (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
    const from = event.composedPath()[0];
    if (from.isContentEditable || /^(input|textarea|select)$/i.test(from.tagName)) return;
    const key = event.key.toLowerCase();
    const by = key === 'y' || (key === 'z' && event.shiftKey) ? 1 : key === 'z' ? -1 : 0;
    if (!by || !can(by) || !root.isConnected) return;
    event.preventDefault();
    step(by);
  }, { signal: root.keys.signal });
  return () => { root.keys.abort(); page.removeProperty('--bar'); };
}
