export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector('.strata-root');
  themed(root);
  unpressed(root, () => {
    if (root.shown === data) return;
    const active = root.getRootNode().activeElement;
    const key = active?.dataset?.key;
    const within = active?.closest?.('.block') && active.matches('.part');
    const at = root.querySelector('.strip')?.scrollLeft, drawer = root.querySelector('[aria-expanded="true"]');
    root.innerHTML = data;
    root.shown = data;
    if (at) root.querySelector('.strip').scrollLeft = at;
    const same = () => [...root.querySelectorAll('[data-key]')].find((each) => each.dataset.key === key);
    const again = (within && root.querySelector('.part.on')) || (key && same());
    again?.focus({ preventScroll: Boolean(!within) });
    if (drawer && !root.querySelector('[aria-expanded="true"]')) inSight(() => root.querySelector('.strip')); // its button was far below
    const field = root.wanted && [...root.querySelectorAll('.step input')].find((each) => each.dataset.key === root.wanted.key);
    if (!field || field.value === root.wanted.value || Date.now() > root.wanted.until) root.wanted = null;
    else field.value = root.wanted.value; // an answer to an earlier click
  });

  const act = (element, value, more) => setTriggerValue('acted', {
    do: element.dataset.do, place: element.dataset.place, node: element.dataset.node, value: value ?? numbered(element.dataset.value), ...more,
  });
  const numbered = (word) => (word && /^-?\d+$/.test(word) ? Number(word) : word);
  const step = (button) => { // from the number that is shown, so that each of several fast clicks counts
    const box = button.closest('.step'), field = box.querySelector('input');
    const value = Number(field.hasAttribute('aria-invalid') ? box.dataset.now : field.value) + Number(button.dataset.by);
    if (value < Number(field.min)) return;
    field.value = value;
    root.wanted = { key: field.dataset.key, value: String(value), until: Date.now() + 2000 };
    act(field, value);
  };

  root.onclick = (event) => {
    const control = event.target.closest('[data-do]');
    if (!control || control.matches('input')) return;
    if (control.matches('.part')) inSight(() => [...root.querySelectorAll('.part')].find((part) => part.dataset.key === control.dataset.key));
    if (control.dataset.by) step(control);
    else if (event.detail < 2 || !/^(remove|take)$/.test(control.dataset.do)) act(control); // a double click removes one
  };
  root.onchange = (event) => {
    if (event.target.matches('input[data-do]') && event.target.value !== '') act(event.target, Number(event.target.value));
  };
  root.onkeydown = (event) => {
    const way = { ArrowLeft: 'earlier', ArrowUp: 'earlier', ArrowRight: 'later', ArrowDown: 'later' }[event.key];
    const frame = event.target.closest('[draggable]');
    if (!way || !event.altKey || !frame) return;
    event.preventDefault();
    act(frame, undefined, { do: way });
  };

  // A block or a segment is dropped on one of the gaps.
  root.ondragstart = (event) => {
    const frame = event.target.closest?.('[draggable]');
    if (!frame) return;
    root.dragged = frame.dataset.place;
    root.classList.add('dragging');
    event.dataTransfer.effectAllowed = 'move';
    event.dataTransfer.setData('text/plain', frame.dataset.place);
  };
  root.ondragend = () => { root.classList.remove('dragging'); root.dragged = null; over(null); };
  const over = (gap) => root.querySelectorAll('.gap').forEach((each) => each.classList.toggle('over', each === gap));
  root.ondragover = (event) => {
    const gap = root.dragged && event.target.closest('.gap');
    over(gap);
    if (gap) event.preventDefault();
  };
  root.ondrop = (event) => {
    const gap = root.dragged && event.target.closest('.gap');
    if (!gap) return;
    event.preventDefault();
    setTriggerValue('acted', { do: 'move', place: root.dragged, value: gap.dataset.place });
  };
}
