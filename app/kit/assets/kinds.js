export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector('.strata-root');
  themed(root);
  const make = (tag, props = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), props);
    element.append(...children);
    return element;
  };
  const aria = (element, values) => {
    for (const [name, value] of Object.entries(values)) element.setAttribute(`aria-${name}`, value);
    return element;
  };
  const words = JSON.stringify(data);
  if (root.words !== words) root.replaceChildren();
  root.words = words;

  const pick = (name) => { close(); setTriggerValue('chosen', name); };
  const item = (kind) => {
    const button = make('button', { className: 'kind', type: 'button', onclick: () => pick(kind.name) },
      make('i', { className: kind.role }), make('span', {}, make('b', { textContent: kind.title }), make('small', { textContent: kind.line })));
    button.words = `${kind.title} ${kind.line} ${kind.name}`.toLowerCase();
    return aria(button, { pressed: kind.on });
  };
  const panel = () => { // made only while it is open
    const find = aria(make('input', { type: 'search', placeholder: 'Find a kind', autocomplete: 'off' }), { label: 'Find a kind' });
    const first = aria(make('div', { className: 'first', role: 'group' }), { label: 'What people mean first' });
    first.append(...data.first.map((kind) => aria(
      make('button', { type: 'button', textContent: kind.title, onclick: () => pick(kind.name) }), { pressed: kind.on })));
    const groups = data.groups.map((group) => {
      const section = make('section', {}, make('h3', {}, group.title, make('small', { textContent: group.line })), ...group.kinds.map(item));
      return aria(section, { label: group.title });
    });
    const none = make('p', { className: 'note', textContent: 'No kind is called that.', hidden: true });
    const list = make('div', { className: 'list' }, ...groups, none);
    const note = make('p', { className: 'note', textContent: data.note });
    const box = aria(make('div', { className: 'panel', id: 'kinds', role: 'group' }, find, first, list, note), { label: 'Kinds' });
    const shown = () => [...box.querySelectorAll('button.kind')].filter((button) => !button.hidden);
    find.oninput = () => {
      const asked = find.value.trim().toLowerCase();
      first.hidden = note.hidden = Boolean(asked);
      for (const section of groups) {
        for (const button of section.querySelectorAll('button')) button.hidden = !asked.split(/\s+/).every((word) => button.words.includes(word));
        section.hidden = !section.querySelector('button:not([hidden])');
      }
      none.hidden = shown().length > 0;
    };
    box.onkeydown = (event) => {
      if (event.key === 'Escape') { close(); head.focus(); }
      if (event.key === 'Enter' && event.target === find && find.value.trim()) shown()[0]?.click();
      if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
      event.preventDefault();
      const stops = [find, ...shown()];
      const at = stops.indexOf(box.getRootNode().activeElement);
      stops[Math.max(0, Math.min(stops.length - 1, at + (event.key === 'ArrowDown' ? 1 : -1)))].focus();
    };
    return box;
  };
  const close = () => { root.querySelector('.panel')?.remove(); aria(head, { expanded: false }); };
  const open = () => { aria(head, { expanded: true }); root.append(panel()); root.querySelector('input').focus({ preventScroll: true }); };

  let head = root.querySelector('.head');
  if (!head) {
    head = aria(make('button', { className: 'head', type: 'button', title: 'Another kind' },
      make('i', { className: data.role }), make('span', { textContent: data.now })), { expanded: false, controls: 'kinds' });
    head.insertAdjacentHTML('beforeend', '<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><path d="m6 9 6 6 6-6"/></svg>');
    root.append(make('h2', {}, head));
  }
  head.onclick = () => (root.querySelector('.panel') ? close() : open());
}
