// The way through a beam is lit under the pointer and the focus; arrow keys walk the boxes: up and down a level, left to
// where a beam came from, right to its best successor.
export function start(view) {
  const beams = [...view.querySelectorAll(".beam")],
    at = new Map(beams.map((beam) => [beam.dataset.at, beam]));
  const level = (beam) => +beam.dataset.at.split("-")[0];
  const parent = (beam) => at.get(`${level(beam) - 1}-${beam.dataset.from}`);
  const children = (beam) => beams.filter((other) => parent(other) === beam);
  const light = (beam) => {
    view.querySelectorAll(".lit,.on").forEach((old) => old.classList.remove("lit", "on"));
    const way = [];
    for (let up = beam; up; up = parent(up)) way.push(up);
    const down = beam ? [beam] : [];
    for (const one of down) down.push(...children(one));
    for (const one of [...way, ...down]) {
      one.classList.add("lit");
      view.querySelector(`[data-to="${one.dataset.at}"]`)?.classList.add("on");
    }
  };
  const find = (event) => {
    const item = event.target.closest(".item");
    return item ? at.get(`${level(beams.at(-1))}-${item.dataset.leaf}`) : event.target.closest(".beam");
  };
  view.addEventListener("pointerover", (event) => light(find(event)));
  view.addEventListener("pointerleave", () => light());
  view.addEventListener("focusin", (event) => light(find(event)));
  view.addEventListener("focusout", () => light());
  if (beams.length) beams[0].tabIndex = 0;
  view.dataset.lmSuppressShortcuts = "true";
  view.addEventListener("keydown", (event) => {
    const beam = event.target.closest(".beam");
    const to =
      beam &&
      {
        ArrowUp: () => beam.previousElementSibling,
        ArrowDown: () => beam.nextElementSibling,
        ArrowLeft: () => parent(beam),
        ArrowRight: () => children(beam)[0],
      }[event.key];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    const next = to();
    if (!next) return;
    beam.tabIndex = -1;
    next.tabIndex = 0;
    next.focus({ focusVisible: true });
  });
}
