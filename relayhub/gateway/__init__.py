"""The life of a call: admitted, attempted, relayed, settled."""
