"""What libraries do after a fork, which they do in a copy that is sealed."""

from __future__ import annotations

from pathlib import Path

from support.processes import run_python
from support.seal import needs_seal

pytestmark = needs_seal

LIBRARY = """
import os, socket, sys
import jupyter_llm
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().run_line_magic("load_ext", "jupyter_llm")
ours, theirs = socket.socketpair()
theirs.setblocking(False)
os.register_at_fork(after_in_child=lambda: ours.send(b"closed"))
os.register_at_fork(after_in_child=lambda: open(sys.argv[1], "w"))
from jupyter_llm.notebook.sealed.trying import try_code
print(try_code(["6 * 7"], {}, timeout_s=50).result)
try:
    print(theirs.recv(10))
except BlockingIOError:
    print("nothing was sent")
"""


def test_what_a_library_does_after_a_fork_gets_out_of_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    assert run_python(LIBRARY, path) == ("42\nnothing was sent\n", "")
    assert not path.exists()


ANOTHER = """
import os, threading
from jupyter_llm.notebook.sealed.first_step import first_step
def fork():
    if not (pid := os.fork()):
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
with first_step(lambda: os._exit(1)):
    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
"""


def test_what_another_thread_forks_is_no_copy() -> None:
    assert run_python(ANOTHER)[0] == "7\n"
