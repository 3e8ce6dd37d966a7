"""The service: from a request to an anchored log entry."""
