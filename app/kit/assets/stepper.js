// Choices of the Evolution page: buttons with a name and a value. Among the steps the arrow keys move, and the pointer shows their figures.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector('.strata-root');
  themed(root);
  const first = root.shown === undefined;
  const now = () => root.querySelector('.steps [aria-current]');
  const tell = (step) => { // its figures, in the heads of the rows
    const said = step?.dataset.said.split('|') ?? [], moved = step?.dataset.moved.split('|') ?? [];
    root.querySelectorAll('.k').forEach((head, row) => {
      head.querySelector('b').textContent = said[row] ?? '';
      head.querySelector('em').textContent = moved[row] ?? '';
    });
  };
  const middle = () => { // the chosen step is in sight, where not all are
    const scroll = root.querySelector('.scroll'), step = now();
    if (!scroll || !step) return;
    const { left, right } = step.getBoundingClientRect(), frame = scroll.getBoundingClientRect();
    if (first || left < frame.left + 40 || right > frame.right - 40) {
      scroll.scrollTo({ left: scroll.scrollLeft + (left + right) / 2 - (frame.left + frame.right) / 2, behavior: first || matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
    }
  };
  unpressed(root, () => {
    if (root.shown === data.html) return;
    const active = root.getRootNode().activeElement?.dataset, at = root.querySelector('.scroll')?.scrollLeft;
    root.innerHTML = data.html;
    root.shown = data.html;
    if (at !== undefined) root.querySelector('.scroll').scrollLeft = at;
    const again = active && [...root.querySelectorAll('button')].find((one) => one.dataset.name === active.name && one.dataset.value === active.value);
    again?.focus({ preventScroll: true });
    tell(now());
    middle();
  });
  const choose = (button) => {
    const { name, value } = button.dataset;
    if (button.closest('.steps')) mark(button);
    if (button.dataset.up) hold(() => document.querySelector('.st-key-score'), 70);
    setTriggerValue('chosen', { name, value });
  };
  const mark = (button) => { // at once, before the page answers
    const steps = [...root.querySelectorAll('.steps button')], at = steps.indexOf(button);
    steps.forEach((one, n) => {
      one.classList.toggle('past', n < at);
      one.classList.toggle('on', n === at);
      one.classList.toggle('next', n > at);
      one.tabIndex = n === at ? 0 : -1;
      if (n === at) one.setAttribute('aria-current', 'step');
      else one.removeAttribute('aria-current');
    });
    tell(button);
    middle();
  };
  root.onclick = (event) => {
    const button = event.target.closest('button[data-name]');
    if (button) choose(button);
  };
  root.onkeydown = (event) => {
    const step = event.target.closest('.steps button');
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const steps = [...root.querySelectorAll('.steps button')];
    const to = step && (by ? steps[steps.indexOf(step) + by] : { Home: steps[0], End: steps.at(-1) }[event.key]);
    if (!to) return;
    event.preventDefault();
    to.focus({ preventScroll: true });
    mark(to);
    clearTimeout(root.later); // a key that is held down passes many
    root.later = setTimeout(() => choose(to), 200);
  };
  root.onmouseover = (event) => tell(event.target.closest('.steps button') ?? now());
  root.onmouseleave = () => tell(now());
}
