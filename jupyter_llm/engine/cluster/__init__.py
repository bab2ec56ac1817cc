"""A model on each worker of a Dask cluster, as one engine."""
