// Streamlit tells a component its theme in custom properties alone; whether it is dark shows in the background.
const themed = (element) => {
  const pen = document.createElement('canvas').getContext('2d');
  pen.fillStyle = getComputedStyle(element).getPropertyValue('--st-background-color') || '#fff';
  const [r, g, b] = pen.fillStyle.match(/\w\w/g).map((hex) => parseInt(hex, 16));
  element.dataset.theme = r * 0.299 + g * 0.587 + b * 0.114 < 128 ? 'dark' : 'light';
};
