"""The only place that knows both sides: asks, the ledger, the carrying of messages."""
