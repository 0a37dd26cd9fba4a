"use strict";
// Runs inside the stage, where Gradio gives: element, props, trigger, watch.
const SCALES = [0.5, 1, 2, 4]; // beyond "fit"

const stage = element.querySelector(".stage");
const part = (name) => stage.querySelector(`[data-part="${name}"]`);
const all = (selector) => [...stage.querySelectorAll(selector)];
const MARK = getComputedStyle(stage).getPropertyValue("--mark"); // the colour of what is marked
const before = part("before"), after = part("after"), map = part("map");
const surely = new Image(); // the blur map: the surer of blur, the more opaque
const frame = part("frame"), pan = part("pan"), sheet = part("sheet");
const canvas = part("paint"), pen = canvas.getContext("2d", { willReadFrequently: true });

let photo = null; // { token, name } of what is on the stage
let result = null; // what the server said last
let asked = 0; // numbers the questions, so that late answers to old ones are told apart
let waiting = false, whereIsPainted = false; // of the last question
let view = "compare", zoom = 0, scale = 1, split = 0.5;
let tool = "brush", strokes = [], found = null, spot = null, penDown = false;

// --- what is said ---

function say(text, isProblem = false) {
  const status = part("status");
  status.textContent = text;
  status.classList.toggle("problem", isProblem);
}

function wait(text) {
  waiting = Boolean(text);
  if (text) say(text);
  part("busy").hidden = !waiting;
  part("progress").removeAttribute("value");
  stage.setAttribute("aria-busy", String(waiting));
  part("only-there").disabled = waiting;
}

function size_in_words(bytes) {
  return bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

// --- a photo comes in ---

function take_photo(file) {
  if (!file) return;
  if (waiting) stop();
  asked += 1;
  const number = asked, request = new XMLHttpRequest();
  wait(`Sending ${file.name} …`);
  request.open("POST", new URL("page/photos", document.baseURI));
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.setRequestHeader("X-Photo-Name", encodeURIComponent(file.name));
  request.responseType = "json";
  request.upload.onprogress = (event) => {
    if (number === asked && event.lengthComputable) part("progress").value = event.loaded / event.total;
  };
  request.onload = () => {
    if (number !== asked) return;
    const reply = request.response || {};
    if (request.status === 200) {
      show_photo(reply);
      return;
    }
    wait("");
    say(reply.detail || "The server did not take the photo; try again.", true);
  };
  request.onerror = () => {
    if (number !== asked) return;
    wait("");
    say("The server does not answer: is unsmear serve still running?", true);
  };
  request.send(file);
}

function show_photo(reply) {
  photo = reply;
  result = found = null;
  strokes = [];
  zoom = 0;
  split = 0.5;
  part("split").value = 50;
  part("download").hidden = part("details").hidden = true;
  after.removeAttribute("src");
  const number = asked; // while the photo is decoded, the user may stop or drop another
  before.onload = () => {
    part("drop").hidden = true;
    part("work").hidden = false;
    const shrink = Math.min(1, props.map_side / Math.max(before.naturalWidth, before.naturalHeight));
    canvas.width = Math.max(1, Math.round(before.naturalWidth * shrink));
    canvas.height = Math.max(1, Math.round(before.naturalHeight * shrink));
    spot = { x: canvas.width / 2, y: canvas.height / 2 };
    look("compare");
    if (number === asked) ask();
  };
  // A browser that cannot show it may be right that it is damaged: the engine has the last word.
  before.onerror = () => number === asked && ask();
  before.alt = `${reply.name} before deblurring`;
  after.alt = `${reply.name} after deblurring`;
  before.src = reply.before;
}

// --- questions and answers ---

function ask(painted = null) {
  asked += 1;
  whereIsPainted = Boolean(painted);
  wait(painted ? "Deblurring where you painted …" : "Looking for motion blur …");
  props.value = {
    ask: asked,
    photo: photo.token,
    size: [before.naturalWidth, before.naturalHeight],
    painted,
  };
  trigger("submit");
}

function stop() {
  asked += 1;
  trigger("clear");
  wait("");
  say("Stopped.");
}

function answered(reply) {
  if (!reply || reply.ask !== asked) return;
  if (reply.progress !== undefined) {
    part("progress").value = reply.progress;
    return;
  }
  wait("");
  if (reply.problem) {
    say(reply.problem, true);
    return;
  }
  result = reply;
  say(reply.sentence);
  const link = part("download");
  link.href = reply.download.url;
  link.download = reply.download.name;
  part("download-what").textContent =
    `${reply.download.name} · ${reply.download.format}, ${size_in_words(reply.download.bytes)}`;
  link.hidden = !reply.changed;
  part("figures").replaceChildren(...reply.figures.flatMap(([name, value]) => {
    const term = document.createElement("dt"), said = document.createElement("dd");
    term.textContent = name;
    said.textContent = value;
    return [term, said];
  }));
  part("details").hidden = false;
  after.onload = layout;
  after.src = reply.after;
  if (!whereIsPainted) surely.src = reply.map; // what was found without a hint
  map.style.maskImage = `url("${new URL(reply.map, document.baseURI)}")`;
  look("compare");
}

// --- looking ---

function look(wanted) {
  view = wanted;
  for (const button of all("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
    button.disabled = button.dataset.view === "map" && !result;
  }
  const comparing = view === "compare" && Boolean(result);
  after.hidden = part("divider").hidden = part("split").hidden = !comparing;
  part("tag-before").hidden = part("tag-after").hidden = !comparing;
  map.hidden = part("legend").hidden = view !== "map";
  canvas.hidden = part("tools").hidden = view !== "paint";
  if (view === "paint") {
    if (!strokes.length && found) strokes.push({ kind: "found" });
    redraw();
  }
  layout();
}

const steps = (fit) => [fit, ...SCALES.filter((each) => each > fit * 1.05)];

function layout() {
  const wide = before.naturalWidth, high = before.naturalHeight;
  if (!wide || !frame.clientWidth) return;
  const room = Math.max(240, Math.min(0.6 * window.innerHeight, 900));
  const fit = Math.min(frame.clientWidth / wide, room / high, 3);
  const choices = steps(fit);
  zoom = Math.min(zoom, choices.length - 1);
  const middle = {
    x: (pan.scrollLeft + pan.clientWidth / 2) / scale,
    y: (pan.scrollTop + pan.clientHeight / 2) / scale,
  };
  scale = choices[zoom];
  frame.style.height = `${Math.round(high * fit)}px`;
  sheet.style.width = `${wide * scale}px`;
  sheet.style.height = `${high * scale}px`;
  stage.classList.toggle("enlarged", zoom > 0);
  pan.scrollLeft = middle.x * scale - pan.clientWidth / 2;
  pan.scrollTop = middle.y * scale - pan.clientHeight / 2;
  part("scale").textContent = zoom ? `${Math.round(100 * scale)} %` : "Fit";
  all("[data-zoom]").forEach((button) => {
    const by = Number(button.dataset.zoom);
    button.disabled = Boolean(by) && !(zoom + by in choices);
  });
  place_divider();
  place_brush();
}

function place_divider() {
  const across = split * frame.clientWidth;
  part("divider").style.left = `${across}px`;
  const inside = across + pan.scrollLeft - sheet.offsetLeft;
  after.style.clipPath = `inset(0 0 0 ${Math.max(0, inside)}px)`;
  part("tag-before").classList.toggle("away", split < 0.12);
  part("tag-after").classList.toggle("away", split > 0.88);
}

function move_divider(event) {
  const place = frame.getBoundingClientRect();
  split = Math.min(1, Math.max(0, (event.clientX - place.left) / place.width));
  part("split").value = Math.round(100 * split);
  place_divider();
}

let drag = null; // "divider", or where a mouse took hold of the enlarged picture
frame.addEventListener("pointerdown", (event) => {
  const onDivider = event.target.closest(".divider");
  const painting = view === "paint" && tool !== "hand";
  if (event.button || painting) return;
  if (onDivider || (view === "compare" && result && !zoom)) {
    drag = "divider";
    move_divider(event);
  } else if (zoom && event.pointerType === "mouse") {
    drag = { x: event.clientX + pan.scrollLeft, y: event.clientY + pan.scrollTop };
  } else return;
  frame.setPointerCapture(event.pointerId);
});
frame.addEventListener("pointermove", (event) => {
  if (drag === "divider") move_divider(event);
  else if (drag) pan.scrollTo(drag.x - event.clientX, drag.y - event.clientY);
});
for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, () => (drag = null));
pan.addEventListener("scroll", place_divider);
part("split").addEventListener("input", (event) => {
  split = event.target.value / 100;
  place_divider();
});
new ResizeObserver(layout).observe(frame);

// --- painting ---

surely.onload = find;

function find() {
  const seen = document.createElement("canvas");
  seen.width = canvas.width;
  seen.height = canvas.height;
  const brush = seen.getContext("2d");
  brush.drawImage(surely, 0, 0, seen.width, seen.height);
  const pixels = brush.getImageData(0, 0, seen.width, seen.height);
  let some = false;
  for (let i = 3; i < pixels.data.length; i += 4) {
    const is_in = pixels.data[i] > 255 * result.threshold;
    some ||= is_in;
    pixels.data[i] = is_in ? 255 : 0;
  }
  brush.putImageData(pixels, 0, 0);
  brush.globalCompositeOperation = "source-in";
  brush.fillStyle = MARK;
  brush.fillRect(0, 0, seen.width, seen.height);
  found = some ? seen : null;
  part("found").disabled = !some;
}

function radius() { // in pixels of the canvas; the slider means a share of the picture's side
  return Math.max(1, (part("size").value / 100) ** 2 * 0.3 * Math.max(canvas.width, canvas.height));
}

function draw(stroke, from = 0) {
  if (stroke.kind === "clear") pen.clearRect(0, 0, canvas.width, canvas.height);
  if (stroke.kind === "found") {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (found) pen.drawImage(found, 0, 0);
  }
  pen.fillStyle = pen.strokeStyle = MARK;
  if (stroke.kind === "box") pen.fillRect(...stroke.box);
  if (stroke.kind !== "line") return;
  pen.globalCompositeOperation = stroke.erases ? "destination-out" : "source-over";
  pen.lineCap = pen.lineJoin = "round";
  pen.lineWidth = 2 * stroke.radius;
  pen.beginPath();
  pen.moveTo(...stroke.points[from]);
  for (const point of stroke.points.slice(from)) pen.lineTo(...point);
  pen.stroke();
  pen.globalCompositeOperation = "source-over";
}

function redraw() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  strokes.forEach((stroke) => draw(stroke));
  tell_share();
}

function add(stroke) {
  strokes.push(stroke);
  draw(stroke);
  tell_share();
}

const marked = () => pen.getImageData(0, 0, canvas.width, canvas.height).data;

function tell_share() {
  const pixels = marked();
  let count = 0;
  for (let i = 3; i < pixels.length; i += 4) count += pixels[i] > 127;
  const share = (100 * count) / (canvas.width * canvas.height);
  const said = share < 0.1 ? "Less than 0.1" : share.toFixed(share < 10 ? 1 : 0);
  part("share").textContent = count ? `${said} % of the picture is painted` : "Nothing is painted yet";
  part("undo").disabled = !strokes.length;
  return count;
}

function packed() { // a bit for each pixel, in base64
  const pixels = marked(), bytes = new Uint8Array(Math.ceil(pixels.length / 32));
  for (let i = 0; i < pixels.length / 4; i++) if (pixels[4 * i + 3] > 127) bytes[i >> 3] |= 128 >> (i & 7);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

function place_brush() {
  const ring = part("brush"), per = (scale * before.naturalWidth) / canvas.width;
  ring.hidden = view !== "paint" || tool === "hand" || !spot;
  if (ring.hidden) return;
  ring.style.width = ring.style.height = `${2 * radius() * per}px`;
  ring.style.transform = `translate(${spot.x * per}px, ${spot.y * per}px) translate(-50%, -50%)`;
}

function move_spot(event) {
  const place = canvas.getBoundingClientRect();
  spot = {
    x: ((event.clientX - place.left) * canvas.width) / place.width,
    y: ((event.clientY - place.top) * canvas.height) / place.height,
  };
  place_brush();
}

const line_from_here = () =>
  ({ kind: "line", erases: tool === "eraser", radius: radius(), points: [[spot.x, spot.y]] });

let stroke = null; // the one under way
canvas.addEventListener("pointerdown", (event) => {
  if (event.button || tool === "hand") return;
  canvas.setPointerCapture(event.pointerId);
  move_spot(event);
  stroke = line_from_here();
  draw(stroke);
});
canvas.addEventListener("pointermove", (event) => {
  if (tool === "hand") return;
  move_spot(event);
  if (!stroke) return;
  stroke.points.push([spot.x, spot.y]);
  draw(stroke, stroke.points.length - 2);
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => {
  if (!stroke) return;
  strokes.push(stroke);
  stroke = null;
  tell_share();
});

canvas.addEventListener("keydown", (event) => {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const way = ways[event.key], size = part("size");
  if ((event.ctrlKey || event.metaKey) && event.key === "z") undo();
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (way && tool !== "hand") {
    const step = (event.shiftKey ? 2 : 0.5) * radius(), old = [spot.x, spot.y];
    spot.x = Math.min(canvas.width, Math.max(0, spot.x + step * way[0]));
    spot.y = Math.min(canvas.height, Math.max(0, spot.y + step * way[1]));
    if (penDown) add({ ...line_from_here(), points: [old, [spot.x, spot.y]] });
    place_brush();
    part("brush").scrollIntoView({ block: "nearest", inline: "nearest" });
  } else if (event.key === " ") add(line_from_here());
  else if (event.key === "p" || event.key === "P") {
    penDown = !penDown;
    if (penDown) add(line_from_here());
    part("share").textContent = penDown ? "The brush is down" : "The brush is up";
  } else if (event.key === "[" || event.key === "]") {
    size.value = Number(size.value) + (event.key === "]" ? 5 : -5);
    place_brush();
  } else return;
  event.preventDefault();
});
canvas.addEventListener("blur", () => (penDown = false));

function undo() {
  strokes.pop();
  redraw();
}

function choose_tool(wanted) {
  tool = wanted;
  stage.classList.toggle("moving", tool === "hand");
  for (const button of all("[data-tool]"))
    button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  place_brush();
}

function add_box() {
  const text = part("box-text"), box = text.value.trim().split(/[\s,;]+/).map(Number);
  const [x, y, wide, high] = box;
  if (box.length !== 4 || !box.every(Number.isInteger) || x < 0 || y < 0 || wide < 1 || high < 1) {
    say("A box is x, y, width, height in whole pixels, such as 40, 20, 300, 200.", true);
  } else if (x >= before.naturalWidth || y >= before.naturalHeight) {
    say(`That box lies outside the picture of ${before.naturalWidth} × ${before.naturalHeight} pixels.`, true);
  } else {
    const per = canvas.width / before.naturalWidth;
    add({ kind: "box", box: box.map((each) => each * per) });
    say(`Box ${box.join(", ")} painted.`);
    text.value = "";
  }
}

function run_only_there() {
  if (tell_share()) ask({ bits: packed(), size: [canvas.width, canvas.height] });
  else say("Nothing is painted yet: paint over what is blurred, or add a box.", true);
}

// --- buttons ---

all("[data-view]").forEach((button) => (button.onclick = () => look(button.dataset.view)));
all("[data-tool]").forEach((button) => (button.onclick = () => choose_tool(button.dataset.tool)));
all("[data-zoom]").forEach((button) => {
  button.onclick = () => {
    zoom = button.dataset.zoom === "fit" ? 0 : Math.max(0, zoom + Number(button.dataset.zoom));
    layout();
  };
});
part("size").oninput = place_brush;
part("undo").onclick = undo;
part("clear").onclick = () => add({ kind: "clear" });
part("found").onclick = () => add({ kind: "found" });
part("box").onsubmit = (event) => {
  event.preventDefault();
  add_box();
};
part("only-there").onclick = run_only_there;
part("stop").onclick = stop;
for (const name of ["choose", "another"]) part(name).onclick = () => part("file").click();
part("file").onchange = (event) => {
  take_photo(event.target.files[0]);
  event.target.value = "";
};

// The whole page takes photos, wherever they are dropped.
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  stage.classList.add("over");
});
for (const end of ["dragleave", "drop"]) document.addEventListener(end, (event) => {
  if (end === "drop" || !event.relatedTarget) stage.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take_photo(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => take_photo(event.clipboardData.files[0]));
document.addEventListener("unsmear:again", () => {
  if (waiting) say("One moment: the picture is being deblurred already.");
  else if (photo) ask();
  else say("Drop a photo first.", true);
});
watch("value", () => answered(props.value));
