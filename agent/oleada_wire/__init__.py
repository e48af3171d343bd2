"""What box and server must agree on: topics, messages, envelopes, the release manifest."""
