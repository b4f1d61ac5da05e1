// The map of the linked views: dots on a canvas, with a lasso .
import { bytes, element, number } from "./panels.js";

// One marker per color: unit outlines by plotly's names for them.
const turn = (corners, start, radius = () => 1) =>
  Array.from({ length: corners }, (_, i) => {
    const angle = start + (2 * Math.PI * i) / corners;
    return [radius(i) * Math.cos(angle), radius(i) * Math.sin(angle)];
  });
const plus = (start) => turn(12, start, (i) => (i % 3 === 1 ? 0.5 : 1.08));
const SHAPES = {
  circle: turn(20, 0),
  "circle-open": turn(20, 0),
  square: turn(4, Math.PI / 4, () => 1.2),
  diamond: turn(4, 0, () => 1.25),
  "triangle-up": turn(3, -Math.PI / 2, () => 1.3),
  star: turn(10, -Math.PI / 2, (i) => (i % 2 ? 0.55 : 1.35)),
  hexagon: turn(6, 0, () => 1.1),
  cross: plus(Math.PI / 12),
  x: plus(Math.PI / 3),
};

const FADED = "#dcdcdc"; // dots that are not selected

export function stamp([, color, symbol, outline], radius, scale, ink) {
  const side = Math.ceil(2 * scale * (1.4 * radius + 1)),
    made = element("canvas", { width: side, height: side });
  const pen = made.getContext("2d");
  pen.translate(side / 2, side / 2);
  pen.beginPath();
  for (const [x, y] of SHAPES[symbol]) pen.lineTo(x * radius * scale, y * radius * scale);
  pen.closePath();
  pen.fillStyle = pen.strokeStyle = color;
  if (symbol !== "circle-open") pen.fill();
  if (outline) pen.strokeStyle = ink;
  pen.lineWidth = (outline || 1) * scale;
  if (outline || symbol === "circle-open") pen.stroke();
  return made;
}

// A map: dots on a canvas, and a second canvas above for what moves (lasso, box, ring). `hooks`: coloring() → {levels, of},
// mask() → which items are selected (null: none), drag() → "lasso", "box" or "move", pick(items, add), hover(item, event).
export function mapPanel(host, map, hooks, ink) {
  const items = bytes(Int32Array, map.items),
    grid = bytes(Int16Array, map.grid),
    n = items.length;
  const figure = element("figure", { className: "map" });
  const box = element("div", { className: "canvas" });
  const [below, above] = [element("canvas"), element("canvas")];
  for (const [name, value] of Object.entries({
    tabindex: 0,
    role: "application",
    "aria-label":
      `map of ${number(n)} items by ${map.name}: arrow keys move a box, ` +
      "plus and minus change its size, Enter selects the items in it, Shift and Enter adds them, Escape clears",
  }))
    above.setAttribute(name, value);
  const caption = element("figcaption", { textContent: `by ${map.name}: ${number(n)} items` });
  Object.assign(caption.style, { borderLeft: `5px solid ${map.color}`, paddingLeft: "5px" });
  box.append(below, above);
  figure.append(caption, box);
  host.append(figure);
  const radius = n <= 3000 ? 3.2 : n <= 20000 ? 2.2 : 1.3;
  const low = [Infinity, Infinity],
    high = [-Infinity, -Infinity];
  for (let i = 0; i < n; i++)
    for (const axis of [0, 1]) {
      low[axis] = Math.min(low[axis], grid[2 * i + axis]);
      high[axis] = Math.max(high[axis], grid[2 * i + axis]);
    }
  const view = { x: (low[0] + high[0]) / 2, y: (low[1] + high[1]) / 2, zoom: 1 };
  let width = 0,
    height = 0,
    scale = 1,
    marked = -1,
    path = [],
    cursor = null,
    stamps = new Map();
  const unit = () =>
    view.zoom * 0.95 * Math.min(width / Math.max(1, high[0] - low[0]), height / Math.max(1, high[1] - low[1]));
  const left = (i) => (grid[2 * i] - view.x) * unit() + width / 2;
  const top = (i) => height / 2 - (grid[2 * i + 1] - view.y) * unit();

  // Calls put(level, x, y) for every dot in device pixels, the selected ones (level -1: not selected) above the others.
  function each(put) {
    const mask = hooks.mask(),
      { of } = hooks.coloring();
    const by = unit() * scale,
      x = (width / 2) * scale - view.x * by,
      y = (height / 2) * scale + view.y * by;
    for (const pass of mask ? [0, 1] : [1])
      for (let i = 0; i < n; i++) {
        const item = items[i];
        if (!mask || mask[item] === pass) put(pass ? of[item] : -1, x + grid[2 * i] * by, y - grid[2 * i + 1] * by);
      }
  }
  function paint() {
    if (!width) return;
    const { levels } = hooks.coloring();
    if (n > 20000) paintPixels(levels);
    else paintStamps(levels);
  }
  function paintStamps(levels) {
    const pen = below.getContext("2d");
    if (stamps.levels !== levels || stamps.scale !== scale) {
      stamps = {
        levels,
        scale,
        full: levels.map((level) => stamp(level, radius, scale, ink)),
        faded: stamp(["", FADED, "circle"], radius * 0.8, scale),
      };
    }
    pen.clearRect(0, 0, below.width, below.height);
    each((level, x, y) => {
      const drawn = level < 0 ? stamps.faded : stamps.full[level],
        half = drawn.width / 2;
      pen.drawImage(drawn, Math.round(x - half), Math.round(y - half));
    });
  }
  // Markers of many dots cannot be told apart, and drawing them takes a second: these are squares of pixels.
  function paintPixels(levels) {
    const wide = below.width,
      high = below.height,
      image = new ImageData(wide, high),
      pixels = new Uint32Array(image.data.buffer);
    const packed = (color) =>
      [5, 3, 1].reduce((value, at) => (value << 8) | parseInt(color.slice(at, at + 2), 16), 0xff) >>> 0;
    const colors = levels.map((level) => packed(level[1])),
      rest = packed(FADED),
      side = Math.max(2, Math.round(2 * scale));
    each((level, x, y) => {
      const left = Math.round(x - side / 2),
        top = Math.round(y - side / 2),
        color = level < 0 ? rest : colors[level];
      if (left < 0 || top < 0 || left + side > wide || top + side > high) return;
      for (let row = top; row < top + side; row++) pixels.fill(color, row * wide + left, row * wide + left + side);
    });
    below.getContext("2d").putImageData(image, 0, 0);
  }
  function overlay() {
    const pen = above.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.strokeStyle = ink;
    pen.lineWidth = 1.5;
    if (path.length > 1) {
      pen.beginPath();
      for (const [x, y] of path) pen.lineTo(x, y);
      pen.closePath();
      pen.fillStyle = "rgba(0,0,0,.06)";
      pen.fill();
      pen.setLineDash([4, 3]);
      pen.stroke();
      pen.setLineDash([]);
    }
    if (cursor) pen.strokeRect(cursor.x - cursor.half, cursor.y - cursor.half, 2 * cursor.half, 2 * cursor.half);
    const at = marked < 0 ? -1 : items.indexOf(marked);
    if (at >= 0)
      for (const [color, wide] of [
        ["#fff", 5],
        [ink, 2.5],
      ]) {
        pen.beginPath();
        pen.arc(left(at), top(at), radius + 6, 0, 2 * Math.PI);
        pen.strokeStyle = color;
        pen.lineWidth = wide;
        pen.stroke();
      }
  }
  function resize() {
    const now = box.getBoundingClientRect();
    if (!now.width) return;
    [width, height, scale] = [box.clientWidth, box.clientHeight, window.devicePixelRatio || 1];
    for (const canvas of [below, above]) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    paint();
    overlay();
  }
  const where = (event) => {
    const corner = above.getBoundingClientRect();
    return [event.clientX - corner.left, event.clientY - corner.top];
  };
  function nearest([x, y], reach) {
    let best = -1,
      least = reach * reach;
    for (let i = 0; i < n; i++) {
      const distance = (left(i) - x) ** 2 + (top(i) - y) ** 2;
      if (distance < least) [best, least] = [items[i], distance];
    }
    return best;
  }
  function inside(polygon) {
    const xs = polygon.map((corner) => corner[0]),
      ys = polygon.map((corner) => corner[1]),
      last = polygon.length - 1;
    const [west, east, north, south] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const found = [];
    for (let i = 0; i < n; i++) {
      const x = left(i),
        y = top(i);
      if (x < west || x > east || y < north || y > south) continue;
      let odd = false;
      for (let a = 0, b = last; a <= last; b = a++) {
        if (ys[a] > y !== ys[b] > y && x < ((xs[b] - xs[a]) * (y - ys[a])) / (ys[b] - ys[a]) + xs[a]) odd = !odd;
      }
      if (odd) found.push(items[i]);
    }
    return found;
  }
  const square = ({ x, y, half }) => [
    [x - half, y - half],
    [x + half, y - half],
    [x + half, y + half],
    [x - half, y + half],
  ];

  let start = null;
  above.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    above.setPointerCapture(event.pointerId);
    start = where(event);
    path = hooks.drag() === "move" ? [] : [start];
    hooks.hover(-1);
  });
  above.addEventListener("pointermove", (event) => {
    const here = where(event);
    if (!start) {
      hooks.hover(nearest(here, radius + 5), event);
      return;
    }
    const drag = hooks.drag(),
      last = path.at(-1);
    if (drag === "move") {
      view.x -= event.movementX / unit();
      view.y += event.movementY / unit();
      paint();
    } else if (drag === "box") path = [start, [here[0], start[1]], here, [start[0], here[1]]];
    else if (Math.hypot(here[0] - last[0], here[1] - last[1]) >= 3) path.push(here);
    overlay();
  });
  above.addEventListener("pointerup", (event) => {
    if (!start) return;
    const here = where(event),
      moved = Math.hypot(here[0] - start[0], here[1] - start[1]) > 4 || path.length > 3;
    const polygon = path;
    [start, path] = [null, []];
    overlay();
    if (moved && hooks.drag() === "move") return;
    const one = nearest(here, radius + 5);
    hooks.pick(moved ? inside(polygon) : one < 0 ? [] : [one], event.shiftKey);
  });
  above.addEventListener("pointercancel", () => {
    [start, path] = [null, []];
    overlay();
  });
  above.addEventListener("pointerleave", () => hooks.hover(-1));
  above.addEventListener(
    "wheel",
    (event) => {
      // with Ctrl, or two fingers: the wheel alone scrolls the page
      if (!event.ctrlKey) return;
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 200));
    },
    { passive: false },
  );
  above.addEventListener("focus", () => {
    if (!above.matches(":focus-visible")) return;
    cursor ??= { x: width / 2, y: height / 2, half: 40 };
    overlay();
  });
  above.addEventListener("blur", () => {
    cursor = null;
    overlay();
  });
  above.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    cursor ??= { x: width / 2, y: height / 2, half: 40 };
    if (by) {
      cursor.x = Math.min(width, Math.max(0, cursor.x + 12 * by[0]));
      cursor.y = Math.min(height, Math.max(0, cursor.y + 12 * by[1]));
    } else if ("+=-".includes(event.key))
      cursor.half = Math.min(400, Math.max(6, cursor.half * (event.key === "-" ? 0.8 : 1.25)));
    else if (event.key === "Enter") hooks.pick(inside(square(cursor)), event.shiftKey);
    else if (event.key === "Escape") hooks.pick([], false);
    else return;
    event.preventDefault();
    event.stopPropagation();
    overlay();
  });
  function zoom(factor) {
    view.zoom = factor ? Math.min(200, Math.max(0.5, view.zoom * factor)) : 1;
    if (!factor) [view.x, view.y] = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];
    paint();
    overlay();
  }
  const watcher = new ResizeObserver(resize);
  watcher.observe(box);
  return {
    paint,
    zoom,
    mark: (item) => {
      marked = item;
      overlay();
    },
    stop: () => watcher.disconnect(),
  };
}
