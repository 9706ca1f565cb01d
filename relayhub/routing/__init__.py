"""Which provider may serve a model: the catalog built from the config, and the choice of routes for one call."""
