// The menu shows one user at a time; in a strip the arrow keys walk from item to item, and Tab from strip to strip.
export function start(view) {
  const sections = [...view.querySelectorAll("section")],
    menu = view.querySelector(".menu");
  const choice = menu.querySelector("select"),
    told = menu.querySelector("span");
  const [back, on] = menu.querySelectorAll("button");
  const show = (place) => {
    sections.forEach((section, i) => {
      section.hidden = i !== place;
    });
    choice.selectedIndex = place;
    back.disabled = place === 0;
    on.disabled = place === sections.length - 1;
    told.textContent = `${place + 1} of ${sections.length}`;
  };
  menu.hidden = sections.length < 2;
  sections.forEach((section) => (section.querySelector("h4").hidden = sections.length > 1));
  choice.addEventListener("change", () => show(choice.selectedIndex));
  back.addEventListener("click", () => show(choice.selectedIndex - 1));
  on.addEventListener("click", () => show(choice.selectedIndex + 1));
  show(0);
  view.querySelectorAll("li").forEach((item) => {
    item.tabIndex = item.previousElementSibling ? -1 : 0;
  });
  view.dataset.lmSuppressShortcuts = "true";
  view.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const item = event.target.closest("li");
    if (event.target === choice) {
      const place = choice.selectedIndex + step;
      if (sections[place]) show(place);
    } else if (item) {
      const next = step < 0 ? item.previousElementSibling : item.nextElementSibling;
      if (next) {
        item.tabIndex = -1;
        next.tabIndex = 0;
        next.focus({ focusVisible: true });
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
