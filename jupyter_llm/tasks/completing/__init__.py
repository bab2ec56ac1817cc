"""Ghost text: what may stand where somebody writes, as a model goes on."""
