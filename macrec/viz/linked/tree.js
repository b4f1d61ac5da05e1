// The tree of codes, in the linked views and alone.
import { dress, element, number, percent } from "./panels.js";

// The tree of codes: a column per code, a box per prefix, as high as it has items. Parents come before their children.
// `hooks`: color(node), about(node) → what its color means in words, share(node) (null: nothing is selected),
// chosen(node), alone(node) (it is the only chosen one), pick(node, add), hover(node, event), back() from the root.
// A click or Enter picks; once more goes into the node, Escape and the path above come back. `drills` goes in at once.
export function treePanel(host, tree, hooks, drills = false) {
  const { parents, counts, names, depths } = tree,
    size = parents.length,
    begin = new Float64Array(size),
    filled = new Float64Array(size);
  const children = Array.from({ length: size }, () => []);
  for (let node = 1; node < size; node++) children[parents[node]].push(node);
  for (const below of children)
    below.sort((a, b) => !!tree.merged[a] - !!tree.merged[b] || counts[b] - counts[a] || a - b);
  for (let node = 0; node < size; node++)
    for (const child of children[node]) {
      begin[child] = begin[node] + filled[node];
      filled[node] += counts[child];
    }
  const trail = element("div", { className: "bar path" }, { role: "navigation", "aria-label": "prefix" });
  const place = element(
    "div",
    { className: "tree" },
    {
      role: "tree",
      "aria-label":
        "codes: arrow keys walk, Enter selects, " + "Enter again goes in, Shift and Enter adds, Escape comes back",
    },
  );
  host.append(trail, place);
  let inside = 0,
    current = 0,
    shown = new Map(),
    rests = [],
    marked = new Set();
  const ancestors = (node) => (node > 0 ? [...ancestors(parents[node]), node] : [0]);
  const words = (node) => {
    const share = hooks.share(node),
      items = `${number(counts[node])} ${counts[node] === 1 ? "item" : "items"}`;
    return [
      names[node],
      items,
      ...hooks.about(node),
      ...(share === null ? [] : [`${percent(share)} of them selected`]),
    ];
  };

  function draw() {
    const height = place.clientHeight || 460,
      each = height / counts[inside],
      offset = (node) => (begin[node] - begin[inside]) * each;
    place.replaceChildren();
    shown = new Map();
    rests = [];
    const put = (box, node, top, high) => {
      Object.assign(box.style, { top: `${top}px`, height: `${high}px` });
      box.dataset.depth = depths[node] - depths[inside];
      place.append(box);
    };
    const visit = (node) => {
      const small = [];
      for (const child of children[node]) {
        const high = each * counts[child];
        if (high < 1) {
          small.push(child);
          continue;
        }
        const box = element(
          "div",
          { className: "node" },
          { role: "treeitem", tabindex: -1, "aria-level": depths[child] - depths[inside] },
        );
        Object.assign(box.style, {
          borderWidth: high > 3 ? "0 1px 1px 0" : "0 1px 0 0",
          lineHeight: `${Math.min(high - 1, 20)}px`,
          fontSize: `${Math.min(12, 0.8 * high)}px`,
        });
        box.dataset.node = child;
        shown.set(child, box);
        put(box, child, offset(child), high);
        visit(child);
      }
      if (!small.length) return; // too thin to point at: one pale box for all of them
      const box = element("div", { className: "rest" }, { "aria-hidden": "true" }),
        items = small.reduce((sum, child) => sum + counts[child], 0);
      rests.push([box, small, items]);
      put(box, small[0], offset(small[0]), each * items);
    };
    visit(inside);
    const filledAt = [];
    for (const box of place.children)
      filledAt[box.dataset.depth] = (filledAt[box.dataset.depth] ?? 0) + parseFloat(box.style.height);
    const columns = Math.max(
      1,
      filledAt.findLastIndex((high) => high > height / 10),
    ); // a nearly empty column waits for a closer look
    for (const box of [...place.children]) {
      Object.assign(box.style, { left: `${(100 * (box.dataset.depth - 1)) / columns}%`, width: `${100 / columns}%` });
      if (box.dataset.depth <= columns) continue;
      box.remove();
      shown.delete(+box.dataset.node);
    }
    trail.replaceChildren();
    for (const node of ancestors(inside)) {
      const step = element("button", {
        type: "button",
        textContent: node ? names[node] : (tree.root ?? "all items"),
        disabled: node === inside,
      });
      step.addEventListener("click", () => enter(node));
      if (node) trail.append("›");
      trail.append(step);
    }
    if (!shown.has(current)) current = shown.keys().next().value ?? 0;
    paint();
  }
  const fill = (share, color) =>
    share === null ? color : `linear-gradient(to right, var(--selected) ${100 * share}%, #eee ${100 * share}%)`;
  function paint() {
    const plain = hooks.share(inside) === 1 && inside > 0; // where everything is selected, colors say more than shares
    for (const [node, box] of shown) {
      const share = plain ? null : hooks.share(node),
        color = hooks.color(node),
        high = parseFloat(box.style.height);
      box.style.background = fill(share, color);
      box.style.borderColor = (share === null ? luminance(color) > 0.6 : share < 1) ? "#8a8a8a" : "#fff";
      box.style.color = share === 0 ? "#595959" : share !== null ? "" : luminance(color) < 0.179 ? "#fff" : "#000";
      box.textContent =
        high < 11
          ? ""
          : `${names[node]}${share === null ? ` · ${number(counts[node])}` : share ? ` · ${percent(share)}` : ""}`;
      box.setAttribute("aria-label", words(node).join(", "));
      box.setAttribute("aria-selected", hooks.chosen(node));
      box.classList.toggle("marked", marked.has(node));
      box.tabIndex = node === current ? 0 : -1;
    }
    for (const [box, small, items] of rests) {
      const share = plain
        ? null
        : hooks.share(small[0]) === null
          ? null
          : small.reduce((sum, node) => sum + hooks.share(node) * counts[node], 0) / items;
      box.style.background = fill(share, hooks.color(small[0]));
    }
  }
  const enter = (node) => {
    inside = node;
    hooks.hover(-1);
    draw();
  };
  function walk(node) {
    if (node === undefined) return;
    shown.get(current)?.setAttribute("tabindex", -1);
    current = node;
    shown.get(node).tabIndex = 0;
    shown.get(node).focus({ focusVisible: true });
  }
  function pick(node, add) {
    current = node;
    if (!drills && !add && hooks.alone(node) && children[node].length) enter(node);
    else hooks.pick(node, add);
  }
  const nodeOf = (event) => {
    const box = event.target.closest(".node");
    return box ? +box.dataset.node : -1;
  };
  place.addEventListener("click", (event) => {
    if (nodeOf(event) > 0) pick(nodeOf(event), event.shiftKey || event.ctrlKey || event.metaKey);
  });
  place.addEventListener("pointermove", (event) => hooks.hover(nodeOf(event), event));
  place.addEventListener("pointerleave", () => hooks.hover(-1));
  place.addEventListener("focusin", ({ target }) => {
    // what the pointer shows, the keyboard shows, too
    const { left, right, top } = target.getBoundingClientRect();
    if (!target.matches(":focus-visible")) return;
    hooks.hover(nodeOf({ target }), { clientX: right + 280 < innerWidth ? right : left - 280, clientY: top });
  });
  place.addEventListener("focusout", () => hooks.hover(-1));
  place.addEventListener("keydown", (event) => {
    const node = nodeOf(event);
    const column = [...shown.keys()]
      .filter((other) => depths[other] === depths[node])
      .sort((a, b) => begin[a] - begin[b]);
    const at = column.indexOf(node);
    if (event.key === "ArrowDown") walk(column[at + 1]);
    else if (event.key === "ArrowUp") walk(column[at - 1]);
    else if (event.key === "Home") walk(column[0]);
    else if (event.key === "End") walk(column.at(-1));
    else if (event.key === "ArrowRight") walk(children[node]?.find((child) => shown.has(child)));
    else if (event.key === "ArrowLeft") walk(shown.has(parents[node]) ? parents[node] : undefined);
    else if (event.key === "Enter" || event.key === " ") {
      pick(node, event.shiftKey || event.ctrlKey);
      walk(current);
    } else if (event.key === "Escape" && inside) {
      const from = inside;
      enter(parents[inside]);
      walk(shown.has(from) ? from : current);
    } else if (event.key === "Escape" && hooks.back) hooks.back();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  draw();
  return {
    paint,
    enter,
    words,
    mark: (nodes) => {
      marked = new Set(nodes);
      paint();
    },
    focus: () => shown.get(current)?.focus({ focusVisible: true }),
  };
}

const luminance = (color) => {
  // as WCAG has it, about: below 0.179 white words stand out better than black ones
  const linear = [1, 3, 5].map((at) => (parseInt(color.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
export const faded = (color, share) =>
  "#" +
  [1, 3, 5]
    .map((at) =>
      Math.round(255 + (parseInt(color.slice(at, at + 2), 16) - 255) * (0.06 + 0.94 * share))
        .toString(16)
        .padStart(2, "0"),
    )
    .join("");

// The tree alone, colored by conflicts. A click goes into a box: here, or wherever `chosen(node)` leads (-1: back).
export function codeTree(root, about, chosen) {
  const focused =
    root.contains(document.activeElement) && root.querySelector(".tree")?.contains(document.activeElement);
  dress(root, about);
  const { tree } = about;
  const panel = treePanel(
    root,
    tree,
    {
      color: (node) => faded(about.theme.conflict, tree.conflicts[node]),
      share: () => null,
      chosen: () => false,
      about: (node) => [`${percent(tree.conflicts[node])} share their ID`],
      pick: (node) => {
        if (tree.merged[node]) return;
        if (chosen) chosen(node);
        else if (tree.parents.includes(node)) panel.enter(node);
      },
      back: chosen && (() => chosen(-1)),
      hover: (node) => {
        pointed.textContent = node > 0 ? panel.words(node).join(", ") : "";
      },
    },
    true,
  );
  const pointed = element("p", { className: "told pointed" });
  root.append(pointed);
  root.append(element("p", { className: "told", textContent: about.sentence }, { "aria-live": "polite" }));
  if (focused) panel.focus();
}
