// Sounds as cards: a spectrogram with a playhead, a player, the JSON file.
//
// props.value is {status, rate, stream, chunks, sounds}: chunks are 16-bit samples
// in base64, played as they arrive, of the request that began at the time stream;
// sounds are finished. What a visitor
// chooses is put beside them: used, a file, where a card has a button that says
// props.action; part, its start and end, where props.selects.
const list = element.querySelector(".sounds");
const status = element.querySelector(".status");

let context = null; // of the stream that plays
let scheduled = 0; // its chunks so far
let streamEnd = 0; // in the context's time
let latest = 0; // the stream that plays; older ones do not
let isSilenced = false; // whether a card was played instead of it

function closeContext() {
  if (context) context.close();
  context = null;
  streamEnd = 0;
}

function playStream(stream, chunks, rate) {
  if (!chunks.length || stream < latest) return;
  if (stream > latest) {
    closeContext();
    scheduled = 0;
    latest = stream;
    isSilenced = false;
  }
  for (; scheduled < chunks.length; scheduled++) {
    if (isSilenced) continue;
    context = context || new AudioContext();
    const bytes = Uint8Array.from(atob(chunks[scheduled]), (c) =>
      c.charCodeAt(0),
    );
    if (!bytes.length) continue;
    const samples = Float32Array.from(
      new Int16Array(bytes.buffer),
      (s) => s / 32768,
    );
    const buffer = context.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(samples, 0);
    const source = context.createBufferSource();
    source.buffer = buffer;
    source.connect(context.destination);
    streamEnd = Math.max(streamEnd, context.currentTime + 0.05);
    source.start(streamEnd);
    streamEnd += buffer.duration;
  }
}

function createNode(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    name in node ? (node[name] = value) : node.setAttribute(name, value);
  node.append(...children);
  return node;
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return; // A page without https may not; the text can be marked.
  }
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = label), 1500);
}

// The spectrogram: a click goes there, a drag marks a part.
function spectrogram(sound, audio) {
  const playhead = createNode("div", { className: "playhead" });
  const part = createNode("div", { className: "part", hidden: true });
  const box = createNode(
    "div",
    { className: "picture" },
    createNode("img", {
      src: sound.picture.url,
      alt: "spectrogram",
      draggable: false,
    }),
    part,
    playhead,
  );
  const follow = () => {
    playhead.style.left = `${(100 * audio.currentTime) / sound.seconds}%`;
    if (!audio.paused) requestAnimationFrame(follow);
  };
  for (const event of ["play", "seeked", "timeupdate"])
    audio.addEventListener(event, follow);
  const at = (event) => {
    const { left, width } = box.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - left) / width));
    return share * sound.seconds;
  };
  let from = null;
  box.addEventListener("pointerdown", (event) => {
    from = at(event);
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", (event) => {
    if (from === null || !props.selects) return;
    const [start, end] = [from, at(event)].sort((a, b) => a - b);
    part.hidden = end - start < 0.02;
    part.style.left = `${(100 * start) / sound.seconds}%`;
    part.style.width = `${(100 * (end - start)) / sound.seconds}%`;
  });
  box.addEventListener("pointercancel", () => (from = null));
  box.addEventListener("pointerup", (event) => {
    if (from === null) return; // pressed elsewhere
    const [start, end] = [from, at(event)].sort((a, b) => a - b);
    from = null;
    if (!props.selects || end - start < 0.02) {
      audio.currentTime = start;
      return;
    }
    const marked = [start, end].map((seconds) => Number(seconds.toFixed(3)));
    props.value = { ...props.value, part: marked };
    trigger("select");
  });
  return box;
}

function card(sound) {
  const audio = createNode("audio", {
    controls: true,
    preload: "auto",
    src: sound.audio.url,
  });
  const name = sound.audio.orig_name;
  const actions = createNode("div", { className: "actions" });
  if (props.action) {
    const use = createNode("button", { textContent: props.action });
    use.addEventListener("click", () => {
      props.value = { ...props.value, used: sound.audio };
      trigger("click");
    });
    actions.append(use);
  }
  actions.append(
    createNode("a", { href: sound.audio.url, download: name }, "WAV"),
  );
  const nodes = [
    createNode("figcaption"),
    spectrogram(sound, audio),
  ];
  nodes.push(audio, actions);
  if (sound.facts) {
    const text = sound.facts;
    const button = createNode("button", { textContent: "Copy JSON" });
    button.addEventListener("click", () => copy(text, button));
    const url = sound.json.url;
    const json = sound.json.orig_name;
    actions.append(
      createNode("a", { href: url, download: json }, "JSON"),
      button,
    );
    nodes.push(
      createNode(
        "details",
        {},
        createNode("summary", {}, "How it was made"),
        createNode("pre", {}, text),
      ),
    );
  }
  audio.addEventListener("play", () => {
    closeContext();
    isSilenced = true;
    for (const other of document.querySelectorAll("audio"))
      if (other !== audio) other.pause();
  });
  return createNode("figure", {}, ...nodes);
}

let cards = new Map(); // by the address of the sound

function show() {
  const value = props.value || { status: "", chunks: [], sounds: [] };
  status.textContent = value.status;
  playStream(value.stream, value.chunks, value.rate);
  // A card that is there stays: its sound may be playing.
  const before = cards;
  cards = new Map();
  for (const sound of value.sounds) {
    const node = before.get(sound.audio.url) || card(sound);
    node.querySelector("figcaption").textContent = sound.title;
    node.className = sound.best ? "best" : "";
    cards.set(sound.audio.url, node);
  }
  for (const [url, node] of before) if (!cards.has(url)) node.remove();
  for (const node of cards.values()) if (!node.isConnected) list.append(node);
}

watch("value", show);
show();
