const WIDTHS = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 }, TEXT = 8, LIST = 9; // of a GGUF file's values
const ROPES = ['rope_freqs.weight', 'rope_factors_long.weight', 'rope_factors_short.weight'];
const MOST_ENTRIES = 4096, MOST_TEXT = 100000, MOST_SENT = 2000000, MOST_READ = 1 << 26;

// A GGUF header without its tokenizer and its long lists, as bytes that are themselves a GGUF header; null where `bytes` end too soon.
const shortened = (bytes) => {
  const view = new DataView(bytes.buffer), letters = new TextDecoder();
  let at = 0;
  const room = (length) => { if (at + length > bytes.length) throw new RangeError(); at += length; return at - length; };
  const u32 = () => view.getUint32(room(4), true), u64 = () => Number(view.getBigUint64(room(8), true));
  const text = () => { const length = u64(); return letters.decode(bytes.subarray(room(length), at)); };
  const skip = (kind, depth = 0) => { // whether the value is short
    if (WIDTHS[kind]) { room(WIDTHS[kind]); return true; }
    if (kind === TEXT) { const length = u64(); room(length); return length <= MOST_TEXT; }
    if (kind !== LIST || depth > 3) throw new Error('a value of a kind that is not known');
    const inner = u32(), count = u64();
    if (WIDTHS[inner]) room(WIDTHS[inner] * count);
    else for (let n = 0; n < count; n++) skip(inner, depth + 1);
    return count <= MOST_ENTRIES;
  };
  try {
    if (u32() !== 0x46554747) throw new Error('it does not begin as a GGUF file');
    const version = u32(), tensors = u64(), values = u64(), kept = [], ropes = [];
    let align = 32;
    for (let n = 0; n < values; n++) {
      const from = at, key = text(), kind = u32();
      if (key === 'general.alignment' && kind === 4) align = view.getUint32(at, true) || 32;
      if (skip(kind) && !key.startsWith('tokenizer.')) kept.push(bytes.subarray(from, at));
    }
    const from = at;
    for (let n = 0; n < tensors; n++) {
      const name = text(), sizes = Array.from({ length: Math.min(u32(), 9) }, u64), kind = u32(), offset = u64();
      if (ROPES.includes(name) && kind === 0 && sizes.length === 1 && sizes[0] <= MOST_ENTRIES) ropes.push([name, sizes[0], offset]);
    }
    return { version, tensors, kept, ropes, infos: bytes.subarray(from, at), data: Math.ceil(at / align) * align };
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
};

const numbers = (form) => { // little-endian: ['Uint32', 1, 'BigUint64', 2n, …]
  const bytes = new Uint8Array(8 * form.length), view = new DataView(bytes.buffer);
  let at = 0;
  for (let n = 0; n < form.length; n += 2) { view[`set${form[n]}`](at, form[n + 1], true); at += form[n] === 'Uint32' ? 4 : 8; }
  return bytes.subarray(0, at);
};

const header = async (file) => {
  let found = null;
  for (let size = 1 << 20; !found; size *= 4) { // most headers have a few megabytes, a file gigabytes
    if (size > MOST_READ) throw new Error('its header is longer than that of any model');
    found = shortened(new Uint8Array(await file.slice(0, size).arrayBuffer()));
    if (!found && size >= file.size) throw new Error('it is cut short');
  }
  const words = new TextEncoder();
  for (const [name, count, offset] of found.ropes) { // how positions are stretched stands in tensors of a few numbers
    const values = new Uint8Array(await file.slice(found.data + offset, found.data + offset + 4 * count).arrayBuffer());
    const key = words.encode(`strata.values.${name}`);
    if (values.length === 4 * count) {
      found.kept.push(numbers(['BigUint64', BigInt(key.length)]), key, numbers(['Uint32', LIST, 'Uint32', 6, 'BigUint64', BigInt(count)]), values);
      found.more = (found.more || 0) + 3;
    }
  }
  const count = found.kept.length - (found.more || 0);
  const begin = numbers(['Uint32', 0x46554747, 'Uint32', found.version, 'BigUint64', BigInt(found.tensors), 'BigUint64', BigInt(count)]);
  const whole = new Blob([begin, ...found.kept, found.infos]);
  if (whole.size > MOST_SENT) throw new Error('its header says more than a model needs');
  const bytes = new Uint8Array(await whole.arrayBuffer());
  let letters = '';
  for (let n = 0; n < bytes.length; n += 32768) letters += String.fromCharCode(...bytes.subarray(n, n + 32768));
  return btoa(letters);
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector('.strata-root'), button = root.querySelector('button'), input = root.querySelector('input');
  themed(root);

  const open = async (file) => {
    if (!file) return;
    const given = { name: file.name.slice(0, 120) };
    button.classList.add('busy');
    try {
      const begin = new Uint8Array(await file.slice(0, 16).arrayBuffer());
      const letters = String.fromCharCode(...begin);
      if (letters.startsWith('GGUF')) given.gguf = await header(file);
      else if (file.size > 4 * data.most) given.problem = `is larger than ${data.most.toLocaleString('en')} characters; give a config.json, a YAML or a GGUF file`;
      else Object.assign(given, { text: await file.text(), begin: letters });
    } catch (error) {
      given.problem = `cannot be read (${error.message})`;
    }
    button.classList.remove('busy');
    input.value = '';
    setTriggerValue('opened', given);
  };

  button.onclick = () => input.click();
  input.onchange = () => open(input.files[0]);
  root.listening?.abort();
  root.listening = new AbortController();
  const { signal } = root.listening;
  const carries = (event) => [...(event.dataTransfer?.types || [])].includes('Files');
  let inside = 0; // enter and leave come for every element below the pointer
  const over = (by) => { inside = Math.max(0, by ? inside + by : 0); root.classList.toggle('over', inside > 0); };
  document.addEventListener('dragenter', (event) => { if (carries(event)) over(1); }, { signal });
  document.addEventListener('dragleave', (event) => { if (carries(event)) over(-1); }, { signal });
  document.addEventListener('dragover', (event) => { if (carries(event)) event.preventDefault(); }, { signal });
  document.addEventListener('drop', (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    over(0);
    open(event.dataTransfer.files[0]);
  }, { signal });
  return () => root.listening.abort();
}
