export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector('.strata-root');
  themed(root);
  for (const size of ['wide', 'narrow']) {
    const holder = root.querySelector('.' + size);
    if (holder.shown !== data[size]) { holder.innerHTML = data[size]; holder.shown = data[size]; }
  }

  const choose = (event) => {
    const box = event.target.closest('[data-node]');
    if (!box) return;
    event.preventDefault();
    setTriggerValue('clicked', box.dataset.node);
  };
  root.onclick = choose;
  root.onkeydown = (event) => { if (event.key === 'Enter' || event.key === ' ') choose(event); };

  root.querySelector('.png').onclick = (event) => {
    event.stopPropagation();
    const svg = root.querySelector('.wide svg').cloneNode(true);
    const own = getComputedStyle(root);
    const page = own.getPropertyValue('--page');
    const names = [...new Set(svg.outerHTML.match(/--[a-z_-]+/g))];
    svg.setAttribute('style', names.map((name) => `${name}:${own.getPropertyValue(name)}`).join(';') + `;background:${page}`);
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement('canvas');
      canvas.width = image.width * 2;
      canvas.height = image.height * 2;
      const pen = canvas.getContext('2d');
      pen.fillStyle = page;
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.drawImage(image, 0, 0, canvas.width, canvas.height);
      const link = document.createElement('a');
      link.download = `${data.name}.png`;
      link.href = canvas.toDataURL('image/png');
      link.click();
    };
    image.src = 'data:image/svg+xml;charset=utf-8,' + encodeURIComponent(new XMLSerializer().serializeToString(svg));
  };
}
