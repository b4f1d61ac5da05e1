"""Views in HTML and SVG: pure functions from what was computed to a page part."""
