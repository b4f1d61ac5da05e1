// A point of a run leads to the run's page. Plotly's events are not the page's, so every plot that carries links is listened
// to once it is drawn; figures.js comes first in the page.
export function linkRuns() {
  const { macrec } = window;
  if (macrec.linking) return;
  macrec.linking = true;
  const attach = (plot) => {
    if (plot.macrecLinked || !plot.on || !plot.data?.some((trace) => trace.meta?.macrec_links)) return;
    plot.macrecLinked = true;
    const address = ({ points }) => points[0].data.meta?.macrec_links?.[points[0].pointNumber];
    plot.on("plotly_click", (event) => {
      const to = address(event);
      if (to?.startsWith("#"))
        location.hash = to; // a place in this page
      else if (to) window.open(to, "_blank", "noopener");
    });
    const pointer = (shape) =>
      plot.querySelectorAll(".drag").forEach((layer) => {
        layer.style.cursor = shape;
      });
    plot.on("plotly_hover", (event) => pointer(address(event) ? "pointer" : ""));
    plot.on("plotly_unhover", () => pointer(""));
  };
  macrec.eachFigure(attach);
}
