export default function ({ data, parentElement }) {
  const root = parentElement.querySelector('.strata-root');
  themed(root);
  root.innerHTML = `<div class="wide">${data.wide}</div><div class="slim">${data.slim}</div>`;
}
