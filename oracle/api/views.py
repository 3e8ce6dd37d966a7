"""From our nouns to what clients read."""

from __future__ import annotations

from collections.abc import Sequence

from oracle.api.wire import (
    DecodedOutput,
    DecodedTensor,
    EntryProof,
    EventOut,
    Links,
    ModelOut,
    ModelSummary,
    OnChainForm,
    OnChainModel,
    PayloadOut,
    PreparedOut,
    ProofOut,
    ReceiptOut,
    ReplacedOut,
    RequestOut,
    RequestsOut,
    RequestSummary,
    SignedForm,
    SignerOut,
    TensorOut,
)
from oracle.encoding import to_hex
from oracle.errors import Rejected
from oracle.pipeline.api import RequestEvent, RequestView
from oracle.pipeline.asking import Prepared
from oracle.pipeline.catalogue import INT16, DescribedModel, Payload
from oracle.pipeline.inputs import decode_output
from oracle.pipeline.logged import Logged
from oracle.pipeline.settled import Settled
from oracle.records import Bytes32, RegisteredModel
from oracle.wire import request_to_json


def links_of(request_id: Bytes32) -> Links:
    base = f"/v1/requests/{to_hex(request_id)}"
    return Links(self=base, events=f"{base}/events", receipt=f"{base}/receipt", proof=f"{base}/proof")


# ---- models ------------------------------------------------------------------------------------------------------------------------
def view_model_summary(model: DescribedModel, registered: RegisteredModel | None) -> ModelSummary:
    return ModelSummary(model_id=to_hex(model.model_id), name=model.name, kind=model.kind.name.lower(), on_chain=_on_chain(registered))


def view_model(model: DescribedModel, registered: RegisteredModel | None) -> ModelOut:
    return ModelOut(
        **view_model_summary(model, registered).model_dump(),
        manifest=dict(model.manifest),
        parameters=[to_hex(digest) for digest in model.parameters],
        input=_payload(model.input, "input"),
        output=_payload(model.output, "output"),
        labels=list(model.labels) if model.labels else None,
        postprocess=model.postprocess,
    )


def _on_chain(registered: RegisteredModel | None) -> OnChainModel | None:
    if registered is None:
        return None
    return OnChainModel(is_active=registered.is_active, owner=registered.owner, data_uri=registered.data_uri)


def _payload(payload: Payload, side: str) -> PayloadOut:
    return PayloadOut(
        encoding=payload.encoding,
        tensors=[TensorOut(name=t.name, dtype=t.dtype, shape=list(t.shape)) for t in payload.tensors],
        exponent=payload.exponent,
        range=payload.range,
        how=_how(payload, side),
    )


def _how(payload: Payload, side: str) -> str:
    if payload.encoding != INT16:
        made = '; /v1/requests/prepare makes them from {"tensors": {name: {shape, values}}}.' if side == "input" else "."
        return f"AFT1 typed tensors in this order (docs/tensors.md){made}"
    count = f"{payload.size} integers, row by row, packed as big-endian int16"
    if side == "output":
        return f"{count}; real value = integer · 2^-{payload.exponent}."
    scale = "its own exponent and zero point per element (manifest.input.scaling)" if payload.exponents else f"exponent {payload.exponent}"
    return f'{count}; from real numbers by {scale}: /v1/requests/prepare does it from {{"real": […]}}.'


# ---- asking ------------------------------------------------------------------------------------------------------------------------
def view_prepared(prepared: Prepared) -> PreparedOut:
    return PreparedOut(
        input=to_hex(prepared.input),
        input_digest=to_hex(prepared.request.input_digest),
        policy=to_hex(prepared.request.policy),
        saturated=prepared.saturated,
        signed=SignedForm(
            request_id=to_hex(prepared.request_id),
            request=request_to_json(prepared.request),
            typed_data=dict(prepared.typed_data),
        ),
        on_chain=OnChainForm(to=prepared.coprocessor, value_wei=str(prepared.value_wei), data=to_hex(prepared.calldata)),
    )


# ---- following ---------------------------------------------------------------------------------------------------------------------
def view_event(event: RequestEvent) -> EventOut:
    return EventOut(id=event.id, kind=event.kind, time=event.time, detail=event.detail)


def view_summary(view: RequestView) -> RequestSummary:
    return RequestSummary(
        request_id=to_hex(view.asked.request_id),
        model_id=to_hex(view.asked.request.model_id),
        requester=view.asked.request.requester,
        origin="signed" if view.asked.request.is_signed_off_chain else "chain",
        state=view.state,
        is_final=view.is_settled,
        reason=view.reason,
        updated=view.updated,
    )


def view_request(view: RequestView, history: Sequence[RequestEvent]) -> RequestOut:
    return RequestOut(
        **view_summary(view).model_dump(),
        request=request_to_json(view.asked.request),
        transaction=None if view.asked.transaction is None else to_hex(view.asked.transaction),
        history=[view_event(event) for event in history],
        links=links_of(view.asked.request_id),
    )


def view_page(views: Sequence[RequestView], limit: int) -> RequestsOut:
    """A page that is full has a cursor; the page after the last one is then empty."""
    return RequestsOut(requests=[view_summary(view) for view in views], cursor=str(views[-1].id) if len(views) == limit else None)


# ---- what came of it ---------------------------------------------------------------------------------------------------------------
def view_receipt(settled: Settled, model: DescribedModel | None) -> ReceiptOut:
    delivered, receipt, status = settled.delivered, settled.receipt, settled.status
    decoded, problem = _decode(model, settled.output)
    return ReceiptOut(
        request_id=to_hex(delivered.request_id),
        model_id=to_hex(delivered.model_id),
        transaction=to_hex(receipt.transaction),
        block_number=receipt.block_number,
        block_hash=to_hex(receipt.block_hash),
        gas_used=receipt.gas_used,
        status=status.status.name,
        available_at=delivered.available_at,
        callback=status.callback.name,
        signers=_signers(settled),
        prover=settled.prover,
        beneficiaries=list(delivered.beneficiaries if settled.replaced is None else settled.replaced.beneficiaries),
        output=to_hex(settled.output),
        output_digest=to_hex(status.output_digest),
        replaced=_replaced(settled),
        decoded=decoded,
        decoding_problem=problem,
    )


def _replaced(settled: Settled) -> ReplacedOut | None:
    if settled.replaced is None or settled.replacement is None:
        return None
    return ReplacedOut(
        transaction=to_hex(settled.replacement.transaction),
        block_number=settled.replacement.block_number,
        wrong_output=to_hex(settled.delivered.output),
        wrong_output_digest=to_hex(settled.delivered.output_digest),
    )


def _signers(settled: Settled) -> list[SignerOut] | None:
    if settled.signers is None:
        return None
    return [SignerOut(index=o.index, operator=o.operator, signer=o.signer) for o in settled.signers]


def _decode(model: DescribedModel | None, output: bytes) -> tuple[DecodedOutput | None, str | None]:
    """The output read by the manifest, or why it cannot be: a delivered answer is shown whatever it is."""
    if model is None:
        return None, "this API has no manifest of the model"
    try:
        decoded = decode_output(model, output)
    except Rejected as error:
        return None, str(error)
    tensors = decoded.tensors
    return (
        DecodedOutput(
            integers=None if decoded.integers is None else list(decoded.integers),
            real=None if decoded.real is None else list(decoded.real),
            tensors=None if tensors is None else [_tensor(t.name, t.dtype, t.shape, t.values) for t in tensors],
            labels=list(model.labels) if model.labels else None,
            postprocess=model.postprocess,
        ),
        None,
    )


def _tensor(name: str, dtype: str, shape: Sequence[int], values: Sequence[int | float | bool | str]) -> DecodedTensor:
    return DecodedTensor(name=name, dtype=dtype, shape=list(shape), values=list(values))


def view_proof(logged: Logged) -> ProofOut:
    return ProofOut(
        request_id=to_hex(logged.request_id),
        log_vkey=logged.vkey,
        checkpoint=logged.checkpoint.note,
        entries=[EntryProof(index=e.index, kind=e.kind, record=e.record, tlog_proof=e.proof) for e in logged.entries],
    )
