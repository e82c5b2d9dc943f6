export default function ({ data, parentElement }) {
  const button = parentElement.querySelector('button');
  themed(button);
  button.onclick = async () => {
    const link = new URL(data, location.origin + location.pathname).href;
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
    setTimeout(() => { button.textContent = 'Copy link'; }, 1600);
  };
}
