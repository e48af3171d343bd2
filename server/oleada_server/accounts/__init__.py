"""People: users, one-time sign-in links, sessions, API tokens."""
