import pytest
from browser.lab import Traffic
pytestmark = pytest.mark.browser
def test_a(open_notebook, page):
    t = Traffic(page)
    nb = open_notebook("print(6*7)", "from IPython.display import *\nimport time\nh = display(Markdown('a'), display_id=True)\nfor i in range(10):\n    h.update(Markdown('a'*i)); time.sleep(.05)", "import time\nprint('go',flush=True)\ntime.sleep(60)", "")
    nb.run(0); assert nb.text(0) == "42"
    nb.watch(1); nb.run(1); print(nb.frames()); assert len(nb.outputs(1)) == 1
    nb.start(2); nb.cell(2).get_by_text("go").wait_for(); nb.interrupt(); nb.finish(); print(nb.text(2))
    saved = nb.save(); print(saved.cells[1].outputs)
    nb.type(3, "import tok"); page.keyboard.press("Tab"); page.wait_for_timeout(3000); print(nb.source(3)); page.screenshot(path="/tmp/bt/tab.png")
    nb.reload(); assert nb.text(0) == "42"
    print(len(t.urls), t.beyond_loopback)
    page.evaluate("fetch('http://example.invalid/x').catch(() => 0)")
    print(t.beyond_loopback)
