// The panels that the linked views are made of: maps on a canvas, the tree of codes, and what they share. The same
// functions draw an exported page and the widgets of a live notebook.

const number = value => value.toLocaleString("en-US");
const percent = share => `${share > 0 && share < 0.01 ? "<1" : Math.round(100 * share)}%`;
const bytes = (type, text) => new type(Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer);
const element = (tag, properties = {}, attributes = {}) => {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

const STYLE = `.macrec-linked {
  font: 13px/1.35 var(--font); color: var(--ink); background: #fff; padding: 8px; position: relative; text-align: left;
  * { box-sizing: border-box }
  .bar { display: flex; flex-wrap: wrap; gap: 6px 10px; align-items: center; margin: 0 0 6px; min-height: 28px }
  button, select { font: inherit; color: inherit; background: #fff; border: 1px solid #8a8a8a; border-radius: 4px;
    padding: 2px 8px; cursor: pointer; max-width: 100% }
  button:disabled { color: #757575; border-color: #ccc; cursor: default }
  .panels { display: flex; flex-wrap: wrap; gap: 8px 16px }
  .maps { flex: 3 1 420px; min-width: 0 } .codes { flex: 2 1 320px; min-width: 0 }
  .pair { display: flex; gap: 8px } .map { flex: 1 1 0; min-width: 0; margin: 0 }
  .map figcaption, h4 { font-weight: 600; font-size: 13px; margin: 0 0 4px; padding: 0; white-space: nowrap;
    overflow: hidden; text-overflow: ellipsis }
  .canvas { position: relative; aspect-ratio: 1; max-height: 430px; width: 100%; border: 1px solid #ddd; border-radius: 4px; touch-action: none }
  canvas { position: absolute; inset: 0; width: 100%; height: 100%; cursor: crosshair }
  .legend { display: flex; flex-wrap: wrap; gap: 2px 12px; margin: 6px 0 0; font-size: 12px; min-height: 18px }
  .legend span { display: inline-flex; align-items: center; gap: 4px } .legend canvas { position: static; cursor: auto }
  .tree { position: relative; height: 460px; overflow: hidden; border: 1px solid #ddd; border-radius: 4px }
  .node { position: absolute; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; cursor: pointer;
    padding: 0 4px; border: 0 solid #fff }
  .rest { position: absolute; opacity: .45 }
  .node[aria-selected=true]::before { content: "✓ "; font-weight: bold }
  .node.marked { box-shadow: inset 0 0 0 2px var(--ink) }
  .path.bar { min-height: 0; margin: 0 0 4px; gap: 2px 6px }
  .path button { border: 0; padding: 0; color: var(--text); text-decoration: underline }
  .path button:disabled { color: var(--ink); text-decoration: none; font-weight: 600 }
  .rows { max-height: 330px; overflow: auto; border: 1px solid #ddd; border-radius: 4px; margin: 0 }
  table { border-collapse: collapse; width: 100%; margin: 0; font-size: 13px; table-layout: auto; border: 0 }
  th { position: sticky; top: 0; z-index: 1; background: #fff; text-align: left; box-shadow: 0 1px 0 #bbb }
  th, td { padding: 3px 10px; vertical-align: middle; text-align: left; border: 0 }
  td { border-bottom: 1px solid #eee } td:last-child, th:last-child { text-align: right } td { height: 41px }
  tbody tr { cursor: pointer; background: #fff } tbody tr:hover { background: #f4f4f4 }
  tr.shared td:first-child { border-left: 5px solid var(--conflict) } tr.alone td:first-child { border-left: 5px solid #fff }
  tr.first td { border-top: 2px solid #bbb }
  tr[aria-current=true] { background: var(--pale); font-weight: 600 }
  .pic { display: block; border-radius: 3px; background-repeat: no-repeat } .code { font-variant-numeric: tabular-nums;
    white-space: nowrap } .muted { color: #595959 } .told { margin: 6px 0 0; max-width: none }
  .more { margin: 6px 0 0 }
  .card { position: fixed; z-index: 9999; pointer-events: none; background: #fff; border: 1px solid #bbb;
    border-radius: 6px; padding: 6px 8px; max-width: 240px; box-shadow: 0 2px 8px rgba(0,0,0,.2); font-size: 12px }
  .card .pic { margin: 0 auto 4px }
  [hidden] { display: none }
  :focus { outline: none } :focus-visible { outline: 3px solid var(--ink); outline-offset: 1px; border-radius: 4px }
  .node:focus-visible { outline-offset: -3px; z-index: 2 }
}`;

function dress(root, about) {
  root.classList.add("macrec-linked");
  root.dataset.lmSuppressShortcuts = "true";  // JupyterLab leaves the keys to us
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", about.label);
  for (const [name, color] of Object.entries(about.theme)) root.style.setProperty(`--${name}`, color);
  root.replaceChildren(element("style", {textContent: STYLE}));
}

// One marker per color: unit outlines by plotly's names for them.
const turn = (corners, start, radius = () => 1) => Array.from({length: corners}, (_, i) => {
  const angle = start + 2 * Math.PI * i / corners;
  return [radius(i) * Math.cos(angle), radius(i) * Math.sin(angle)];
});
const plus = start => turn(12, start, i => i % 3 === 1 ? 0.5 : 1.08);
const SHAPES = {
  "circle": turn(20, 0), "circle-open": turn(20, 0), "square": turn(4, Math.PI / 4, () => 1.2),
  "diamond": turn(4, 0, () => 1.25), "triangle-up": turn(3, -Math.PI / 2, () => 1.3),
  "star": turn(10, -Math.PI / 2, i => i % 2 ? 0.55 : 1.35), "hexagon": turn(6, 0, () => 1.1),
  "cross": plus(Math.PI / 12), "x": plus(Math.PI / 3),
};

const FADED = "#dcdcdc";  // dots that are not selected

function stamp([, color, symbol, outline], radius, scale, ink) {
  const side = Math.ceil(2 * scale * (1.4 * radius + 1)), made = element("canvas", {width: side, height: side});
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
function mapPanel(host, map, hooks, ink) {
  const items = bytes(Int32Array, map.items), grid = bytes(Int16Array, map.grid), n = items.length;
  const figure = element("figure", {className: "map"});
  const box = element("div", {className: "canvas"});
  const [below, above] = [element("canvas"), element("canvas")];
  for (const [name, value] of Object.entries({
    tabindex: 0, role: "application", "aria-label": `map of ${number(n)} items by ${map.name}: arrow keys move a box, ` +
      "plus and minus change its size, Enter selects the items in it, Shift and Enter adds them, Escape clears",
  })) above.setAttribute(name, value);
  const caption = element("figcaption", {textContent: `by ${map.name}: ${number(n)} items`});
  caption.style.color = map.color;
  box.append(below, above);
  figure.append(caption, box);
  host.append(figure);
  const radius = n <= 3000 ? 3.2 : n <= 20000 ? 2.2 : 1.3;
  let low = [Infinity, Infinity], high = [-Infinity, -Infinity];
  for (let i = 0; i < n; i++) for (const axis of [0, 1]) {
    low[axis] = Math.min(low[axis], grid[2 * i + axis]);
    high[axis] = Math.max(high[axis], grid[2 * i + axis]);
  }
  const view = {x: (low[0] + high[0]) / 2, y: (low[1] + high[1]) / 2, zoom: 1};
  let width = 0, height = 0, scale = 1, marked = -1, path = [], cursor = null, stamps = new Map();
  const unit = () => view.zoom * 0.95 * Math.min(width / Math.max(1, high[0] - low[0]), height / Math.max(1, high[1] - low[1]));
  const left = i => (grid[2 * i] - view.x) * unit() + width / 2;
  const top = i => height / 2 - (grid[2 * i + 1] - view.y) * unit();

  // Calls put(level, x, y) for every dot in device pixels, the selected ones (level -1: not selected) above the others.
  function each(put) {
    const mask = hooks.mask(), {of} = hooks.coloring();
    const by = unit() * scale, x = width / 2 * scale - view.x * by, y = height / 2 * scale + view.y * by;
    for (const pass of mask ? [0, 1] : [1]) for (let i = 0; i < n; i++) {
      const item = items[i];
      if (!mask || mask[item] === pass) put(pass ? of[item] : -1, x + grid[2 * i] * by, y - grid[2 * i + 1] * by);
    }
  }
  function paint() {
    if (!width) return;
    const {levels} = hooks.coloring();
    if (n > 20000) paintPixels(levels); else paintStamps(levels);
  }
  function paintStamps(levels) {
    const pen = below.getContext("2d");
    if (stamps.levels !== levels || stamps.scale !== scale) {
      stamps = {levels, scale, full: levels.map(level => stamp(level, radius, scale, ink)),
        faded: stamp(["", FADED, "circle"], radius * 0.8, scale)};
    }
    pen.clearRect(0, 0, below.width, below.height);
    each((level, x, y) => {
      const drawn = level < 0 ? stamps.faded : stamps.full[level], half = drawn.width / 2;
      pen.drawImage(drawn, Math.round(x - half), Math.round(y - half));
    });
  }
  // Markers of many dots cannot be told apart, and drawing them takes a second: these are squares of pixels.
  function paintPixels(levels) {
    const wide = below.width, high = below.height, image = new ImageData(wide, high), pixels = new Uint32Array(image.data.buffer);
    const packed = color => [5, 3, 1].reduce((value, at) => value << 8 | parseInt(color.slice(at, at + 2), 16), 0xff) >>> 0;
    const colors = levels.map(level => packed(level[1])), rest = packed(FADED), side = Math.max(2, Math.round(2 * scale));
    each((level, x, y) => {
      const left = Math.round(x - side / 2), top = Math.round(y - side / 2), color = level < 0 ? rest : colors[level];
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
    if (at >= 0) for (const [color, wide] of [["#fff", 5], [ink, 2.5]]) {
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
  const where = event => {
    const corner = above.getBoundingClientRect();
    return [event.clientX - corner.left, event.clientY - corner.top];
  };
  function nearest([x, y], reach) {
    let best = -1, least = reach * reach;
    for (let i = 0; i < n; i++) {
      const distance = (left(i) - x) ** 2 + (top(i) - y) ** 2;
      if (distance < least) [best, least] = [items[i], distance];
    }
    return best;
  }
  function inside(polygon) {
    const xs = polygon.map(corner => corner[0]), ys = polygon.map(corner => corner[1]), last = polygon.length - 1;
    const [west, east, north, south] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const found = [];
    for (let i = 0; i < n; i++) {
      const x = left(i), y = top(i);
      if (x < west || x > east || y < north || y > south) continue;
      let odd = false;
      for (let a = 0, b = last; a <= last; b = a++) {
        if (ys[a] > y !== ys[b] > y && x < (xs[b] - xs[a]) * (y - ys[a]) / (ys[b] - ys[a]) + xs[a]) odd = !odd;
      }
      if (odd) found.push(items[i]);
    }
    return found;
  }
  const square = ({x, y, half}) => [[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]];

  let start = null;
  above.addEventListener("pointerdown", event => {
    if (event.button) return;
    above.setPointerCapture(event.pointerId);
    start = where(event);
    path = hooks.drag() === "move" ? [] : [start];
    hooks.hover(-1);
  });
  above.addEventListener("pointermove", event => {
    const here = where(event);
    if (!start) { hooks.hover(nearest(here, radius + 5), event); return; }
    const drag = hooks.drag(), last = path.at(-1);
    if (drag === "move") {
      view.x -= event.movementX / unit();
      view.y += event.movementY / unit();
      paint();
    } else if (drag === "box") path = [start, [here[0], start[1]], here, [start[0], here[1]]];
    else if (Math.hypot(here[0] - last[0], here[1] - last[1]) >= 3) path.push(here);
    overlay();
  });
  above.addEventListener("pointerup", event => {
    if (!start) return;
    const here = where(event), moved = Math.hypot(here[0] - start[0], here[1] - start[1]) > 4 || path.length > 3;
    const polygon = path;
    [start, path] = [null, []];
    overlay();
    if (moved && hooks.drag() === "move") return;
    const one = nearest(here, radius + 5);
    hooks.pick(moved ? inside(polygon) : one < 0 ? [] : [one], event.shiftKey);
  });
  above.addEventListener("pointercancel", () => { [start, path] = [null, []]; overlay(); });
  above.addEventListener("pointerleave", () => hooks.hover(-1));
  above.addEventListener("wheel", event => {  // with Ctrl, or two fingers: the wheel alone scrolls the page
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 200));
  }, {passive: false});
  above.addEventListener("focus", () => {
    if (!above.matches(":focus-visible")) return;
    cursor ??= {x: width / 2, y: height / 2, half: 40};
    overlay();
  });
  above.addEventListener("blur", () => { cursor = null; overlay(); });
  above.addEventListener("keydown", event => {
    const by = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    cursor ??= {x: width / 2, y: height / 2, half: 40};
    if (by) {
      cursor.x = Math.min(width, Math.max(0, cursor.x + 12 * by[0]));
      cursor.y = Math.min(height, Math.max(0, cursor.y + 12 * by[1]));
    } else if ("+=-".includes(event.key)) cursor.half = Math.min(400, Math.max(6, cursor.half * (event.key === "-" ? 0.8 : 1.25)));
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
  return {paint, zoom, mark: item => { marked = item; overlay(); }, stop: () => watcher.disconnect()};
}

// The tree of codes: a column per code, a box per prefix, as high as it has items. Parents come before their children.
// `hooks`: color(node), share(node) (null: nothing is selected), chosen(node), alone(node) (it is
// the only chosen one), pick(node, add), hover(node, event).
// A click or Enter picks; once more goes into the node, Escape and the path above come back. `drills` goes in at once.
function treePanel(host, tree, hooks, drills = false) {
  const {parents, counts, names, depths} = tree, size = parents.length, begin = new Float64Array(size), filled = new Float64Array(size);
  const children = Array.from({length: size}, () => []);
  for (let node = 1; node < size; node++) children[parents[node]].push(node);
  for (const below of children) below.sort((a, b) => !!tree.merged[a] - !!tree.merged[b] || counts[b] - counts[a] || a - b);
  for (let node = 0; node < size; node++) for (const child of children[node]) {
    begin[child] = begin[node] + filled[node];
    filled[node] += counts[child];
  }
  const trail = element("div", {className: "bar path"}, {role: "navigation", "aria-label": "prefix"});
  const place = element("div", {className: "tree"}, {role: "tree", "aria-label": "codes: arrow keys walk, Enter selects, " +
    "Enter again goes in, Shift and Enter adds, Escape comes back"});
  host.append(trail, place);
  let inside = 0, current = 0, shown = new Map(), rests = [], marked = new Set();
  const ancestors = node => node > 0 ? [...ancestors(parents[node]), node] : [0];
  const words = node => {
    const share = hooks.share(node), items = `${number(counts[node])} ${counts[node] === 1 ? "item" : "items"}`;
    return `${names[node]}, ${items}${share === null ? "" : `, ${percent(share)} of them selected`}`;
  };

  function draw() {
    const height = place.clientHeight || 460, each = height / counts[inside], offset = node => (begin[node] - begin[inside]) * each;
    place.replaceChildren();
    shown = new Map();
    rests = [];
    const put = (box, node, top, high) => {
      Object.assign(box.style, {top: `${top}px`, height: `${high}px`});
      box.dataset.depth = depths[node] - depths[inside];
      place.append(box);
    };
    const visit = node => {
      const small = [];
      for (const child of children[node]) {
        const high = each * counts[child];
        if (high < 1) { small.push(child); continue; }
        const box = element("div", {className: "node"}, {role: "treeitem", tabindex: -1, "aria-level": depths[child] - depths[inside]});
        Object.assign(box.style, {borderWidth: high > 3 ? "0 1px 1px 0" : "0 1px 0 0", lineHeight: `${Math.min(high - 1, 20)}px`, fontSize: `${Math.min(12, high - 1)}px`});
        box.dataset.node = child;
        shown.set(child, box);
        put(box, child, offset(child), high);
        visit(child);
      }
      if (!small.length) return;  // too thin to point at: one pale box for all of them
      const box = element("div", {className: "rest"}, {"aria-hidden": "true"}), items = small.reduce((sum, child) => sum + counts[child], 0);
      rests.push([box, small, items]);
      put(box, small[0], offset(small[0]), each * items);
    };
    visit(inside);
    const filledAt = [];
    for (const box of place.children) filledAt[box.dataset.depth] = (filledAt[box.dataset.depth] ?? 0) + parseFloat(box.style.height);
    const columns = Math.max(1, filledAt.findLastIndex(high => high > height / 10));  // a nearly empty column waits for a closer look
    for (const box of [...place.children]) {
      Object.assign(box.style, {left: `${100 * (box.dataset.depth - 1) / columns}%`, width: `${100 / columns}%`});
      if (box.dataset.depth <= columns) continue;
      box.remove();
      shown.delete(+box.dataset.node);
    }
    trail.replaceChildren();
    for (const node of ancestors(inside)) {
      const step = element("button", {type: "button", textContent: node ? names[node] : tree.root ?? "all items", disabled: node === inside});
      step.addEventListener("click", () => enter(node));
      if (node) trail.append("›");
      trail.append(step);
    }
    if (!shown.has(current)) current = shown.keys().next().value ?? 0;
    paint();
  }
  const fill = (share, color) => share === null ? color : `linear-gradient(to right, var(--selected) ${100 * share}%, #eee ${100 * share}%)`;
  function paint() {
    const plain = hooks.share(inside) === 1 && inside > 0;  // where everything is selected, colors say more than shares
    for (const [node, box] of shown) {
      const share = plain ? null : hooks.share(node), color = hooks.color(node), high = parseFloat(box.style.height);
      box.style.background = fill(share, color);
      box.style.color = share === null && dark(color) ? "#fff" : share === 0 ? "#595959" : "";
      box.textContent = high < 10 ? "" : `${names[node]}${share === null ? ` · ${number(counts[node])}` : share ? ` · ${percent(share)}` : ""}`;
      box.setAttribute("aria-label", words(node));
      box.setAttribute("aria-selected", hooks.chosen(node));
      box.classList.toggle("marked", marked.has(node));
      box.tabIndex = node === current ? 0 : -1;
    }
    for (const [box, small, items] of rests) {
      const share = plain ? null : hooks.share(small[0]) === null ? null : small.reduce((sum, node) => sum + hooks.share(node) * counts[node], 0) / items;
      box.style.background = fill(share, hooks.color(small[0]));
    }
  }
  const enter = node => { inside = node; hooks.hover(-1); draw(); };
  function walk(node) {
    if (node === undefined) return;
    shown.get(current)?.setAttribute("tabindex", -1);
    current = node;
    shown.get(node).tabIndex = 0;
    shown.get(node).focus({focusVisible: true});
  }
  function pick(node, add) {
    current = node;
    if (!drills && !add && hooks.alone(node) && children[node].length) enter(node);
    else hooks.pick(node, add);
  }
  const nodeOf = event => { const box = event.target.closest(".node"); return box ? +box.dataset.node : -1; };
  place.addEventListener("click", event => { if (nodeOf(event) > 0) pick(nodeOf(event), event.shiftKey || event.ctrlKey || event.metaKey); });
  place.addEventListener("pointermove", event => hooks.hover(nodeOf(event), event));
  place.addEventListener("pointerleave", () => hooks.hover(-1));
  place.addEventListener("keydown", event => {
    const node = nodeOf(event);
    const column = [...shown.keys()].filter(other => depths[other] === depths[node]).sort((a, b) => begin[a] - begin[b]);
    const at = column.indexOf(node);
    if (event.key === "ArrowDown") walk(column[at + 1]);
    else if (event.key === "ArrowUp") walk(column[at - 1]);
    else if (event.key === "Home") walk(column[0]);
    else if (event.key === "End") walk(column.at(-1));
    else if (event.key === "ArrowRight") walk(children[node]?.find(child => shown.has(child)));
    else if (event.key === "ArrowLeft") walk(shown.has(parents[node]) ? parents[node] : undefined);
    else if (event.key === "Enter" || event.key === " ") { pick(node, event.shiftKey || event.ctrlKey); walk(current); }
    else if (event.key === "Escape" && inside) { const from = inside; enter(parents[inside]); walk(shown.has(from) ? from : current); }
    else if (event.key === "Escape" && hooks.back) hooks.back();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  draw();
  return {paint, enter, words, mark: nodes => { marked = new Set(nodes); paint(); }, focus: () => shown.get(current)?.focus({focusVisible: true})};
}

const dark = color => {  // white words stand out better than ink
  const linear = [1, 3, 5].map(at => (parseInt(color.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] < 0.213;
};
const faded = (color, share) => "#" + [1, 3, 5].map(at =>
  Math.round(255 + (parseInt(color.slice(at, at + 2), 16) - 255) * (0.06 + 0.94 * share)).toString(16).padStart(2, "0")).join("");

// The tree alone, colored by conflicts. A click goes into a box: here, or wherever `chosen(node)` leads (-1: back).
function codeTree(root, about, chosen) {
  const focused = root.contains(document.activeElement) && root.querySelector(".tree")?.contains(document.activeElement);
  dress(root, about);
  const {tree} = about;
  const panel = treePanel(root, tree, {
    color: node => faded(about.theme.conflict, tree.conflicts[node]), share: () => null, chosen: () => false,
    pick: node => { if (tree.merged[node]) return; if (chosen) chosen(node); else if (tree.parents.includes(node)) panel.enter(node); },
    back: chosen && (() => chosen(-1)),
    hover: (node, event) => { if (node > 0) event.target.title = `${panel.words(node)}, ${percent(tree.conflicts[node])} share their ID`; },
  }, true);
  root.append(element("p", {className: "told", textContent: about.sentence}, {"aria-live": "polite"}));
  if (focused) panel.focus();
}
