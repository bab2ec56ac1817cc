"""RUN a model: requests in, tokens out."""
