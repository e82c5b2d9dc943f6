export default function ({ data, parentElement }) {
  const button = parentElement.querySelector('button');
  themed(button);
  button.textContent = data.words;
  button.onclick = async () => {
    const link = data.text.startsWith('?') ? new URL(data.text, location.origin + location.pathname).href : data.text;
    try {
      await navigator.clipboard.writeText(link);
    } catch { // no permission, or not a secure page
      const field = document.createElement('textarea');
      field.value = link;
      document.body.append(field);
      field.select();
      document.execCommand('copy');
      field.remove();
    }
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = data.words; }, 1600);
  };
}
