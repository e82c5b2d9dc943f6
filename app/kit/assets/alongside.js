export default function ({ data, parentElement }) {
  const root = parentElement.querySelector('.strata-root');
  themed(root);
  Object.assign(root, { tabIndex: 0, role: 'region', ariaLabel: 'Architectures beside each other' }); // it scrolls sideways on a phone
  root.innerHTML = data.wide ? `<div class="wide">${data.wide}</div><div class="slim">${data.slim}</div>` : data.slim;
}
