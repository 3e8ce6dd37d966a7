"""The names of fields: what each means, and which may stand in a record only sealed.

A record is public for ever, so what tells of a person, or could be guessed from a digest, is sealed: committed to with a salt and kept
apart, where it can be erased. Names not listed are the writer's own, public or sealed as the writer decides.
OpenTelemetry's names (semantic conventions for GenAI) are used where there is one.
"""

from __future__ import annotations

SEALED_NAMES: dict[str, str] = {
    "audit.caller.address": "network address of who asked",
    "audit.override.reason": "why a person decided otherwise than the model",
    "audit.reason": "why something was held, erased, disclosed or changed",
    "audit.review.note": "what a reviewer wrote",
    "audit.session": "session of the person who asked",
    "audit.user": "the person or account that asked, as the application knows it",
    "audit.verifier.first": "person who verified the answer (EU AI Act, Art. 12(3)(d) and 14(5))",
    "audit.verifier.second": "second person who verified it",
    "error.message": "what went wrong, in words",
    "gen_ai.conversation.id": "conversation the call belongs to",
    "gen_ai.input.messages.digest": "Keccak-256 of the body of the same name: what the model was given",
    "gen_ai.output.messages.digest": "Keccak-256 of the body of the same name: what it answered",
    "gen_ai.system_instructions.digest": "Keccak-256 of the body of the same name: the instructions before the conversation",
    "gen_ai.tool.call.arguments.digest": "Keccak-256 of the body of the same name: what tools were called with",
}
"""Names that are refused in the clear."""

PUBLIC_NAMES: dict[str, str] = {
    "audit.actor": "process or pseudonym that acted",
    "audit.call_id": "a call outside the chain: 32 random bytes",
    "audit.caller": "address or pseudonym of who asked",
    "audit.caller.sequence": "number of the call in its stream, given by the recording application before it sends: 1, 2, 3 …",
    "audit.caller.stream": "one run of a recording application: random",
    "audit.capture": "how the record was made: sdk, http, proxy, span, exporter",
    "audit.clock.is_synchronised": "what the kernel says of its clock",
    "audit.clock.max_error_microseconds": "the kernel's bound on the clock's error",
    "audit.clock.source": "which clock told the times of this writer",
    "audit.cost_currency": "ISO 4217 or a token's symbol",
    "audit.cost_micros": "cost in millionths of the currency",
    "audit.evidence_digests": "Keccak-256 of each piece of evidence",
    "audit.first_token_microseconds": "from asking the model to the first piece of a streamed answer",
    "audit.guardrails": "decisions of guardrails, `name=decision` each",
    "audit.http.method": "of a call that a proxy forwarded without understanding it",
    "audit.http.path": "of such a call",
    "audit.http.status": "with which a service answered instead of a model",
    "audit.input_digest": "Keccak-256 of the input of a call on chain, as the contract has it",
    "audit.intent.index": "the intent that a result or error belongs to",
    "audit.is_disclosed": "whether the person was told that a model answers",
    "audit.is_late": "written after the fact, because the log did not answer in time",
    "audit.latency_microseconds": "from asking the model to its answer",
    "audit.model.weights_digest": "digest of the weights",
    "audit.model_id": "model id as registered on chain",
    "audit.outcome": "ok, error, refused or cancelled",
    "audit.output_digest": "Keccak-256 of the output of a call on chain",
    "audit.policy": "verification policy, packed",
    "audit.prompt_template_digest": "digest of the prompt template",
    "audit.purpose": "what the system is used for",
    "audit.redactions": "what was taken out before the record was made",
    "audit.reference_data": "ids of reference databases checked against (EU AI Act, Art. 12(3)(b))",
    "audit.refusal": "why the log did not take what was told of a call's end",
    "audit.request_id": "a call on chain: the request's EIP-712 digest",
    "audit.risk_class": "risk class of the system",
    "audit.runtime.name": "what executed the model; .version, .provider and .optimisation beside it",
    "audit.span_id": "OpenTelemetry span",
    "audit.system": "system that asked",
    "audit.system.version": "its version",
    "audit.tenant": "whose system it is",
    "audit.tool_names": "tools that were called",
    "audit.trace_id": "OpenTelemetry trace",
    "audit.transaction": "transaction that delivered the answer",
    "audit.verdict": "unverified, signed, proven, attested, replaced or rejected",
    "error.type": "class of an error",
    "gen_ai.operation.name": "chat, embeddings, inference …",
    "gen_ai.provider.name": "who serves the model",
    "gen_ai.request.model": "model that was asked for",
    "gen_ai.response.finish_reasons": "why the model stopped",
    "gen_ai.response.id": "id of the answer",
    "gen_ai.response.model": "model that answered",
    "gen_ai.usage.input_tokens": "tokens read",
    "gen_ai.usage.output_tokens": "tokens written",
}
"""Names with a fixed meaning in the clear."""
