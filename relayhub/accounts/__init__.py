"""Who may call, what it costs, and the promise to pay for it."""
