export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector('.strata-root');
  const holder = root.querySelector('.picture');
  themed(root);
  if (holder.shown !== data.svg) { holder.innerHTML = data.svg; holder.shown = data.svg; }

  const measure = () => { // the server draws the layout that there is room for
    const narrow = root.clientWidth < 640;
    if (root.clientWidth && narrow !== root.narrow) { root.narrow = narrow; if (narrow !== data.narrow) setStateValue('narrow', narrow); }
  };
  root.narrow = data.narrow;
  root.watcher?.disconnect();
  root.watcher = new ResizeObserver(measure);
  root.watcher.observe(root); // it measures once the browser has laid out the page

  const chosen = () => holder.querySelector('.on');
  const seen = innerWidth <= PHONE && chosen()?.getBoundingClientRect();
  if (root.selected === undefined) inSight(chosen); // of a link
  else if (seen && seen.bottom > 0 && seen.top < innerHeight && !holding()) hold(chosen, seen.top); // what an edit adds above moves it not
  else if (root.selected !== data.selected) document.querySelector('.st-key-inspector')?.scrollTo(0, 0); // of another box
  root.selected = data.selected;

  const light = (event) => { // the layer under the pointer, or with the focus, lights its frame and the tabs that it uses
    const block = event.type !== 'mouseout' && event.target.closest('[data-layer]')?.dataset.node;
    for (const one of holder.querySelectorAll('[data-of]')) one.classList.toggle('lit', Boolean(block) && one.dataset.of.split(' ').includes(block));
  };
  root.onmouseover = root.onmouseout = light;

  const dialog = root.querySelector('dialog'), [name, words, zoomed] = data.zoom;
  dialog.querySelector('h2').textContent = name;
  dialog.querySelector('p').textContent = words;
  dialog.setAttribute('aria-label', name);
  if (dialog.shown !== zoomed) {
    dialog.querySelector('.zoomed').innerHTML = zoomed;
    dialog.shown = zoomed;
    if (zoomed && !dialog.open) dialog.showModal();
    if (!zoomed) dialog.close(); // the browser's back button
  }
  dialog.onclose = () => { if (dialog.shown) setTriggerValue('zoomed', { node: '' }); };

  const choose = (event) => {
    const box = event.target.closest('[data-node]'), inset = event.target.closest('[data-zoom]');
    if (event.target === dialog || event.target.closest('header button')) dialog.close();
    if (inset && (!box || box.dataset.node === inset.dataset.zoom)) {
      event.preventDefault();
      setTriggerValue('zoomed', { node: inset.dataset.zoom });
      return;
    }
    if (!box) return;
    event.preventDefault();
    const same = () => [...holder.querySelectorAll(`[data-node="${CSS.escape(box.dataset.node)}"]`)], nth = same().indexOf(box);
    inSight(() => same()[nth]); // another element when the picture is drawn again
    setTriggerValue('clicked', box.dataset.node);
  };
  root.onclick = choose;
  root.onkeydown = (event) => { if (event.key === 'Enter' || event.key === ' ') choose(event); };

  root.querySelector('.png').onclick = (event) => { // the file, which brings its colours and letters along
    event.stopPropagation();
    const image = new Image();
    image.onload = () => {
      const scale = Math.min(2, 16000 / image.height); // no browser's canvas is higher
      const canvas = document.createElement('canvas');
      canvas.width = image.width * scale;
      canvas.height = image.height * scale;
      canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
      const link = document.createElement('a');
      link.download = `${data.name}.png`;
      link.href = canvas.toDataURL('image/png');
      link.click();
    };
    image.src = `/card/${encodeURIComponent(data.file)}.svg?theme=${root.dataset.theme}&${data.query}`;
  };
}
