"""Ingest from outside: how applications that are no node of ours record their model calls in the log.

`recorder` is the client for Python, `otel` takes OpenTelemetry's GenAI spans, `proxy` stands in front of an OpenAI-compatible service.
Other languages use `POST /calls` on the log itself (`oracle.audit.calls_door`).
"""
