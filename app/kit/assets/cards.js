export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector('.strata-root');
  themed(root);
  if (root.shown !== data) { root.innerHTML = data; root.shown = data; }
  root.onclick = (event) => {
    const card = event.target.closest('a[data-name]');
    if (!card || event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab is the browser's own
    event.preventDefault();
    setTriggerValue('opened', card.dataset.name);
  };
}
