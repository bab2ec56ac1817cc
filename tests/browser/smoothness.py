"""How long a page takes to show what was typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator

KEYSTROKE_MS = 50  # above this, typing is felt to lag

# Notes for each key how long it is until the page shows what it did.
WATCH_KEYS = """() => {
    if (!window.key_ms) document.addEventListener('keydown', ({ timeStamp }) => {
        requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => window.key_ms.push(performance.now() - timeStamp);
            port2.postMessage(null);
        });
    }, true);
    window.key_ms = [];
}"""


def typing_ms(box: Locator, text: str) -> list[float]:
    """Type a text and return for each key how long the page took to show it."""
    box.page.evaluate(WATCH_KEYS)
    box.press_sequentially(text, delay=20)
    box.page.wait_for_function("count => window.key_ms.length >= count", arg=len(text))
    keys: list[float] = box.page.evaluate("() => window.key_ms")
    return keys
