"""Texts of a model's that would do something where they are not shown as text."""

HOSTILE_TEXTS = (
    '<img src=x onerror="alert(1)">',
    "</span></div><script>alert(1)</script>",
    "\" onmouseover='alert(1)' x=\"",
    "a\u202eb\x1b[31mc\0\ud800&amp;",
    "\n\n  | a | <!-- ",
)
