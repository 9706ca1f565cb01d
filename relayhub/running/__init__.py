"""What concerns a program that runs: being asked and told things over its control socket, and reloading its config."""
