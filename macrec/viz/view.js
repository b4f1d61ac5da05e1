// Starts the views of a page whose `data-view` is `key`, each once. Titles become cards: the browser's own tooltip would
// come late, without a picture, and not for the keyboard. `about`: row → the further lines of an item's card.
import { hideCard, showCard } from "./card.js";

export function startViews(key, about, start) {
  for (const view of document.querySelectorAll(`[data-view="${key}"]`)) {
    if (view.macrec) continue;
    view.macrec = true;
    dressView(view, about);
    start(view);
  }
}

// A picture of the view for the card, outside of the view's rules; null for a frame that says there is none.
function copied(picture) {
  if (!picture || picture.classList.contains("none")) return picture ? null : undefined;
  const { backgroundImage, backgroundPosition, backgroundSize } = getComputedStyle(picture);
  const shown = Object.assign(document.createElement("span"), { className: "pic" });
  const drawn = { backgroundImage, backgroundPosition, backgroundSize };
  Object.assign(shown.style, { display: "block", aspectRatio: "1", borderRadius: "4px", ...drawn });
  return shown;
}

function dressView(view, about) {
  const name = (cell) => cell.querySelector(".pic")?.getAttribute("aria-label");
  for (const cell of view.querySelectorAll("[title]")) {
    cell.dataset.note = cell.title;
    const own = name(cell);
    cell.setAttribute("aria-label", [...(own ? [own] : []), ...cell.title.split("\n")].join(", "));
    cell.removeAttribute("title");
  }
  // The name of an element's own picture comes first; one that its `data-row` names stands without.
  const show = (cell, x, y) => {
    const own = name(cell);
    const row = cell.dataset.row ?? cell.querySelector(".pic")?.dataset.row;
    const lines = cell.dataset.note.split("\n");
    const picture = row && copied(view.querySelector(`.pic[data-row="${row}"]`));
    showCard({ x, y }, { title: own ?? lines.shift(), lines: [...lines, ...(about[row] ?? [])], picture });
  };
  const noted = (event) => event.target.closest?.("[data-note]");
  view.addEventListener("pointermove", (event) => {
    const cell = noted(event);
    if (cell) show(cell, event.clientX, event.clientY);
    else hideCard();
  });
  view.addEventListener("pointerleave", hideCard);
  view.addEventListener("focusin", (event) => {
    const cell = noted(event);
    const box = cell?.getBoundingClientRect();
    if (cell?.matches(":focus-visible")) show(cell, box.right - 10, box.bottom - 10);
  });
  view.addEventListener("focusout", hideCard);
}
