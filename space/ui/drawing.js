// The pad of the vision lab. `element`, `props` and `watch` come from gr.HTML; the value is the picture as a data URL.
const canvas = element.querySelector("canvas");
const pen = canvas.getContext("2d");
const file = element.querySelector("input[type=file]");
const note = element.querySelector(".pad-note");
const PEN_WIDTH = canvas.width / 13; // about as thick as the strokes of MNIST
const LARGEST_SIDE = 768; // an upload is sent no larger than this
let last = null;
let shown = "";

function clear() {
  pen.fillStyle = "black";
  pen.fillRect(0, 0, canvas.width, canvas.height);
}

function publish(url) {
  shown = url;
  props.value = url;
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
}

function stroke(event) {
  const next = place(event);
  pen.strokeStyle = "white";
  pen.lineWidth = PEN_WIDTH;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...(last ?? next));
  pen.lineTo(...next);
  pen.stroke();
  last = next;
}

function show(image) {
  const scale = Math.min(canvas.width / image.width, canvas.height / image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  clear();
  pen.imageSmoothingEnabled = scale < 1;
  pen.drawImage(image, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
}

function load(url) {
  const image = new Image();
  image.onload = () => show(image);
  image.src = url;
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  note.textContent = "";
  last = null;
  stroke(event);
});
canvas.addEventListener("pointermove", (event) => {
  if (canvas.hasPointerCapture(event.pointerId)) stroke(event);
});
canvas.addEventListener("pointerup", () => {
  last = null;
  publish(canvas.toDataURL("image/png"));
});
canvas.addEventListener("pointercancel", () => {
  last = null;
});
element.querySelector(".pad-clear").addEventListener("click", () => {
  clear();
  note.textContent = "";
  publish("");
});
element.querySelector(".pad-upload").addEventListener("click", () => file.click());
file.addEventListener("change", async () => {
  const [chosen] = file.files;
  file.value = "";
  if (!chosen) return;
  try {
    const image = await createImageBitmap(chosen);
    const scale = Math.min(1, LARGEST_SIDE / Math.max(image.width, image.height));
    const copy = document.createElement("canvas");
    copy.width = Math.max(1, Math.round(image.width * scale));
    copy.height = Math.max(1, Math.round(image.height * scale));
    copy.getContext("2d").drawImage(image, 0, 0, copy.width, copy.height);
    show(image);
    note.textContent = chosen.name;
    publish(copy.toDataURL("image/png"));
  } catch {
    note.textContent = chosen.name + " is no picture that this browser can read.";
  }
});
watch("value", () => {
  if (props.value === shown) return;
  shown = props.value;
  note.textContent = "";
  if (shown) load(shown);
  else clear();
});
clear();
if (props.value) {
  shown = props.value;
  load(shown);
}
