"""The office: people with roles, what they ask for and approve, and the pages they work in. Every act of theirs is in the log first."""
