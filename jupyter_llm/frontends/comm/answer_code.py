"""The code in a chat's answers: checked, tried where nothing else goes on, and made cells of."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from jupyter_llm.api import llm
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.request import Request
from jupyter_llm.errors import NoNotebookError
from jupyter_llm.frontends.comm.calls import call
from jupyter_llm.frontends.comm.jobs import Job
from jupyter_llm.frontends.comm.line import Line, Part
from jupyter_llm.frontends.comm.live_chat import LiveChat
from jupyter_llm.frontends.comm.messages import CheckedData, CodeOrigin, Prepared
from jupyter_llm.notebook.cells.shell import current_shell, num_begun, user_namespace
from jupyter_llm.notebook.code.blocks import CodeBlock, code_blocks
from jupyter_llm.notebook.code.landing import NextInput
from jupyter_llm.notebook.sealed.seen import untried
from jupyter_llm.tasks.code_answer import CodeAnswer, CodeCell, cells_of, new_cells
from jupyter_llm.tasks.judging import Judge
from jupyter_llm.tasks.placing import marked
from jupyter_llm.tasks.tries import BUSY, Tries

_Place = tuple[CodeOrigin, str]

_PAUSE_S = 0.2  # in which a person may begin what comes first


class AnswerCode(Part):
    """The code in a chat's answers.

    A draft that was tried before it became the answer has its verdict. Other code is tried when no
    cell runs and no model works; a trial gives way and begins again.
    """

    def __init__(self, line: Line, chat: Chat, live: LiveChat) -> None:
        super().__init__(line)
        self._chat, self._live = chat, live
        self._tried: dict[_Place, CodeAnswer] = {}  # what came of it last
        self._lock = threading.Lock()  # one trial at a time
        self._end = threading.Event()
        shell = current_shell()
        self._later = NextInput(shell) if shell is not None else None

    def close(self) -> None:
        """Try nothing more, and let no code land."""
        self._end.set()
        if self._later is not None:
            self._later.close()

    @call("on a thread")
    def check(
        self, job: Job, /, origin: CodeOrigin, sources: list[str], tries: bool
    ) -> list[CheckedData]:
        """Return the names and modules that pieces of code lack; each may use the ones before it.

        With `tries` they are tried first, which waits until no cell runs and no model works.
        """
        answer = self._answer(origin)
        places = [(origin, source) for source in sources]
        if answer is not None and tries and llm.tries_drafts:
            with self._lock:
                self._try(places, answer, job)
        cells, results = _cells(places, answer), []
        for place in places:
            cell, tried = cells.get(place), self._verdict(place)
            note = tried.note if tried is not None else ""
            unknown, missing = (cell.unknown_names, cell.missing_modules) if cell else ((), ())
            results.append(CheckedData(list(unknown), list(missing), note))
        return results

    @call("on a thread")
    def prepare(self, origin: CodeOrigin, source: str) -> Prepared:
        """Return Python of a turn or a notice as a cell holds it, mended as it was tried.

        It parses, and says which model wrote it, if that is known, and whether the end is missing.
        """
        answer, place = self._answer(origin), (origin, source)
        tried = self._verdict(place)
        cell = tried.cells[0] if tried is not None else _cells([place], answer).get(place)
        if cell is None:
            return Prepared(source=source, metadata={}, note="")
        told = (*tried.doubts, *tried.changes, *tried.mended) if tried is not None else cell.changes
        # What stands for a secret in an answer must not take the place of the secret.
        kept = new_cells((cell,), user_namespace()) or (cell,)
        source, record = marked(kept[0].landing, answer)
        llm.kept_runs.wrote(source)
        metadata = record.to_metadata() if record is not None else {}
        return Prepared(source=source, metadata=metadata, note="; ".join(told))

    @call("on a thread")
    def land(self, origin: CodeOrigin, source: str, in_place: bool) -> str:
        """Insert code below the next cell that runs, or in its place, and return the place."""
        if self._later is None:
            raise NoNotebookError
        made = self.prepare(origin, source)
        place = self._later.write_later(made.source, replace=in_place)
        return "; ".join(filter(None, (f"{place[0].upper()}{place[1:]}", made.note))) + "."

    def _answer(self, origin: CodeOrigin) -> Completion | None:
        if origin.number is not None:
            return self._chat.turn(origin.number).completion
        return self._live.answer(origin.notice) if origin.notice is not None else None

    def _draft(self, place: _Place) -> CodeAnswer | None:
        """Return the draft that a turn shows, if the code in this place is all of it."""
        origin, source = place
        code = self._chat.turn(origin.number).code if origin.number is not None else None
        is_same = isinstance(code, CodeAnswer) and code.sources == (source.strip(),)
        return code if is_same else None

    def _verdict(self, place: _Place) -> CodeAnswer | None:
        """Return what came of code; None if a cell began since: a mend may be wrong by now."""
        known = filter(None, (self._tried.get(place), self._draft(place)))
        return next((one for one in known if one.num_begun == num_begun()), None)

    def _try(self, places: Sequence[_Place], completion: Completion, job: Job) -> None:
        """Try all the code of an answer once nothing else goes on, unless the verdict is known."""
        prompt = next((self._chat.turn(o.number).prompt for o, _ in places if o.number), "")
        with_code, give_way = [*_cells(places, completion)], partial(self._give_way, job)
        while not all(map(self._verdict, with_code)):
            job.check()
            if self._end.wait(_PAUSE_S):
                return
            with suppress(KeyboardInterrupt):
                give_way()
                cells, now = _cells(places, completion), num_begun()
                asked = prompt if len(cells) == 1 else ""  # of several, none need use all it names
                new = CodeAnswer(completion=completion, cells=(), request=Request(prompt=asked))
                whole = self._draft(places[0]) or new  # other drafts had the values they had
                whole = replace(whole, cells=(*cells.values(),), doubts=(), num_begun=now)
                tries = Tries.here(self._chat.timeline, is_allowed=True, show_progress=give_way)
                judge = Judge(names=tries, tries=tries, asked=asked)
                found = [*judge.each(whole)]
                if all(one.seen is None or one.seen != untried(BUSY) for one in found):
                    self._tried.update(zip(cells, found, strict=True))

    def _give_way(self, job: Job, _step: object = None) -> None:
        """Raise `KeyboardInterrupt` where anything else goes on, or this is not to."""
        job.check()
        is_idle = self._chat.current.activity.state in ("none", "idle")
        if self._end.is_set() or not is_idle or self._chat.timeline.running is not None:
            raise KeyboardInterrupt


def _cells(places: Sequence[_Place], answer: Completion | None) -> dict[_Place, CodeCell]:
    """The code in places as cells, where it is some."""
    is_cut_off = answer is not None and answer.finish_reason != "stop"
    last = code_blocks(answer.text)[-1:] if answer is not None and is_cut_off else ()  # torn
    known = {block.source.strip(): block for block in last}
    blocks = [known.get(source.strip(), CodeBlock(source)) for _, source in places]
    cells = cells_of(blocks, Tries.here(llm.timeline), is_cut_off=is_cut_off)
    return {place: cell for place, cell in zip(places, cells, strict=True) if cell is not None}
