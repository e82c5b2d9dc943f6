export default function ({ data, parentElement }) {
  const root = parentElement.querySelector('.strata-root');
  themed(root);
  root.innerHTML = data.html;
}
