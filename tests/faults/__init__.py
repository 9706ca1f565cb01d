"""What relayhub does when others fail: one file per risk, each fault with its figure. docs/faults.md is made from it."""
