"""The demo page: history → recommendation → why, as widgets, and how Voila serves them."""
