// Draws a figure with the plotly.js of the page, else with the one that plotly publishes at `source`.
export function drawFigure(id, spec, config, source) {
  const draw = () => window.Plotly.newPlot(id, spec.data, spec.layout, config);
  if (window.Plotly) {
    draw();
    return;
  }
  const script = Object.assign(document.createElement("script"), { src: source, onload: draw });
  script.onerror = () => {
    const missing = "[open this notebook in JupyterLab, or go online, to see the figure]";
    document.getElementById(id).textContent = `${missing} ${spec.layout.meta.alt}`;
  };
  document.head.append(script);
}
