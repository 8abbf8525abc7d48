"""Image files → image tokens."""
