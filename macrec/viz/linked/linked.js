// Maps, the tree of codes and the table of the same items, linked. Items are places 0 … n-1; one
// selection, a set of places, is shown by all.
import { hideCard, sheetPicture, showCard } from "../card.js";
import { mapPanel, stamp } from "./map.js";
import { bytes, dress, element, number, percent } from "./panels.js";
import { faded, treePanel } from "./tree.js";

// The whole view. `changed(places)` is told every selection that a person makes.
export function linkedItems(root, about, changed = () => {}) {
  if (root.macrec) return root.macrec;
  dress(root, about);
  const { tree, theme } = about,
    total = about.count,
    levels = about.levels.length;
  const deepest = bytes(Uint16Array, about.node),
    codes = bytes({ 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[about.width], about.codes);
  const titles = about.titles.split("\n"),
    conflicted = bytes(Int32Array, about.conflicted),
    sharing = bytes(Int32Array, about.sharing);
  const sharers = new Int32Array(total);
  conflicted.forEach((item, i) => {
    sharers[item] = sharing[i];
  });
  const factors = about.factors.map(({ name, levels, of }) => ({ name, levels, of: bytes(Uint8Array, of) }));
  const spelled = (item) => about.levels.map((name, level) => `${name}_${codes[item * levels + level]}`).join(" ");
  const sum = (values) => {
    for (let node = values.length - 1; node > 0; node--) values[tree.parents[node]] += values[node];
    return values;
  };

  let mask = null,
    selected = new Int32Array(0),
    perNode = null,
    chosen = new Set(),
    marked = -1,
    coloring = factors[0],
    common = [];
  function recolor() {
    // the commonest level of every node, paler where fewer items share it
    const most = tree.parents.map(() => [0, 0]);
    coloring.levels.forEach((_, level) => {
      const held = new Int32Array(tree.parents.length);
      for (let item = 0; item < total; item++) if (coloring.of[item] === level) held[deepest[item]]++;
      sum(held).forEach((count, node) => {
        if (count > most[node][1]) most[node] = [level, count];
      });
    });
    common = most.map(([level, count], node) => [level, count / tree.counts[node]]);
  }
  recolor();

  // Pictures and cards.
  const sprite = about.sprite,
    pictured = new Map(sprite ? [...bytes(Int32Array, sprite.items)].map((item, i) => [item, i]) : []);
  const examples = new Map();
  for (const item of pictured.keys())
    for (let node = deepest[item]; node >= 0 && !examples.has(node); node = tree.parents[node])
      examples.set(node, item);
  function picture(item, side) {
    const at = pictured.get(item);
    if (at === undefined) return null;
    const shown = sheetPicture(sprite, at, side);
    shown.setAttribute("role", "img");
    shown.setAttribute("aria-label", titles[item]);
    return shown;
  }
  // Only some items have a thumbnail here: a card without one does not say that there is no picture.
  const entry = (item) => ({ title: titles[item], picture: picture(item, 96) ?? undefined });
  const pointer = (event) => ({ x: event.clientX, y: event.clientY });
  const fate = (item) =>
    sharers[item]
      ? `shares its ID with ${number(sharers[item] - 1)} ${sharers[item] === 2 ? "other" : "others"}`
      : "an ID of its own";
  const hoverItem = (item, event) =>
    item < 0
      ? hideCard()
      : showCard(pointer(event), {
          ...entry(item),
          lines: [
            spelled(item),
            fate(item),
            ...factors
              .filter(({ name }) => name !== "conflict")
              .map(({ name, levels, of }) => `${name}: ${levels[of[item]][0]}`),
          ],
        });
  const hoverNode = (node, event) =>
    node < 1
      ? hideCard()
      : showCard(pointer(event), {
          note: view.tree.words(node),
          ...(examples.has(node) ? entry(examples.get(node)) : {}),
        });

  // The bar.
  const bar = element("div", { className: "bar" }),
    told = element("p", { className: "told" }, { "aria-live": "polite" });
  const choice = (name, options, change) => {
    const menu = element("select"),
      label = element("label", { textContent: `${name} ` });
    options.forEach((option) => menu.append(element("option", { textContent: option })));
    menu.addEventListener("change", () => change(menu.selectedIndex));
    label.append(menu);
    bar.append(label);
    return menu;
  };
  const button = (text, label, press) => {
    const made = element("button", { type: "button", textContent: text }, { "aria-label": label, title: label });
    made.addEventListener("click", press);
    bar.append(made);
    return made;
  };
  choice(
    "colors",
    factors.map(({ name }) => name),
    (place) => {
      coloring = factors[place];
      recolor();
      legend();
      view.maps.forEach((map) => map.paint());
      view.tree.paint();
    },
  );
  const drag = about.maps.length ? choice("drag to", ["lasso", "box", "move"], () => {}) : null;
  if (drag)
    for (const [text, label, factor] of [
      ["+", "zoom in", 1.5],
      ["−", "zoom out", 1 / 1.5],
      ["whole", "show the whole map", 0],
    ]) {
      button(text, label, () => view.maps.forEach((map) => map.zoom(factor)));
    }
  const clear = button("clear selection", "clear the selection", () => select([]));
  const panels = element("div", { className: "panels" }),
    legends = element("div", { className: "legend" });
  root.append(bar, panels);

  const view = { maps: [] };
  if (about.maps.length) {
    const host = element("div", { className: "maps" }),
      pair = element("div", { className: "pair" });
    host.append(pair, legends, told);
    panels.append(host);
    view.maps = about.maps.map((map) =>
      mapPanel(
        pair,
        map,
        {
          coloring: () => coloring,
          mask: () => mask,
          drag: () => drag.value,
          pick: (items, add) => {
            view.tree.enter(0);
            select(items, add);
          },
          hover: hoverItem,
        },
        theme.ink,
      ),
    );
  }
  function legend() {
    legends.replaceChildren(
      ...coloring.levels.map((level) => {
        const entry = element("span", { textContent: level[0] });
        const mark = stamp(level, 4, 1, theme.ink);
        mark.setAttribute("aria-hidden", "true");
        mark.style.cssText = "width:auto;height:auto";
        entry.prepend(mark);
        return entry;
      }),
    );
  }
  legend();
  const codesHost = element("div", { className: "codes" });
  panels.append(codesHost);
  view.tree = treePanel(codesHost, tree, {
    color: (node) => {
      const [level, share] = common[node],
        [, color, symbol] = coloring.levels[level];
      return faded(color, symbol === "circle-open" ? share / 3 : share); // "other" is no level to stand out
    },
    about: (node) => [
      `${percent(tree.conflicts[node])} share their ID`,
      `${coloring.name}: ${coloring.levels[common[node][0]][0]} (${percent(common[node][1])})`,
    ],
    share: (node) => (perNode ? perNode[node] / tree.counts[node] : null),
    chosen: (node) => chosen.has(node),
    alone: (node) => chosen.has(node) && chosen.size === 1,
    pick: (node, add) => {
      const nodes = add ? new Set([...chosen, node]) : new Set([node]);
      const under = new Uint8Array(tree.parents.length);
      for (let each = 0; each < under.length; each++)
        under[each] = nodes.has(each) || (each && under[tree.parents[each]]);
      const items = [];
      for (let item = 0; item < total; item++) if (under[deepest[item]]) items.push(item);
      select(items, add, nodes);
    },
    hover: hoverNode,
  });

  // The table: items that share an ID first, group by group; a page of rows at a time.
  const heading = element("h4"),
    frame = element("div", { className: "rows" }),
    table = element("table"),
    body = element("tbody");
  const more = element("button", { type: "button", className: "more" });
  const head = table.createTHead().insertRow();
  for (const name of [...(sprite ? ["picture"] : []), "item", "semantic ID", "items with this ID"])
    head.append(element("th", { textContent: name, scope: "col" }));
  table.append(body);
  frame.append(table);
  if (!about.maps.length) root.append(legends, told);
  root.append(heading, frame, more);
  heading.style.marginTop = "10px";
  let listed = [];
  function list() {
    if (!mask) listed = conflicted;
    else {
      listed = conflicted.filter((item) => mask[item]);
      const alone = selected.filter((item) => !sharers[item]),
        together = new Int32Array(listed.length + alone.length);
      together.set(listed);
      together.set(alone, listed.length);
      listed = together;
    }
    body.replaceChildren();
    heading.textContent = !mask
      ? `Items that share an ID: ${number(conflicted.length)}`
      : `Selected items: ${number(listed.length)}, those that share an ID first`;
    frame.hidden = !listed.length;
    extend();
  }
  function extend() {
    const from = body.rows.length,
      to = Math.min(listed.length, from + 40);
    for (let place = from; place < to; place++) {
      const item = listed[place],
        before = place ? listed[place - 1] : -1;
      const row = element("tr", { className: sharers[item] ? "shared" : "alone", tabIndex: place ? -1 : 0 });
      if (before >= 0 && sharers[before] && spelled(before) !== spelled(item)) row.classList.add("first");
      row.dataset.item = item;
      row.setAttribute("aria-current", item === marked);
      if (sprite)
        row.insertCell().append(picture(item, 34) ?? element("span", { className: "muted", textContent: "–" }));
      row.insertCell().textContent = titles[item];
      Object.assign(row.insertCell(), { textContent: spelled(item), className: "code" });
      row.insertCell().textContent = number(Math.max(1, sharers[item]));
      body.append(row);
    }
    more.hidden = to >= listed.length;
    more.textContent = `show more (${number(to)} of ${number(listed.length)})`;
  }
  more.addEventListener("click", () => {
    const row = body.rows.length;
    extend();
    body.rows[row].focus();
  });
  const rowOf = (event) => event.target.closest("tbody tr");
  function mark(item) {
    marked = item === marked ? -1 : item;
    for (const row of body.rows) row.setAttribute("aria-current", +row.dataset.item === marked);
    view.maps.forEach((map) => map.mark(marked));
    const way = [];
    for (let node = marked < 0 ? -1 : deepest[marked]; node > 0; node = tree.parents[node]) way.push(node);
    view.tree.mark(way);
  }
  body.addEventListener("click", (event) => mark(+rowOf(event).dataset.item));
  body.addEventListener("pointermove", (event) => hoverItem(+rowOf(event).dataset.item, event));
  body.addEventListener("pointerleave", () => hoverItem(-1));
  body.addEventListener("focusin", (event) => {
    const row = rowOf(event),
      { right, bottom } = row.getBoundingClientRect();
    if (row.matches(":focus-visible")) hoverItem(+row.dataset.item, { clientX: right - 260, clientY: bottom });
  });
  body.addEventListener("focusout", () => hoverItem(-1));
  body.addEventListener("keydown", (event) => {
    const row = rowOf(event),
      to = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
    if (to) {
      row.tabIndex = -1;
      to.tabIndex = 0;
      to.focus({ focusVisible: true });
    } else if (event.key === "Enter" || event.key === " ") mark(+row.dataset.item);
    else if (to !== null) return;
    event.preventDefault();
    event.stopPropagation();
  });

  function select(items, add = false, nodes = new Set(), tell = true) {
    const next = add && mask ? mask.slice() : new Uint8Array(total);
    for (const item of items) next[item] = 1;
    const kept = new Int32Array(total);
    let count = 0;
    for (let item = 0; item < total; item++) if (next[item]) kept[count++] = item;
    selected = kept.slice(0, count);
    mask = selected.length ? next : null;
    chosen = mask ? nodes : new Set();
    perNode = null;
    if (mask) {
      perNode = new Int32Array(tree.parents.length);
      for (const item of selected) perNode[deepest[item]]++;
      sum(perNode);
    }
    if (marked >= 0) mark(marked);
    clear.disabled = !mask;
    view.maps.forEach((map) => map.paint());
    view.tree.paint();
    list();
    told.textContent = sentence();
    if (tell) changed(selected);
  }
  function sentence() {
    if (!mask) return about.sentence;
    const first = [...tree.parents.keys()]
      .filter((node) => tree.depths[node] === 1 && perNode[node])
      .sort((a, b) => perNode[b] - perNode[a]);
    const spread = first
      .slice(0, 3)
      .map((node) => `${tree.names[node]} ${percent(perNode[node] / selected.length)}`)
      .join(", ");
    const shared = selected.reduce((count, item) => count + (sharers[item] > 0), 0);
    return (
      `${number(selected.length)} of ${number(total)} items selected (${percent(selected.length / total)}), under ${number(first.length)} ` +
      `first ${first.length === 1 ? "code" : "codes"}: ${spread}${first.length > 3 ? ", …" : ""}; ${number(shared)} of them ${shared === 1 ? "shares its ID" : "share their ID"}.`
    );
  }
  select([], false, new Set(), false);
  root.macrec = {
    select: (items, tell = true) => select(items, false, new Set(), tell),
    mark,
    selected: () => selected,
    marked: () => marked,
    stop: () => view.maps.forEach((map) => map.stop()),
  };
  return root.macrec;
}
