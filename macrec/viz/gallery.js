// Plotly's own hover labels cannot hold pictures: pointing at a figure whose layout.meta names a gallery shows the card of
// an item. The customdata of a point is an item row, or [row, note]: lines divided by <br> that stand above the item.
// figures.js comes first in the page: it finds the figures.
import { hideCard, sheetPicture, showCard } from "./card.js";

export function showGallery(key, gallery) {
  window.macrec ??= {};
  const { macrec } = window;
  gallery.place = new Map(gallery.rows.map((row, i) => [row, i]));
  macrec.galleries ??= {};
  macrec.galleries[key] = gallery;
  if (macrec.watching) return;
  macrec.watching = true;
  const item = (shown, i) => ({
    title: shown.titles[i],
    picture: shown.pictured[i] ? sheetPicture(shown, i, 96) : null,
    lines: Object.entries(shown.lines).map(([label, values]) => `${label}: ${values[i]}`),
  });
  macrec.eachFigure((plot) => {
    const meta = plot.layout?.meta;
    if (!meta?.macrec || plot.macrecAttached === meta.macrec || !plot.on) return;
    plot.macrecAttached = meta.macrec;
    plot.on("plotly_hover", ({ points, event }) => {
      const shown = macrec.galleries[plot.layout.meta.gallery];
      const [row, note] = [points[0].customdata].flat();
      const i = shown?.place.get(row);
      if (!shown || !event || !(i !== undefined || note)) return;
      const about = i === undefined ? {} : item(shown, i);
      showCard({ x: event.clientX, y: event.clientY }, { ...about, note: note ? note.split("<br>") : [] });
    });
    plot.on("plotly_unhover", hideCard);
  });
}
