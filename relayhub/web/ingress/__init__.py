"""Client dialects on the wire: a handler takes the credential and the body, asks the pipeline, and renders."""
