"""What a request and a streamed chunk cost in relayhub, beside other gateways: see docs/performance.md and scripts/bench."""
