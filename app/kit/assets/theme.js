// Streamlit tells a component its theme in custom properties alone; whether it is dark shows in the background.
const themed = (element) => {
  const pen = document.createElement('canvas').getContext('2d');
  pen.fillStyle = getComputedStyle(element).getPropertyValue('--st-background-color') || '#fff';
  const [r, g, b] = pen.fillStyle.match(/\w\w/g).map((hex) => parseInt(hex, 16));
  element.dataset.theme = r * 0.299 + g * 0.587 + b * 0.114 < 128 ? 'dark' : 'light';
};
// On a phone the inspector lies over the lower part of the page: a box that was tapped stays in sight above it.
const inSight = (box) => {
  const page = document.querySelector('[data-testid="stMain"]');
  if (!box || !page || innerWidth > 640) return;
  const { top, bottom } = box.getBoundingClientRect(), room = innerHeight * 0.36;
  if (bottom > room || top < 64) page.scrollBy({ top: (top + Math.min(bottom, top + 160)) / 2 - (64 + room) / 2, behavior: 'smooth' });
};
