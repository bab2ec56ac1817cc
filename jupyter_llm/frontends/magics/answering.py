"""Shows the answers of cells, and inserts their code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from jupyter_llm.ask.answer import answer_of
from jupyter_llm.chat.branches import Sending
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.question import ChatQuestion
from jupyter_llm.common.markdown import code_block
from jupyter_llm.common.tables import count_of
from jupyter_llm.engine.completion import Completion, PromptInterrupted
from jupyter_llm.engine.provenance import Provenance
from jupyter_llm.frontends.prompt.options import Options
from jupyter_llm.frontends.views import View, answer_metadata, remarks, watch
from jupyter_llm.notebook.cells.shell import user_namespace
from jupyter_llm.notebook.code.landing import CellWriter, Insertion
from jupyter_llm.records.records import to_metadata
from jupyter_llm.tasks.code_answer import ANSWER_PREFIX, code_cells, new_cells
from jupyter_llm.tasks.placing import change, land
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.tries import Tries
from jupyter_llm.tasks.write import write_in_chat


def write(
    chat: Chat,
    question: ChatQuestion,
    options: Options,
    view: View,
    writer: CellWriter,
    note: str,
) -> tuple[Completion, object]:
    """Answer a prompt; insert its code, or check its shape, if the options ask for that.

    Returns the answer, and its value if it has a shape. `note` is about the typed text.
    """
    stream, sent = chat.send(question, show_progress=view.progress)
    shape = sent.question.shape
    with stream:
        completion = watch(stream, view)
    notes = list(_notes(sent, completion, options, note, has_shape=shape is not None))
    records: list[Provenance | str]
    records = [completion.provenance] if completion.provenance is not None else []
    if options.below or options.replace:
        is_cut_off, namespace = completion.finish_reason != "stop", user_namespace()
        text = completion.message.content  # a repetition once
        cells = code_cells(text, namespace, is_cut_off=is_cut_off)
        cells = new_cells(cells, namespace)
        with _landing(view, completion.text, completion):
            place, landed = land(
                writer, [cell.landing for cell in cells], completion, in_place=options.replace
            )
        notes.insert(0, place.words or "there is no code in the answer")
        records += landed
    value: object = completion
    html = None
    try:
        if shape is not None:
            answer = answer_of(completion, shape, sent.request, sent.engine)
            value, html = answer.value, answer.html if options.format != "text" else None
    finally:  # the text stays visible
        view.close(completion.text, "; ".join(notes), to_metadata(records), html=html)
    return completion, value


def write_code(
    chat: Chat, question: ChatQuestion, options: Options, view: View, writer: CellWriter, note: str
) -> Completion:
    """Answer a prompt with cells of code."""
    tries = Tries.here(chat.timeline, is_allowed=not options.no_try, show_progress=view.progress)
    answer, sent = write_in_chat(
        chat,
        question,
        namespace=tries,
        tries=tries,
        show=lambda stream: watch(stream, view),
        show_progress=view.progress,
    )
    full = replace(answer.completion, text="\n\n".join(answer.sources), token_ids=None)
    with _landing(view, answer.text, full):
        place, records = land(writer, answer.landing, answer.completion, in_place=options.replace)
    # Of a cell that ends with an error, front ends insert nothing by themselves.
    is_dropped = answer.is_interrupted and writer.has_cells and not place.has_metadata
    words = "" if is_dropped else place.words
    notes = [words, answer.note, *_notes(sent, answer.completion, options, note)]
    text = answer.text
    if writer.has_cells and place.is_landed and not is_dropped:  # it is not shown again
        text = "\n\n".join(map(code_block, answer.sources[1:]))
    view.close(text, "; ".join(filter(None, notes)), to_metadata(records))
    if answer.is_interrupted:
        raise PromptInterrupted(full)
    return full


def propose(proposal: Proposal, options: Options, view: View, writer: CellWriter) -> None:
    """Show a proposal, and insert its code into a new cell.

    With `--replace` the code replaces the cell that it changes, or else the running cell. A
    proposal that changes nothing is only shown.
    """
    place = Insertion("", is_landed=False)
    records: list[Provenance | str] = []
    if proposal.diff or proposal.cell is None:
        with _landing(view, str(proposal), proposal.completion):
            place, records = _place(proposal, options, writer)
    ended = remarks(proposal.completion) if proposal.completion is not None else ""
    note = "; ".join(filter(None, (place.words, ended)))
    is_in_cell = writer.has_cells and proposal.cell is None and place.is_landed
    shown = proposal.to_markdown(is_in_cell=is_in_cell)
    view.close(shown, note, to_metadata(records), html=proposal.to_html())


def _place(
    proposal: Proposal, options: Options, writer: CellWriter
) -> tuple[Insertion, list[Provenance | str]]:
    proposals, completion = (proposal, *proposal.others), proposal.completion
    sources = [*(one.source for one in proposals), *proposal.below]
    if proposal.cell is None or not options.replace:
        return land(writer, sources, completion, in_place=options.replace)
    # Those cells, not the running one.
    cells = ((one, one.cell) for one in proposals if one.cell is not None)
    done = [change(writer, cell, one.source, one.completion) for one, cell in cells]
    place = replace(done[0][0], words="; ".join(place.words for place, _ in done))
    return place, [record for _, records in done for record in records]


def preview(chat: Chat, question: ChatQuestion, options: Options, view: View) -> None:
    """Show the exact prompt, and send nothing."""
    if options.format == "code":
        question = question.for_code()
    engine = chat.current.get(question.model, show=view.progress)
    sent = chat.preview(engine, question)
    prompt = sent.prompt
    if question.tools is not None and isinstance(prompt, tuple):
        prompt = question.tools.use.described(prompt)
    begin = ANSWER_PREFIX if options.format == "code" and isinstance(prompt, tuple) else ""
    think = replace(sent.request, answer_prefix=begin).think
    if engine.info.host and isinstance(prompt, tuple):  # only the server knows the template
        text = "\n\n".join(f"{one.role}:\n{one.content}" for one in prompt) + begin
    else:
        text = engine.format(prompt, think=think) + begin
    num_begun = sum(map(len, engine.tokenize_texts([begin])))
    count = engine.count_tokens(prompt, think=think) + num_begun
    about = "about " if engine.info.host else ""
    n_ctx = engine.info.n_ctx
    note = f"{about}{count_of(count, 'token')} of {n_ctx}, for {engine.info.name}; nothing was run"
    view.close(text, note)


@contextmanager
def _landing(view: View, text: str, completion: Completion | None) -> Iterator[None]:
    """If the user interrupts the insertion, show the text in the cell."""
    try:
        yield
    except KeyboardInterrupt:
        note = "interrupted before the code was inserted"
        metadata = answer_metadata(completion) if completion is not None else {}
        view.close(text, note, metadata)
        raise PromptInterrupted(completion) from None


def _notes(
    sent: Sending, completion: Completion, options: Options, note: str, *, has_shape: bool = False
) -> Iterator[str]:
    # otherwise the error reports the end
    is_complete = not has_shape or completion.finish_reason == "stop"
    yield from filter(None, (remarks(completion, has_end=is_complete),))
    if sent.context.is_alone:
        yield "sent without the notebook (`-c all` includes it)"
    if sent.context.rules is not None:
        yield from filter(None, (sent.context.rules.remark,))
    num_turns, num_cells = sent.left_out  # `/context` lists them
    if isinstance(options.context, int):  # the user chose the number
        num_cells = 0
    omitted = [count_of(n, what) for n, what in ((num_turns, "turn"), (num_cells, "cell")) if n]
    if omitted:
        yield f"sent without the chat's first {' and '.join(omitted)}, which no longer fit"
    yield from filter(None, (note, cost(completion, options)))


def cost(completion: Completion, options: Options) -> str:
    """Return the cost of an answer, if the options ask for it."""
    if not options.stats:
        return ""
    seed = f"; seed {completion.seed}" if completion.seed is not None else ""
    return f"{completion.usage}{seed}"
