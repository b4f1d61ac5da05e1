// The hover card: one for all views and figures of a page.

const GAP = 14;
const SIDE = 96;

const CARD_STYLE = {
  position: "fixed",
  inset: "auto",
  margin: "0",
  overflow: "visible",
  pointerEvents: "none",
  boxSizing: "border-box",
  maxWidth: "250px",
  padding: "6px 8px",
  border: "1px solid #bbb",
  borderRadius: "6px",
  textAlign: "left",
  boxShadow: "0 2px 8px rgba(0,0,0,.2)",
  background: "#fff",
  color: "#222222",
  font: "12px/1.35 system-ui, sans-serif",
  overflowWrap: "break-word",
};

function cardElement() {
  const known = document.querySelector("body > .macrec-card");
  if (known) return known;
  // A popover stands above all: JupyterLab's panels would clip and displace what is fixed inside them.
  const card = Object.assign(document.createElement("div"), { className: "macrec-card", popover: "manual" });
  card.setAttribute("aria-hidden", "true");
  Object.assign(card.style, CARD_STYLE);
  document.body.append(card);
  return card;
}

function line(tag, words, style = {}) {
  const made = Object.assign(document.createElement(tag), { textContent: words });
  if (tag === "b") made.style.display = "block";
  Object.assign(made.style, style);
  return made;
}

// A picture of a sprite sheet `{uri, columns}`, the one at `place`, `side` pixels wide.
export function sheetPicture({ uri, columns }, place, side) {
  const picture = Object.assign(document.createElement("span"), { className: "pic" });
  const [x, y] = [place % columns, Math.floor(place / columns)];
  Object.assign(picture.style, {
    display: "block",
    width: `${side}px`,
    height: `${side}px`,
    borderRadius: "4px",
    backgroundImage: `url(${uri})`,
    backgroundPosition: `${-x * side}px ${-y * side}px`,
    backgroundSize: `${columns * side}px auto`,
  });
  return picture;
}

// Shows the card beside a point of the window. `about`: `note`, lines about what is pointed at, the first in bold; and
// an item: its `picture` (an element, or null: it has none), its `title` and further `lines`. All may be left out.
export function showCard({ x, y }, { note = [], title, picture, lines = [] }) {
  const card = cardElement();
  card.replaceChildren(...note.map((words, i) => line(i ? "div" : "b", words)));
  if (title !== undefined) {
    if (note.length) card.append(line("div", "for example", { color: "#666666", margin: "4px 0" }));
    if (picture) {
      Object.assign(picture.style, { width: `${SIDE}px`, margin: "0 auto 4px" });
      card.append(picture);
    }
    card.append(line("b", title), ...lines.map((words) => line("div", words)));
    if (picture === null) card.append(line("i", "no picture"));
  }
  if (!card.matches(":popover-open")) card.showPopover();
  const { width, height } = card.getBoundingClientRect();
  const left = x + GAP + width > innerWidth ? x - GAP - width : x + GAP;
  card.style.left = `${Math.max(4, left)}px`;
  card.style.top = `${Math.max(4, Math.min(y + GAP, innerHeight - height - 4))}px`;
}

export function hideCard() {
  const card = document.querySelector("body > .macrec-card:popover-open");
  if (card) card.hidePopover();
}
