// Finds every plotly figure of the page, now or later, whoever draws it (JupyterLab's renderer or our HTML):
// `macrec.eachFigure(attend)` calls `attend` with each, again and again. Figures of ours get their alternative text, and
// their menus a keyboard: Tab reaches them, Enter or Space opens one, the arrows walk through it, Escape leaves it.
export function findFigures() {
  window.macrec ??= {};
  const { macrec } = window;
  if (macrec.eachFigure) return;
  const HEADER = ".updatemenu-header",
    CHOICE = ".updatemenu-dropdown-button";
  const dress = (plot) => {
    const meta = plot.layout?.meta;
    if (!meta?.macrec) return;
    plot.setAttribute("role", "figure");
    plot.setAttribute("aria-label", meta.alt);
    for (const control of plot.querySelectorAll(`${HEADER}:not([tabindex]), ${CHOICE}:not([tabindex])`)) {
      control.setAttribute("tabindex", "0");
      control.setAttribute("role", "button");
    }
    for (const header of plot.querySelectorAll(HEADER)) {
      const label = `${header.textContent.trim()}, menu`;
      if (header.getAttribute("aria-label") !== label) header.setAttribute("aria-label", label);
    }
  };
  const click = (control) => control.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  const focus = (plot, selector) => {
    dress(plot);
    plot.querySelector(selector)?.focus();
  };
  document.addEventListener(
    "keydown",
    (event) => {
      const control = event.target.closest?.(`${HEADER}, ${CHOICE}`);
      const plot = control?.closest(".js-plotly-plot");
      if (!plot) return;
      const opens = control.matches(HEADER);
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Enter" || event.key === " ") {
        click(control);
        setTimeout(() => focus(plot, opens ? CHOICE : HEADER)); // plotly draws its menus anew
      } else if (step && !opens) {
        const all = [...plot.querySelectorAll(CHOICE)];
        all[(all.indexOf(control) + step + all.length) % all.length].focus();
      } else if (event.key === "Escape" && !opens) {
        click(plot.querySelector(HEADER));
        setTimeout(() => focus(plot, HEADER));
      } else return;
      event.preventDefault();
      event.stopPropagation(); // the notebook has shortcuts on the same keys
    },
    true,
  );
  const attending = [];
  const visit = (attend) => document.querySelectorAll(".js-plotly-plot").forEach((plot) => attend(plot));
  macrec.eachFigure = (attend) => {
    attending.push(attend);
    visit(attend);
  };
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      attending.forEach(visit);
    });
  }).observe(document.body, { childList: true, subtree: true });
  macrec.eachFigure(dress);
}
