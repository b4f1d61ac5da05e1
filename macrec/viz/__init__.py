"""What the eye sees: theme, figures, hovers."""
