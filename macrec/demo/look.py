"""How the demo page looks: its one style sheet, and frames for views that bring a script of their own."""

from __future__ import annotations

import html

from macrec.viz.theme import CONFLICT, FONT, INK

LOOK = f"""<style>
.macrec-demo{{max-width:1280px;margin:0 auto;padding:0 18px 28px;overflow:visible;color:{INK};background:#fff;
font:13px/1.4 {FONT};box-sizing:border-box}}
.macrec-demo *{{box-sizing:border-box}}
.macrec-demo .widget-html,.macrec-demo .widget-html-content{{width:100%;height:auto;margin:0;font:inherit;
color:inherit}}
.macrec-demo h1{{font-size:26px;line-height:1.2;margin:22px 0 4px}}
.macrec-demo h2{{font-size:17px;line-height:1.2;margin:0 0 4px}}
.macrec-demo h3{{font-size:13px;margin:14px 0 2px}}
.macrec-demo p{{margin:2px 0 6px;color:#555;max-width:100ch}}
.macrec-row,.macrec-tiles{{display:flex;flex-flow:row wrap;overflow:visible}}
.macrec-row{{gap:4px 18px;align-items:flex-start}}
.macrec-part{{min-width:0;overflow:visible;border-top:1px solid #ddd;padding:12px 0 10px;margin:0}}
.macrec-answers>.macrec-part:first-child{{position:sticky;top:0}}
.macrec-row>.macrec-part{{flex:1 1 520px}}
.macrec-row>.macrec-part:last-child{{flex-basis:600px}}
@media(max-width:1100px){{.macrec-answers>.macrec-part:first-child{{position:static}}}}
.macrec-tiles{{gap:8px;padding:6px}}
.macrec-demo button.macrec-tile{{width:84px;height:auto;min-height:122px;margin:0;padding:3px;white-space:normal;
overflow:hidden;background:#fff;color:{INK};border:2px solid transparent;border-radius:8px;font:11px/1.2 {FONT};
text-align:center;display:flex;flex-direction:column;align-items:center;box-shadow:none;cursor:pointer}}
.macrec-demo button.macrec-tile::before{{content:"";flex:none;width:72px;height:72px;margin-bottom:3px;
border-radius:6px;background:#f4f4f4 center/cover;color:#595959;display:flex;align-items:center;justify-content:center}}
.macrec-next button.macrec-tile{{width:104px;min-height:148px;font-size:12px}}
.macrec-next button.macrec-tile::before{{width:92px;height:92px}}
.macrec-demo button.macrec-tile:hover{{border-color:#999}}
.macrec-demo button.macrec-tile.macrec-chosen{{border-color:{INK};background:#f3f6f8;font-weight:bold}}
.macrec-demo button:focus-visible,.macrec-demo input:focus-visible{{outline:3px solid {INK}!important;
outline-offset:2px}}
.macrec-demo .widget-toggle-buttons,.macrec-demo .widget-text{{width:auto;max-width:100%;height:auto;margin:0;
flex-wrap:wrap}}
.macrec-demo .widget-label{{width:auto;max-width:none;padding:0;margin:0 8px 0 0;color:{INK};flex:none}}
.macrec-demo .widget-toggle-buttons{{display:flex;align-items:center}}
.macrec-demo .widget-toggle-button,.macrec-demo .widget-button:not(.macrec-tile){{width:auto;border:1px solid #999;
border-radius:6px;background:#fff;color:{INK};padding:0 10px}}
.macrec-demo .widget-toggle-button.mod-active{{background:{INK};color:#fff;border-color:{INK}}}
.macrec-demo .widget-text input{{width:150px;border:1px solid #999;border-radius:6px}}
.macrec-status{{position:sticky;bottom:0;background:#fff;border-top:1px solid #ddd;padding:4px 0!important;
box-shadow:0 24px #fff;color:#555}}
.macrec-error{{color:{INK};border-left:6px solid {CONFLICT};padding-left:8px;font-weight:bold}}
.macrec-item{{display:flex;gap:12px;align-items:flex-start;line-height:1.35}}
.macrec-item img{{flex:none}}
.macrec-say{{margin-top:6px;color:#555}}
.macrec-why{{overflow-x:auto}}
.macrec-why table{{border-collapse:collapse;font:12px/1.3 {FONT};font-variant-numeric:tabular-nums;margin:0;width:100%}}
.macrec-why caption{{caption-side:bottom;text-align:left;color:#555;padding:4px 0;font-size:12px}}
.macrec-why th,.macrec-why td{{padding:3px 10px 3px 0;border-bottom:1px solid #e5e5e5;text-align:left;
font-weight:normal;vertical-align:middle}}
.macrec-why thead th{{color:#555}}
.macrec-why tbody th{{font-weight:bold}}
.macrec-quiet{{color:#666}}
.macrec-bar{{display:inline-block;position:relative;width:110px;height:10px;vertical-align:middle;margin-right:8px;
background:linear-gradient(#999,#999) 50%/1px 100% no-repeat #f2f2f2}}
.macrec-bar i{{position:absolute;top:1px;bottom:1px}}
.macrec-small{{display:flex;gap:8px;align-items:center;font-weight:normal;line-height:1.2;min-width:150px}}
.macrec-small img,.macrec-small>div{{flex:none;font-size:8px}}
.macrec-small small{{display:block;color:#666}}
.macrec-id{{display:flex;gap:2px}}
.macrec-id span{{border:1px solid;border-radius:3px;padding:0 3px;font-size:11px;white-space:nowrap}}
.macrec-ways{{display:flex;flex-wrap:wrap;align-items:flex-start;gap:8px 28px}}
.macrec-ways table{{flex:1 1 250px;width:auto}}
.macrec-ways caption{{caption-side:top;padding:4px 0 0;color:inherit}}
.macrec-why td,.macrec-why thead th{{white-space:nowrap}}
.macrec-why td.macrec-wide{{white-space:normal}}
.macrec-frame{{display:block;border:0;width:100%;height:600px}}
</style>"""

# The frame grows with what is in it.
FRAME_JS = """new ResizeObserver(() => {
  frameElement.style.height = `${document.body.offsetHeight + 8}px`;
}).observe(document.body);"""


def framed(view: str, title: str) -> str:
    """A view with a script in a frame: a widget's HTML runs no scripts, a frame does."""
    body = f'<body style="margin:0">{view}<script>{FRAME_JS}</script></body>'
    page = f'<!doctype html><html lang="en">{body}</html>'
    source, name = html.escape(page, quote=True), html.escape(title, quote=True)
    return f'<iframe class="macrec-frame" title="{name}" srcdoc="{source}"></iframe>'
