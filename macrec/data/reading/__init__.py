"""How files are read: text, tables, ids and values, pictures, the order of events. The layouts are in `formats`."""
