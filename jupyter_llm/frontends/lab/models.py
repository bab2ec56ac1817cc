"""The models that a page may choose from or pull, and the loading of one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.parts import ModelData, ModelTableData
from jupyter_llm.frontends.comm.pulls import PULLS
from jupyter_llm.frontends.lab.session import PageJobs

if TYPE_CHECKING:
    from jupyter_llm.frontends.comm.jobs import Job
    from jupyter_llm.frontends.lab.session import Session


class ModelChoice(PageJobs):
    """Lists models for one page, and loads those it chooses, also if the page goes meanwhile."""

    stopped = "Loading was stopped."

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        inbox = session.inbox
        inbox.add({messages.UseModel: self._use, messages.Cancel: self._cancel})
        inbox.add({messages.EndPull: lambda message: inbox.work(message.id, PULLS.end)})
        inbox.answer({messages.ListModels: self._models, messages.StartPull: self._pull})

    def _models(self, message: messages.ListModels) -> messages.Models:
        from jupyter_llm.frontends.prompt.commands import suggestions
        from jupyter_llm.frontends.prompt.model_list import MODEL_COLUMNS, listed_models
        from jupyter_llm.models.catalog import SUGGESTION_COLUMNS

        # Of two files with one name the first one is meant by it.
        by_name = {model.entry.name: model for model in reversed(listed_models(self._session.llm))}
        here = [
            ModelData(
                name=name,
                facts=list(model.facts),
                is_loaded="chat" in model.roles,  # others may still be chosen for chats
            )
            for name, model in reversed(by_name.items())
        ]
        suited = [ModelData(name=one.entry.name, facts=list(one.facts)) for one in suggestions()]
        return messages.Models(
            id=message.id,
            here=ModelTableData(columns=list(MODEL_COLUMNS), models=here),
            suited=ModelTableData(columns=list(SUGGESTION_COLUMNS), models=suited),
        )

    def _pull(self, message: messages.StartPull) -> messages.DoneMessage:
        PULLS.begin(message.model.strip(), is_accepted=message.accepts_licence)
        return messages.DoneMessage(id=message.id)

    def _use(self, message: messages.UseModel) -> None:
        self._begin(message.id, message.model or "", partial(self._load, message.model))

    def _load(self, model: str | None, job: Job) -> None:
        current = self._session.llm.current
        if model is None:
            current.get(show=job.tell)  # with the options that were chosen, if any were
        else:
            current.use(model, show=job.tell)
        self._finish(job, messages.DoneMessage(id=job.id))
