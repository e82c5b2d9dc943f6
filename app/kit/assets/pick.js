export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector('.strata-root'), field = root.querySelector('input'), list = root.querySelector('ul');
  themed(root);
  root.shown = data.shown;
  field.setAttribute('aria-label', data.label);
  field.placeholder = data.placeholder;
  field.maxLength = data.most;
  const open = () => field.getAttribute('aria-expanded') === 'true';
  const marked = () => list.querySelector('[aria-selected="true"]');
  const mark = (item) => {
    marked()?.setAttribute('aria-selected', false);
    item?.setAttribute('aria-selected', true);
    item?.scrollIntoView({ block: 'nearest' });
    field.setAttribute('aria-activedescendant', item?.id ?? '');
  };
  const show = (on) => {
    field.setAttribute('aria-expanded', on);
    list.hidden = !on;
    if (!on) field.value = root.shown;
  };
  const ask = (text) => { if (text !== root.asked) { root.asked = text; setStateValue('asked', text); } };

  if (list.shown !== JSON.stringify([data.rows, data.none])) {
    list.shown = JSON.stringify([data.rows, data.none]);
    list.replaceChildren(...data.rows.map(([name, title, words], n) => {
      const item = Object.assign(document.createElement('li'), { id: `row${n}` });
      item.setAttribute('role', 'option');
      item.dataset.name = name;
      item.append(Object.assign(document.createElement('b'), { textContent: title }), Object.assign(document.createElement('small'), { textContent: words }));
      return item;
    }));
    if (data.none && root.asked) list.append(Object.assign(document.createElement('li'), { className: 'none', textContent: data.none }));
    if (open()) mark(list.querySelector('[role="option"]'));
  }
  if (!open()) field.value = data.shown;

  const choose = (item) => {
    if (!item?.dataset.name) return;
    clearTimeout(root.later); // a question that is late would stop the page that the choice opens
    show(false);
    field.blur();
    root.asked = null;
    setTriggerValue('chosen', item.dataset.name);
  };
  if (open() && root.entered === data.asked) { root.entered = null; choose(list.querySelector('[role="option"]')); }
  field.onfocus = () => { root.entered = null; field.select(); ask(''); show(true); mark(null); };
  // Streamlit moves the focus to the page while it arrives; only what leaves for longer closes the list.
  field.onblur = () => setTimeout(() => { if (open() && root.getRootNode().activeElement !== field) show(false); }, 250);
  field.oninput = () => { root.entered = null; show(true); clearTimeout(root.later); root.later = setTimeout(() => ask(field.value), 120); };
  list.onpointerdown = (event) => { event.preventDefault(); choose(event.target.closest('li')); }; // before the field loses the focus
  field.onkeydown = (event) => {
    const items = [...list.querySelectorAll('[role="option"]')], at = items.indexOf(marked());
    if (event.key === 'Escape') { show(false); field.blur(); }
    if (event.key === 'Enter' && field.value !== data.shown && field.value !== data.asked) { // the models below answer what was typed before
      clearTimeout(root.later);
      root.entered = field.value;
      ask(field.value);
    } else if (event.key === 'Enter') choose(marked() ?? (field.value && field.value !== data.shown ? items[0] : null));
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    event.preventDefault();
    show(true);
    mark(items[Math.max(0, Math.min(items.length - 1, at + (event.key === 'ArrowDown' ? 1 : -1)))]);
  };
}
